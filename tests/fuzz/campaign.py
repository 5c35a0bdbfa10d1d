"""A campaign: inputs tried in child processes, and a report of what became of them."""

import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.child import try_in_child
from tests.fuzz.target import Target
from tests.fuzz.trying import try_inputs

CORPUS = Path(__file__).parent / "corpus"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files of inputs need no disk


@dataclass
class Report:
    """What became of a campaign."""

    target: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    early: int = 0
    kept: int = 0
    slowest_s: float = 0.0
    peak_mb: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def early_share(self) -> float:
        """The share of inputs that ended in the first line."""
        return self.early / max(1, self.inputs)


def replay(target: Target, folder: Path) -> dict[str, str]:
    """What becomes of each input in the target's corpus, by file name."""
    return {path.name: target.attempt(path.read_bytes(), folder) for path in sorted((CORPUS / target.name).iterdir())}


def run(
    target: Target,
    inputs: int,
    seed: int = 0,
    save: Path | None = None,
    say: Callable[[str], None] = lambda s: None,
    here: bool = False,
) -> Report:
    """Try `inputs` inputs. Those that crash, hang or take too much memory are findings, and are saved in `save`.

    They are tried in a child process; `here` in this one, so that it can be measured what they reach.
    """
    report, began, counts = Report(target.name, seed), time.monotonic(), Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_MEMORY) as work:
        folder = Path(work)
        (folder / "count").write_text(str(-1))
        while report.inputs < inputs and len(report.findings) < 20:
            part = (_here if here else try_in_child)(target, report.inputs, inputs, seed, folder)
            counts.update(part.pop("outcomes"))
            report.inputs, report.early = part["inputs"], report.early + part["early"]
            report.kept += part["kept"]
            report.slowest_s, report.peak_mb = (
                max(report.slowest_s, part["slowest_s"]),
                max(report.peak_mb, part["peak_mb"]),
            )
            if part["finding"]:
                report.findings.append(_saved(target, folder / "input", part["finding"], save))
                say(report.findings[-1])
    report.seconds = round(time.monotonic() - began, 1)
    report.outcomes = dict(counts.most_common())
    return report


def _saved(target: Target, path: Path, cause: str, save: Path | None) -> str:
    content = path.read_bytes()
    name = f"{target.name}-{hashlib.sha256(content).hexdigest()[:10]}"
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        (save / name).write_bytes(content)
    return f"{name}: {cause}"


def _here(target: Target, first: int, inputs: int, seed: int, folder: Path) -> dict:
    try_inputs(target, first, inputs, seed, folder, folder / "note.json")
    return json.loads((folder / "note.json").read_text("utf-8"))


def lines_of(report: Report) -> Iterable[str]:
    """The report for people."""
    yield (
        f"{report.target}: {report.inputs:,} inputs in {report.seconds:,.1f} s (seed {report.seed}), "
        f"{report.kept} kept for new branches, slowest {report.slowest_s:.2f} s, {report.peak_mb} MB more memory"
    )
    if report.early:
        yield f"  ended in the first line: {report.early_share:.1%}"
    for outcome, times in list(report.outcomes.items())[:25]:
        yield f"  {times:>9,}  {outcome}"
    yield f"  findings: {len(report.findings)}"
    yield from (f"    {finding}" for finding in report.findings)


def as_json(report: Report) -> str:
    """The report for scripts."""
    return json.dumps(asdict(report))
