"""One thing that was looked at."""

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


def size(count: float) -> str:
    """Bytes for people: 3.2 GB (decimal)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB" if count < 1000 else f"{count:,.0f} TB"
