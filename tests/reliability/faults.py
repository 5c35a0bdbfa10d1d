"""Runs the program on a disk that fills up while it works: a helper process of `tests/reliability/disks.py`.

Reads orders from stdin, a line of JSON each, and answers each with a line. Torch is imported once and every call of the
program is a fork of this process, so that hundreds of calls take minutes. A hook that Python calls before every open,
mkdir and rename counts what the program does on the disk, and at the chosen one takes away the space. The error that
the program then meets is the file system's own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

_OWN_NAME = re.compile(r"\.\d+-[0-9a-f]{6}\.part")
_CHANGES = {"os.mkdir": 0, "os.rename": 1, "os.link": 1}  # event -> which of its arguments is the new name
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def free(disk: Path) -> int:
    """Bytes left."""
    stat = os.statvfs(disk)
    return stat.f_bavail * stat.f_frsize


def fill(disk: Path, leave: int) -> None:
    """Take all space but `leave` bytes with one file."""
    handle = os.open(disk / "ballast", os.O_CREAT | os.O_WRONLY)
    try:
        taken = os.fstat(handle).st_size + free(disk) - leave
        if taken > 0:
            os.posix_fallocate(handle, 0, taken)
    finally:
        os.close(handle)


def fill_names(disk: Path) -> None:
    """Take all inodes, so that nothing can be created while there is space enough."""
    (disk / "ballast-names").mkdir()
    for number in range(os.statvfs(disk).f_favail):
        os.close(os.open(disk / "ballast-names" / str(number), os.O_CREAT | os.O_WRONLY))


class Hook:
    """Counts changes below `disk`; writes their names to `record`, or makes the disk full at change number `at`."""

    def __init__(self, disk: str, record: str = "", at: int = 0, leave: int | None = 0) -> None:
        self.disk, self.at, self.leave, self.count, self.busy = Path(disk), at, leave, 0, False
        self.record = os.open(record, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) if record else -1

    def __call__(self, event: str, arguments: tuple) -> None:
        path = _changed(event, arguments)
        if self.busy or path is None or self.disk not in (place := Path(os.path.abspath(path))).parents:
            return
        self.count += 1
        if self.record >= 0:
            name = _OWN_NAME.sub("", str(place.relative_to(self.disk)))
            os.write(self.record, f"{event} {name}\n".encode())
        if self.count == self.at:
            self.busy = True
            fill_names(self.disk) if self.leave is None else fill(self.disk, self.leave)
            self.busy = False


def _changed(event: str, arguments: tuple) -> str | None:
    """The path that is about to be changed, if any is."""
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & _WRITES
        return os.fsdecode(path) if writes and isinstance(path, str | bytes | os.PathLike) else None
    return os.fsdecode(arguments[_CHANGES[event]]) if event in _CHANGES else None


def start(order: dict) -> subprocess.Popen | int:
    """Run the program: in a new Python with order["fresh"], else in a fork of this one. Returns what to wait for."""
    if order.get("fresh"):
        command = [*order.get("before", ()), sys.executable, "-m", "stgcn_cli", *order["words"]]
        with open(order["out"], "wb") as out, open(order["err"], "wb") as err:
            return subprocess.Popen(command, cwd=order["cwd"], env=order["env"], stdout=out, stderr=err)
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = _program(order)
    finally:
        os._exit(code)


def _program(order: dict) -> int:
    from stgcn_cli.cli.app import main

    for handle, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["stgcn", *order["words"]]
    if order.get("hook"):
        sys.addaudithook(Hook(**order["hook"]))
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def end_of(running: subprocess.Popen | int) -> int:
    """Wait for the exit code; as a shell tells it where a signal ended the program."""
    if isinstance(running, subprocess.Popen):
        return running.wait()
    return os.waitstatus_to_exitcode(os.waitpid(running, 0)[1])


def serve() -> None:
    """Answer orders until stdin ends."""
    running: dict[int, subprocess.Popen | int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "start":
                started = start(order)
                pid = started if isinstance(started, int) else started.pid
                running[pid], answer = started, pid
            case "wait":
                answer = end_of(running.pop(order["pid"]))
            case "preload":
                import matplotlib.figure
                import pandas
                import torch
                import torch._dynamo

                import stgcn_cli.training.run  # noqa: F401

                answer = [module.__version__ for module in (matplotlib, pandas, torch)]
            case "shell":
                answer = subprocess.run(order["command"], capture_output=True, text=True).stderr
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
