"""Files of the user are neither removed, replaced nor written through, whatever lies in a run folder, cache or store."""

import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from stgcn_cli.data.store import open_store
from stgcn_cli.errors import StgcnError, UsageError
from stgcn_cli.io import files, locks, own_files
from stgcn_cli.io.download import fetch
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.runs import folder as runs
from stgcn_cli.runs.log import RunLog
from tests.cli.runner import run_stgcn
from tests.factories.http_server import Served
from tests.factories.served import CONTENT, QUICK, wanted
from tests.io.conftest import mirror, target  # noqa: F401
from tests.reliability.commands import records_with, setting

OWN = ("best.pth.123-abcdef.part", "log.jsonl.9-00ff00.part")
OTHERS = (
    "movie.part",
    "best.pth.part",
    "best.pth.mine.part",
    "x.1-ABCDEF.part",
    "x.1-abcdef0.part",
    "notes.1-abcdef.part",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return setting(tmp_path_factory.mktemp("inputs"), run_stgcn)


@pytest.fixture
def precious(tmp_path):
    """A file of the user outside of the folder."""
    path = tmp_path / "precious"
    path.write_text("years of work")
    yield path
    assert path.read_text() == "years of work"


def test_only_names_of_the_programs_own_pattern_are_removed(tmp_path, precious):
    run = tmp_path / "run"
    for name in (*OWN, *OTHERS):
        (run / f"{name}.d" if name == "movie.part" else run).mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (run / "kept.part").mkdir()
    (run / "link.pth.1-abcdef.part").symlink_to(precious)
    runs.remove_abandoned(run)
    left = {path.name for path in run.iterdir()}
    assert left == {*OTHERS, "movie.part.d", "kept.part", "link.pth.1-abcdef.part"}


def test_what_is_left_of_one_file_is_not_taken_for_another(tmp_path):
    (tmp_path / "x.pkl.mine.part").write_text("mine")
    (tmp_path / "x.pkl.y.1-abcdef.part").write_text("of x.pkl.y")
    (tmp_path / "x.pkl.1-abcdef.part").write_text("left")
    with files.atomic_write(tmp_path / "x.pkl"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"x.pkl", "x.pkl.mine.part", "x.pkl.y.1-abcdef.part"}


def links(path, precious):
    """Makers of what may stand under a name that the program writes."""
    return {"link": lambda: path.symlink_to(precious), "hard link": lambda: os.link(precious, path), "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir}  # fmt: skip


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["run.lock", "log.jsonl", "results.csv"])
def test_a_run_folder_from_elsewhere_writes_to_no_other_file(tmp_path, precious, kind, name):
    run = tmp_path / "run"
    run.mkdir()
    links(run / name, precious)[kind]()
    if (kind, name) in (("hard link", "results.csv"), ("pipe", "results.csv")):
        return  # replaced by name: the other file stays
    with pytest.raises(StgcnError, match=name), runs.held(run):
        RunLog(run).write({"mode": "train", "epoch": 1, "iter": 1})
        with files.atomic_write(run / name):
            pass


def test_every_name_of_a_run_is_looked_at_before_it_starts(tmp_path, precious):
    run = tmp_path / "run"
    for name in ("best.pth", "last.pth", "epoch_3.pth", "preset.toml", "report.html", "best.result.npz", "log.jsonl"):
        run.mkdir(exist_ok=True)
        (run / name).symlink_to(precious)
        with pytest.raises(UsageError, match="symbolic link"), runs.held(run):
            pass
        (run / name).unlink()


@pytest.mark.parametrize("kind", ["link", "hard link"])
@pytest.mark.parametrize("name", ["file.pth.part", "file.pth.part.json", "file.pth.lock"])
def test_a_cache_from_elsewhere_writes_to_no_other_file(mirror, target, precious, kind, name):  # noqa: F811
    target.parent.mkdir(exist_ok=True)
    links(target.with_name(name), precious)[kind]()
    mirror.files["/file.pth"] = Served(CONTENT)
    if name.endswith(".part"):
        notes = {"url": f"{mirror.base}/file.pth", "validator": "", "total": len(CONTENT)}
        target.with_name("file.pth.part.json").write_text(json.dumps(notes))
        with pytest.raises(UsageError, match=name):
            fetch(wanted(mirror, target), SILENT, QUICK)
    else:
        with contextlib.suppress(UsageError):
            assert fetch(wanted(mirror, target), SILENT, QUICK).read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_caches_of_others_are_not_trusted(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("STGCN_CACHE", str(cache))
    assert own_files.cache_folder() == cache
    os.chmod(cache, 0o777)
    with pytest.raises(UsageError, match="all users"):
        own_files.cache_folder()
    os.chmod(cache, 0o1777)
    assert own_files.cache_folder() == cache  # as /tmp: nobody renames the files of others
    os.chown(cache, 12345, 12345)
    with pytest.raises(UsageError) as caught:
        own_files.cache_folder()
    assert "another user" in caught.value.message and "$STGCN_CACHE" in caught.value.hint


def test_waiting_for_a_lock_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    told, done = [], threading.Event()
    with locks.locked(tmp_path / "a.lock"):
        other = threading.Thread(target=lambda: _wait(tmp_path / "a.lock", told, done))
        other.start()
        while not told:
            assert not done.wait(0.01)
        with locks.locked(tmp_path / "b.lock", wait=False):
            pass
    other.join(10)
    assert told[0].startswith(f"process {os.getpid()} on ") and done.is_set()


def _wait(path, told, done):
    with locks.locked(path, on_wait=told.append):
        done.set()


PIPES = {  # what is typed, and what it answers where a stranger put a pipe: an exit code
    "best.result.npz": (("report", "run"), 3),
    "environment.json": (("report", "run"), 0),
    "log.jsonl": (("runs", "run"), 0),
    "clips/clip.skeleton": (("data", "inspect", "run/clips/clip.skeleton"), 3),
    "clips/clips": (("data", "inspect", "run/clips"), 3),
    "own.toml": (("view", "--layout", "run/own.toml"), 2),
    "r.csv": (("fuse", "run/r.csv", "run/best.result.npz"), 3),
}


@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_is_not_waited_for(inputs, tmp_path, name):
    words, code = PIPES[name]
    run = shutil.copytree(inputs / "run", tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    os.mkfifo(run / name)
    said = run_stgcn(tmp_path, *words, timeout=30)
    assert said.code == code and (code == 0 or Path(name).name in said.err), said


def test_a_store_whose_checksums_leave_a_file_out_is_rebuilt(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(records_with(["a", "b"]))
    found, notes = open_store(path, tmp_path / "cache"), []
    (found.path / "sums.json").write_text("{}")
    (found.path / "names.json").unlink()
    os.mkfifo(found.path / "names.json")
    assert open_store(path, tmp_path / "cache", note=notes.append).names == ["a", "b"] and "rebuilt" in notes[0]
