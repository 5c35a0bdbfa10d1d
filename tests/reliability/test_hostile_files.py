"""Files made to harm: each is refused with what it asked for by name, and nothing in it is run."""

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stgcn_cli.data import annotations
from stgcn_cli.data.store import open_store
from stgcn_cli.errors import CheckpointError, DataError
from stgcn_cli.runs import archive
from tests.cli.runner import ROOT, environment
from tests.reliability import hostile
from tests.reliability.hostile import named, text

_LIVE = """
import copyreg, json, pickle, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
for path in sys.argv[2:]:
    try:
        if sys.argv[1] == "pickle":
            pickle.load(open(path, "rb"))
        else:
            import torch

            torch.load(path, weights_only=False)
    except Exception as error:
        print(path, type(error), error, file=sys.stderr)
"""
_PROGRAM = """
import contextlib, io, json, sys
from stgcn_cli.cli import app
told = {}
for words in json.load(sys.stdin):
    err, sys.argv = io.StringIO(), ["stgcn", *words]
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(err):
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
    told[words[-1]] = [code, err.getvalue()]
print(json.dumps(told))
"""


def written(folder: Path, made: dict[str, hostile.Made], suffix: str) -> dict[str, tuple[Path, Path]]:
    """name -> (the file, the mark it would leave)."""
    (folder / "marks").mkdir(parents=True)
    files = {}
    for index, (name, (make, _)) in enumerate(made.items()):
        path, mark = folder / f"{index}{suffix}", folder / "marks" / str(index)
        path.write_bytes(make(mark))
        files[name] = path, mark
    return files


