"""Diagnostics: environment report, self-test, benchmark, demonstration."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Name and value of a finding. `advice` states what to do about a problem; empty if there is none."""

    name: str
    value: str
    advice: str = ""

    @property
    def state(self) -> str:
        """ "ok" or "warn"."""
        return "warn" if self.advice else "ok"
