"""Real small disks: a file system of a few megabytes, mounted in a namespace of its own, so that nothing else sees it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Said, environment

MIB = 1 << 20
_FAULTS = ROOT / "tests" / "faults.py"
_TMPFS = 'mount -t tmpfs -o size="$1",nr_inodes=2000 stgcn-test "$2" && exec "$3" "$4"'
_EXT4 = 'mount -o loop,commit=600,noauto_da_alloc "$1" "$2" && exec "$3" "$4"'  # nothing is saved that nobody asks for


class Disk:
    """A small disk and the programs that run where it is mounted.

    `path` is its place for them, `seen` the same place for the test. What they say is written beside it.
    """

    def __init__(self, path: Path, helper: subprocess.Popen) -> None:
        self.path, self.helper = path, helper
        self.seen = Path(f"/proc/{helper.pid}/root{path}")
        self.beside = path.parent
        self._calls = 0

    def start(self, *words: object, env: dict[str, str] | None = None, **order: object) -> tuple[int, Path, Path]:
        """Begin a call of the program in the disk's folder. `fresh`: in a Python of its own; `hook`: see faults.Hook."""
        self._calls += 1
        out, err = (self.beside / f"{self.path.name}{self._calls}.{name}" for name in ("out", "err"))
        settings = environment(self.path) | {"STGCN_CACHE": str(self.path / "cache")} | (env or {})
        pid = self._ask(do="start", words=[str(word) for word in words], cwd=str(self.path), env=settings,
                        out=str(out), err=str(err), **order)  # fmt: skip
        return pid, out, err

    def end(self, started: tuple[int, Path, Path]) -> Said:
        """Wait for it; fails when it shows a traceback or blames itself."""
        pid, out, err = started
        said = Said(self._ask(do="wait", pid=pid), out.read_text(), err.read_text())
        assert "Traceback" not in said.err and "defect of stgcn" not in said.err, said.err
        return said

    def run(self, *words: object, **order: object) -> Said:
        """The program's exit code and words."""
        return self.end(self.start(*words, **order))

    def preload(self) -> None:
        """Import what is slow to import, for all calls that are not `fresh`."""
        self._ask(do="preload")

    def shell(self, *command: object) -> None:
        """A command where the disk is mounted; fails with what it says."""
        said = self._ask(do="shell", command=[str(word) for word in command])
        assert not said, said

    def free(self) -> int:
        """Bytes left."""
        stat = os.statvfs(self.seen)
        return stat.f_bavail * stat.f_frsize

    def fill(self, leave: int) -> None:
        """Take all space but `leave` bytes."""
        with open(self.seen / "ballast", "ab") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, stream.tell() + self.free() - leave))

    @contextlib.contextmanager
    def mounted(self, image: Path) -> Iterator["Disk"]:
        """The disk in the file `image`, beside this one."""
        place = image.with_suffix("")
        place.mkdir()
        self.shell("mount", "-o", "loop", image, place)
        try:
            yield Disk(place, self.helper)
        finally:
            self.shell("umount", place)

    def empty(self) -> None:
        """Give the space back."""
        with contextlib.suppress(FileNotFoundError):
            (self.seen / "ballast").unlink()
        shutil.rmtree(self.seen / "ballast-names", ignore_errors=True)

    def wipe(self) -> None:
        """Remove everything."""
        for path in self.seen.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _ask(self, **order: object) -> object:
        assert self.helper.stdin and self.helper.stdout
        self.helper.stdin.write(json.dumps(order) + "\n")
        self.helper.stdin.flush()
        answer = self.helper.stdout.readline()
        assert answer, "the helper process ended"
        return json.loads(answer)


@contextlib.contextmanager
def plain_folder(folder: Path) -> Iterator[Disk]:
    """A folder on the disk that is there, with the same ways to run the program."""
    (folder / "disk").mkdir()
    with _helper([sys.executable, str(_FAULTS)], folder) as helper:
        yield Disk(folder / "disk", helper)


@contextlib.contextmanager
def small_disk(folder: Path, size: int, kind: str = "tmpfs") -> Iterator[Disk]:
    """A disk of `size` bytes at folder/disk, or a skip that says why there can be none. `kind`: "tmpfs" or "ext4"."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        pytest.skip("small disks are mounted with Linux's unshare")
    (folder / "disk").mkdir()
    script, what = (_TMPFS, str(size)) if kind == "tmpfs" else (_EXT4, str(_image(folder, size)))
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*alone, "sh", "-c", script, "sh", what, str(folder / "disk"), sys.executable, str(_FAULTS)]
    with _helper(command, folder) as helper:
        disk = Disk(folder / "disk", helper)
        try:
            disk.shell("true")
        except (AssertionError, OSError):
            _, said = helper.communicate()
            pytest.skip(f"no small disk can be mounted here: {said.strip()}")
        yield disk


@contextlib.contextmanager
def _helper(command: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    helper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(folder), cwd=ROOT,
    )  # fmt: skip
    try:
        yield helper
    finally:
        helper.kill()
        helper.communicate()


def _image(folder: Path, size: int) -> Path:
    """A file with an empty ext4 in it."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("an ext4 in a file is mounted by root, with mkfs.ext4")
    image = folder / "disk.img"
    with open(image, "wb") as stream:
        stream.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
    return image