def python(program: str, *words: object, folder: Path, given: str = "") -> str:
    """What such a program says."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, env=environment(folder), input=given, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def told_by_the_program(folder: Path, calls: list[list[str]]) -> dict[str, tuple[int, str]]:
    """For the last word of each call of the program: the exit code, and what was printed."""
    return {
        word: tuple(told) for word, told in json.loads(python(_PROGRAM, folder=folder, given=json.dumps(calls))).items()
    }


@pytest.mark.parametrize("kind", ["pickle", "checkpoint"])
def test_nothing_is_run_and_the_refusal_names_what_was_wanted(tmp_path, kind):
    made, suffix = (hostile.PICKLES, ".pkl") if kind == "pickle" else (hostile.CHECKPOINTS, ".pth")
    files = written(tmp_path, made, suffix)
    words = ["train", "-p", "demo", "--device", "cpu", "--data"] if kind == "pickle" else ["checkpoint", "inspect"]
    told = told_by_the_program(tmp_path, [[*words, str(path)] for path, _ in files.values()])
    for name, (path, mark) in files.items():
        code, said = told[str(path)]
        assert not mark.exists(), f"{name} was run"
        assert code == (3 if kind == "pickle" else 4), (name, said)
        assert str(path) in said and made[name][1] in said and "No code was executed." in said, (name, said)
        assert "Traceback" not in said and "Unexpected" not in said


@pytest.mark.parametrize("kind", ["pickle", "checkpoint"])
def test_unchecked_they_do_harm(tmp_path, kind):
    """Read without care, every one of them leaves its mark: the test above can fail."""
    made, suffix = (hostile.PICKLES, ".pkl") if kind == "pickle" else (hostile.CHECKPOINTS, ".pth")
    files = written(tmp_path, made, suffix)
    python(_LIVE, kind, *(path for path, _ in files.values()), folder=tmp_path)
    harmless = [name for name, (_, mark) in files.items() if not mark.exists()]
    assert harmless == [], "these would do nothing anyway"


def refused_pickle(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        annotations.read(tmp_path / "x.pkl")
    return caught.value.message


@pytest.mark.parametrize(("steps", "wanted"), [
    (b"Pname\n", "a persistent object"), (text("name") + b"Q", "a persistent object"),
    (b"\x82\x01", "a registered extension"), (b"\x84\x01\x00\x00\x00", "a registered extension"),
    (b"\x97", "a buffer outside the file"), (named("numpy", "ndarray") + b"K\x02\x85R", "a call of numpy.ndarray"),
    (named("numpy", "dtype") + b"]" + text("a") + text("O") + b"\x86a\x85R", "the array type a list"),
    (named("numpy", "dtype") + text("V8") + b"\x89\x88\x87R", "the array type 'V8'"),
    (named("_codecs", "encode") + b"}b", "attributes of _codecs.encode"), (named("builtins", "set"), "builtins.set itself"), (named("numpy.core.multiarray", "_reconstruct") + named("numpy", "load") + b"\x85R", "numpy.load"), (named("builtins", "getattr"), "builtins.getattr"), (named("\x1b[31m", "x"), r"'\x1b[31m'.x"),
])  # fmt: skip
def test_what_calls_nothing_is_refused_all_the_same(tmp_path, steps, wanted):
    assert f"it references {wanted}, which an annotation file may not contain" in refused_pickle(
        tmp_path, hostile.in_record(steps)
    )


@pytest.mark.parametrize(("steps", "wrong"), [
    (named("fractions", "Fraction") + text("1e999999999") + b"\x85R", "fractions.Fraction"),  # a number of 400 MB
    (named("builtins", "set") + named("builtins", "range") + b"J\xff\xff\xff\x7f\x85R\x85R", "from a range"),
    (named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"\x85R", "inconsistent array"),
    (b"]" + b"K\x00K\x01s", "sets items of []"),
], ids=range(4))  # fmt: skip
def test_arguments_that_would_take_forever_or_make_no_sense_are_refused(tmp_path, steps, wrong):
    assert wrong in refused_pickle(tmp_path, hostile.in_record(steps))


def test_the_limit_of_the_address_space_is_restored(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    assert "more memory" in refused_pickle(tmp_path, b"\x80\x02B\xff\xff\xff\xff")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_forged_array_type_cannot_reach_memory(tmp_path):
    """A record type with an object in it that says it has none: numpy itself follows the bytes as a pointer, and dies."""
    inner = named("numpy", "dtype") + text("O8") + b"\x89\x88\x87R"
    state = b"(K\x03" + text("|") + b"N(" + text("a") + b"t}" + text("a") + inner + b"K\x00\x86sK\x08K\x01K\x00tb"
    forged = named("numpy", "dtype") + text("V8") + b"\x89\x88\x87R" + state
    array = (
        named("numpy.core.multiarray", "_reconstruct")
        + named("numpy", "ndarray")
        + b"K\x00\x85C\x01b\x87R(K\x01K\x02\x85"
        + forged
    )
    steps = array + b"\x89C\x10" + struct.pack("<QQ", 0x4141414141414141, 0x4242424242424242) + b"tb"
    assert "it references the array type 'V8'" in refused_pickle(tmp_path, hostile.in_record(steps))
    plain = named("numpy", "dtype") + text("f8") + b"\x89\x88\x87R" + state
    assert "it references an array type with parts" in refused_pickle(tmp_path, hostile.in_record(plain))


def _doubled(start: bytes, times: int) -> bytes:
    """A value in a pair in a pair …: tiny in memory, endless for whoever walks through it."""
    put, get = (lambda i: b"r" + struct.pack("<I", i)), (lambda i: b"j" + struct.pack("<I", i))
    return start + put(0) + b"".join(get(i) + get(i) + b"\x86" + put(i + 1) for i in range(times)) + get(times)


@pytest.mark.parametrize("place", ["label", "total_frames", "key", "split"])
def test_endlessly_nested_values_end_at_once(tmp_path, place):
    nested, it = b"\x80\x02" + _doubled(b")", 100) + b"0", b"j" + struct.pack("<I", 100)
    contents = {
        "key": b"]}" + it + b"Nsa.",
        "split": b"}" + text("annotations") + b"]}as" + text("split") + b"}" + text("t") + b"]" + it + b"ass.",
    }
    record = b"]}" + text("frame_dir") + text("clip") + b"s" + text(place) + it + b"sa."
    (tmp_path / "x.pkl").write_bytes(nested + contents.get(place, record))
    with pytest.raises(DataError) as caught:
        open_store(tmp_path / "x.pkl", tmp_path / "cache")
    assert len(caught.value.message) < 1000


def refused_checkpoint(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        archive.read(tmp_path / "x.pth")
    return caught.value.message


def wild_tensor(size: int, stride: int, values: int = 3) -> bytes:
    """A tensor of `size` values in a storage of `values` (12 bytes are in the file)."""
    long = lambda n: b"\x8a\x08" + struct.pack("<q", n)  # noqa: E731
    storage = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + long(values) + b"tQ"
    steps = (
        named("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + storage
        + b"K\x00"
        + long(size)
        + b"\x85"
        + long(stride)
        + b"\x85\x89"
    )
    content = b"\x80\x02}" + text("w") + steps + named("collections", "OrderedDict") + b")RtRs."
    return hostile.changed(hostile.with_steps(content), {"data/0": bytes(12)})


@pytest.mark.parametrize(("content", "told"), [
    (wild_tensor(1 << 40, 1), "claims a tensor of the shape (1099511627776)"),
    (wild_tensor(1 << 40, 0), "claims a tensor of the shape (1099511627776)"),
    (wild_tensor(3, 1 << 40), "claims a tensor of the shape (3)"),
    (wild_tensor(1 << 40, 1, 1 << 40), "does not contain the 4,398,046,511,104 bytes of the storage 0"),
    (wild_tensor(-1, 1), "an inconsistent tensor"),
    (hostile.changed(hostile.with_steps(b"\x80\x02}."), {"data/big": bytes(2_000_000)}, zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    (hostile.changed(hostile.with_steps(b"\x80\x02}."), {"constants.pkl": b"\x80\x02)."}), "TorchScript"),
    (hostile.with_steps(b"\x80\x02" + _doubled(b")", 60) + b"0}j" + struct.pack("<I", 60) + b"Ns."), "keys that are not plain values"),
    (hostile.with_steps(b"\x80\x02" + _doubled(b")", 60) + b"0}" + text("meta") + b"j" + struct.pack("<I", 60) + b"s."), "more than 50,000,000 values"),
    (hostile.with_steps(b"\x80\x02]q\x00h\x00a."), "contains itself"),
    (hostile.with_steps(b"\x80\x02" + named("builtins", "bytearray") + b"\x8a\x06" + struct.pack("<q", 1 << 40)[:6] + b"\x85R."), "inconsistent bytes"),
], ids=range(11))  # fmt: skip
def test_a_checkpoint_cannot_claim_more_than_it_holds(tmp_path, content, told):
    assert told in refused_checkpoint(tmp_path, content)
