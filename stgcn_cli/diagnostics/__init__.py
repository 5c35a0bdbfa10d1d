"""The program examined: the machine, a self-test, speed, and a demonstration."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked at and what it is. `advice` says what to do where something is odd; empty = nothing is."""

    name: str
    value: str
    advice: str = ""

    @property
    def state(self) -> str:
        """ "ok" or "warn"."""
        return "warn" if self.advice else "ok"
