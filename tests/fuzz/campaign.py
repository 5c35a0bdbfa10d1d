"""A campaign: inputs made, tried in a child process with bounded memory and time, and kept where they reach something new."""

import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files of inputs need no disk
_STALL_S = 30.0  # of the processor's time: a step in C that no signal reaches
_SAY_S = 60.0
_WAIT_S = 600.0  # of the clock's: waiting for something that does not come
_OWN_FAULT = 77  # exit code of a child in which not the target failed, but what is written here


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
            part = (_here if here else _in_child)(target, report.inputs, inputs, seed, folder, say)
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


def _here(target: Target, first: int, inputs: int, seed: int, folder: Path, say: Callable[[str], None]) -> dict:
    attempts.work(target, first, inputs, seed, folder, folder / "note.json")
    return json.loads((folder / "note.json").read_text("utf-8"))


def _in_child(target: Target, first: int, inputs: int, seed: int, folder: Path, say: Callable[[str], None]) -> dict:
    """Inputs first… in a process of their own, up to a finding."""
    note = folder / "note.json"
    note.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            attempts.bound_memory(target.memory_mb)
            attempts.work(target, first, inputs, seed, folder, note)
        except BaseException:
            traceback.print_exc()
            os._exit(_OWN_FAULT)
        os._exit(0)
    status = _wait(child, folder, lambda tried: say(f"{target.name}: {tried:,} of {inputs:,} inputs"))
    if os.waitstatus_to_exitcode(status) == _OWN_FAULT:
        raise RuntimeError("the campaign itself failed; see above")
    if note.exists():
        part = json.loads(note.read_text("utf-8"))
        if status and not part["finding"]:
            part["finding"] = _how_it_died(status)
            part["inputs"] = max(part["inputs"], _tried(folder))
        return part
    return {"outcomes": {}, "inputs": _tried(folder), "early": 0, "kept": 0, "slowest_s": 0.0, "peak_mb": 0,
            "finding": _how_it_died(status)}  # fmt: skip


def _how_it_died(status: int) -> str:
    return (
        f"the process died: {signal.Signals(status & 127).name}" if status & 127 else f"the process ended with {status}"
    )


def _tried(folder: Path) -> int:
    return int((folder / "count").read_text() or 0) + 1


def _wait(child: int, folder: Path, say: Callable[[int], None]) -> int:
    """The child's status; a child that does not come on any more is killed. Says now and then how many inputs were tried."""
    told, count, since, used = time.monotonic(), "", time.monotonic(), 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.1)
        if time.monotonic() - told > _SAY_S:
            told = time.monotonic()
            say(_tried(folder))
        try:
            now = (folder / "count").read_text()
        except OSError:
            now = ""
        if now != count:
            count, since, used = now, time.monotonic(), _processor_s(child)
        elif time.monotonic() - since > _WAIT_S or _processor_s(child) - used > _STALL_S:
            os.kill(child, signal.SIGKILL)


def _processor_s(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
