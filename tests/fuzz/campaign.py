"""A campaign: inputs made, tried in a child process with bounded memory and time, and kept where they reach something new."""

import hashlib
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stgcn_cli.errors import StgcnError
from stgcn_cli.wording import printable
from tests.fuzz import guard

HANG_S = 2.0
CORPUS = Path(__file__).parent / "corpus"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files of inputs need no disk
_STALL_S = 30.0  # of the processor's time: a step in C that no signal reaches
_WAIT_S = 600.0  # of the clock's: waiting for something that does not come
_OWN_FAULT = 77  # exit code of a child in which not the target failed, but what is written here
_TRACED = 16  # one input in so many is looked at for new branches
_POOL = 400  # inputs that mutations start from, at most


@dataclass(frozen=True)
class Target:
    """What is fuzzed. `attempt` gives a short word for what became of an input; anything but StgcnError is a finding."""

    name: str
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[random.Random, bytes, list[bytes]], bytes]
    attempt: Callable[[bytes, Path], str]
    guided_by: tuple[str, ...] = ()  # source files whose branches are looked at
    memory_mb: int = 1500  # that the process may take beside what it has when it begins
    early: Callable[[str], bool] = lambda outcome: False  # whether an outcome is that of the first line
    hang_s: float = HANG_S
    network: bool = False  # whether it may connect to this machine


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


class Hang(BaseException):
    """An input took more of the processor's time than it may."""


def refused(error: StgcnError, place: Path | None = None) -> str:
    """A refusal as a word, once it has been looked at: fit for a terminal, short, and naming the file."""
    text = printable(error)  # as it comes to the terminal
    assert text.count("\n") < 20, f"a message of too many lines: {text!r}"
    assert 10 < len(text) < 3000, f"{len(text)} characters of message"
    assert "Traceback" not in text and "Errno" not in text, text
    if place is not None:
        assert str(place) in text or place.name in text, f"the file is not named: {text}"
    return text.split("\n")[0]


def kind_of(outcome: str) -> str:
    """An outcome without the numbers, names and quotations in it."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|\[.*?\]", "_", outcome)
    return " ".join(re.sub(r"\d[\d,.]*", "#", plain).split())[:90].rstrip(":._ ")


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
            part = (_here if here else _in_child)(target, report.inputs, inputs, seed, folder)
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
    _work(target, first, inputs, seed, folder, folder / "note.json")
    return json.loads((folder / "note.json").read_text("utf-8"))


def _in_child(target: Target, first: int, inputs: int, seed: int, folder: Path) -> dict:
    """Inputs first… in a process of their own, up to a finding."""
    note = folder / "note.json"
    note.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _bound_memory(target.memory_mb)
            _work(target, first, inputs, seed, folder, note)
        except BaseException:
            traceback.print_exc()
            os._exit(_OWN_FAULT)
        os._exit(0)
    status = _wait(child, folder)
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


def _wait(child: int, folder: Path) -> int:
    """The child's status; a child that does not come on any more is killed."""
    count, since, used = "", time.monotonic(), 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.1)
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


def _work(target: Target, first: int, inputs: int, seed: int, folder: Path, note: Path) -> None:
    def ring(signum, frame):
        raise Hang

    signal.signal(signal.SIGPROF, ring)
    seeds = target.seeds()
    pool, known, counts = list(seeds), set(), Counter()
    for each in seeds[:2]:  # what is imported when it is needed is imported now
        target.attempt(each, folder)
    guard.watch(folder, target.network)
    part = {"inputs": first, "early": 0, "kept": 0, "slowest_s": 0.0, "peak_mb": 0, "finding": ""}
    start_mb = _peak_mb()
    count, latest = (os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("count", "input"))
    for index in range(first, inputs):
        rng = random.Random(f"{target.name} {seed} {index}")
        data = target.mutate(rng, rng.choice(pool), seeds)
        if index % 64 == 0 or index == first:
            os.pwrite(count, f"{index:12d}".encode(), 0)
        os.pwrite(latest, data, 0)
        os.ftruncate(latest, len(data))
        began, edges = time.perf_counter(), set()
        traced = bool(target.guided_by) and index % _TRACED == 0
        signal.setitimer(signal.ITIMER_PROF, target.hang_s * (5 if traced else 1))
        try:
            if traced and sys.gettrace() is None:
                sys.settrace(_tracer(target.guided_by, edges))
            outcome = target.attempt(data, folder)
        except Hang:
            part["finding"] = f"a hang of {target.hang_s:g} s"
        except BaseException as error:  # whatever it is, it is a finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            part["finding"] = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:300]}"
        finally:
            if traced and edges:
                sys.settrace(None)
            signal.setitimer(signal.ITIMER_PROF, 0)
        part["inputs"] = index + 1
        part["slowest_s"] = max(part["slowest_s"], time.perf_counter() - began)
        part["peak_mb"] = max(part["peak_mb"], _peak_mb() - start_mb)
        if part["finding"]:
            break
        counts[kind_of(outcome)] += 1
        part["early"] += target.early(outcome)
        if edges - known and not target.early(outcome):
            known |= edges
            part["kept"] += 1
            pool.append(data) if len(pool) < _POOL else pool.__setitem__(rng.randrange(len(seeds), _POOL), data)
    note.write_text(json.dumps({**part, "outcomes": dict(counts)}), "utf-8")


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _bound_memory(more_mb: int) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    bound = taken + (more_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _tracer(files: tuple[str, ...], edges: set) -> Callable:
    """Notes each step from line to line in `files`: new ones are branches that no input has taken before."""

    def inside(frame, event, arg):
        if event == "line":
            key, line = frame.f_code, frame.f_lineno
            edges.add((key.co_name, before.get(id(frame), 0), line))
            before[id(frame)] = line
        return inside

    before: dict[int, int] = {}

    def entering(frame, event, arg):
        if frame.f_code.co_filename.endswith(files):
            before[id(frame)] = 0
            return inside
        return None

    return entering


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
