"""A process of its own for the inputs, with bounded memory and time, so that a crash or a hang ends only that."""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.trying import try_inputs

_STALL_S = 30.0  # of the processor's time: a step in C that no signal reaches
_WAIT_S = 600.0  # of the clock's: waiting for something that does not come
_OWN_FAULT = 77  # exit code of a child in which not the target failed, but what is written here


def try_in_child(target: Target, first: int, inputs: int, seed: int, folder: Path) -> dict:
    """Inputs first… in a process of their own, up to a finding."""
    note = folder / "note.json"
    note.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _bound_memory(target.memory_mb)
            tempfile.tempdir = str(folder)  # packed files are unpacked there; elsewhere nothing may be written
            try_inputs(target, first, inputs, seed, folder, note)
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


def _bound_memory(more_mb: int) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    bound = taken + (more_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
