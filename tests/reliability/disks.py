"""Real small disks: file systems of some megabytes, mounted in a namespace of their own, so that nothing else sees them."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.runner import ROOT, Result, environment

MIB = 1 << 20
_TMPFS = ("-t", "tmpfs")
_EXT4 = ("-o", "loop,commit=600,noauto_da_alloc")  # nothing is saved that nobody asks for


class Helper:
    """The process of faults.py: it runs the program, and mounts, in a namespace of its own where the system lets it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.alone = _alone()
        self.process = subprocess.Popen(
            [*self.alone, sys.executable, str(ROOT / "tests" / "reliability" / "faults.py")], text=True, env=environment(self.folder),
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        atexit.register(self.end)
        self.ask(do="preload")

    def ask(self, **order: object) -> object:
        """Give an order and wait for its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the helper process ended"
        return json.loads(answer)

    def shell(self, *command: object) -> str:
        """A command in the namespace; what it complains of."""
        return str(self.ask(do="shell", command=[str(word) for word in command]))

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def _alone() -> list[str]:
    """The words that start a process in its own namespace of mounts; none where that is not allowed."""
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    return []


helper = functools.cache(Helper)  # one for all tests of this process: what is slow to import is imported once


class Disk:
    """A disk, or a folder, and the program that runs there. `path` is its place for the program, `seen` for the test.

    What the program says is written beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.parent
        self.seen = Path(f"/proc/{helper().process.pid}/root{path}") if helper().alone else path
        self._calls = 0

    def start(self, *words: object, env: dict[str, str] | None = None, **order: object) -> tuple[int, Path, Path]:
        """Begin a call of the program in the disk's folder. `fresh`: in a Python of its own; `hook`: see faults.Hook."""
        self._calls += 1
        out, err = (self.beside / f"{self.path.name}{self._calls}.{name}" for name in ("out", "err"))
        out.touch()  # it may be killed before it makes them
        err.touch()
        settings = environment(self.path) | {"STGCN_CACHE": str(self.path / "cache")} | (env or {})
        pid = helper().ask(do="start", words=[str(word) for word in words], cwd=str(self.path), env=settings,
                           out=str(out), err=str(err), **order)  # fmt: skip
        return int(str(pid)), out, err

    def end(self, started: tuple[int, Path, Path]) -> Result:
        """Wait for it; fails when it shows a traceback or blames itself."""
        pid, out, err = started
        said = Result(int(str(helper().ask(do="wait", pid=pid))), out.read_text(), err.read_text())
        assert "Traceback" not in said.err and "defect of stgcn" not in said.err, said.err
        return said

    def run(self, *words: object, **order: object) -> Result:
        """The program's exit code and words."""
        return self.end(self.start(*words, **order))

    def shell(self, *command: object) -> None:
        """A command where the disk is mounted; fails with what it complains of."""
        said = helper().shell(*command)
        assert not said, said

    def free(self) -> int:
        """Bytes left."""
        stat = os.statvfs(self.seen)
        return stat.f_bavail * stat.f_frsize

    def fill(self, leave: int) -> None:
        """Take all space but about `leave` bytes."""
        with open(self.seen / "ballast", "ab") as stream:
            taken = stream.tell() + self.free() - leave
            while taken > 0:
                try:
                    return os.posix_fallocate(stream.fileno(), 0, taken)
                except OSError:  # some is for the file system itself
                    taken -= MIB // 4

    def empty(self) -> None:
        """Give the space back."""
        with contextlib.suppress(FileNotFoundError):
            (self.seen / "ballast").unlink()
        shutil.rmtree(self.seen / "ballast-names", ignore_errors=True)

    def wipe(self) -> None:
        """Remove everything."""
        for path in self.seen.iterdir():
            shutil.rmtree(path, ignore_errors=path.name == "lost+found") if path.is_dir() else path.unlink()


def plain_folder(folder: Path) -> Disk:
    """A folder on the disk that is there, with the same ways to run the program."""
    (folder / "disk").mkdir()
    return Disk(folder / "disk")


@contextlib.contextmanager
def small_disk(folder: Path, size: int, kind: str = "tmpfs") -> Iterator[Disk]:
    """A disk of `size` bytes at folder/disk, or a skip that says why there can be none. `kind`: "tmpfs" or "ext4"."""
    how = (*_TMPFS, "-o", f"size={size},nr_inodes=2000", "stgcn-test") if kind == "tmpfs" else _image(folder, size)
    with mounted(folder / "disk", *how) as disk:
        yield disk


@contextlib.contextmanager
def mounted(place: Path, *how: object) -> Iterator[Disk]:
    """Mount at `place`; `how` are mount's words before it."""
    if not helper().alone:
        pytest.skip("a disk cannot be mounted here: Linux's `unshare --mount` is missing or not allowed")
    place.mkdir()
    if said := helper().shell("mount", *how, place):
        pytest.skip(f"a disk cannot be mounted here: {said.strip()}")
    try:
        yield Disk(place)
    finally:
        helper().shell("umount", "--lazy", place)


def _image(folder: Path, size: int) -> tuple[object, ...]:
    """How to mount a new file, folder/disk.img, with an empty ext4 in it."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("an ext4 in a file is mounted by root, with mkfs.ext4")
    image = folder / "disk.img"
    with open(image, "wb") as stream:
        stream.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
    return (*_EXT4, image)
