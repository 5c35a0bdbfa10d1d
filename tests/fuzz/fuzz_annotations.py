"""Annotation pickles of both dialects and all protocols, through reading and the building of a store."""

import pickle
import random
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import store
from stgcn_cli.data.output import list_item, one_pickle
from stgcn_cli.data.store_build import build
from stgcn_cli.errors import DataError
from tests.fuzz.mutate import some_bytes, some_steps
from tests.fuzz.target import Target, refused

_DTYPES = ("f2", "f4", "f8", ">f4", ">f2", "i2", ">i4", "u1", "i8", "f16", "c8", "?", "S3", "U2", "O")
_SHAPES = ((1, 3, 5, 3), (2, 3, 5, 3), (1, 8, 5, 3), (0, 3, 5, 3), (1, 0, 5, 3), (1, 3, 0, 3), (1, 3, 5, 0), (3, 5, 3), (), (0,),
           (101, 1, 5, 3), (1, 3, 17, 3), (1, 3, 5, 2), (1, 1, 1, 1, 1))  # fmt: skip
_LABELS: tuple[Any, ...] = (0, 1, -1, None, True, 10**6, 10**4000, 1.0, float("nan"), "walk", b"x", [1], (), np.int64(2), np.float32(1),
           np.array(1), np.array([1]), {}, {"a"}, 1j)  # fmt: skip
_NAMES: tuple[Any, ...] = ("clip0", "clip1", "", "a\x1b[31mb", "a\nb", "\u202eabc", "\ud800", "x" * 5000, "../../x", 7, None, b"clip", ["a"],
          np.str_("clip2"), "\x00", "é", ("a",))  # fmt: skip
_STEPS = [b"cos\nsystem\n", b"cbuiltins\neval\n", b"cposix\nsystem\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c__builtin__\nset\n",
          b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n", b"cnumpy._core.numeric\n_frombuffer\n",
          b"c_codecs\nencode\n", b"ccollections\nOrderedDict\n", b"cbuiltins\nbytearray\n", b"cbuiltins\ncomplex\n", b"ios\nsystem\n",
          b"\x8c\x02os\x8c\x06system\x93", b"\x8c\x05numpy\x8c\x04load\x93", b"R", b"b", b"\x81", b"\x92", b"o", b"\x82\x01", b"\x83\x01\x00",
          b"Pid\n", b"Q", b"\x97", b"\x98", b"(", b"0", b"1", b"2", b"t", b")", b"\x85", b"\x86", b"\x87", b"]", b"}", b"\x8f", b"\x91", b"\x90",
          b"a", b"e", b"s", b"u", b"d", b"l", b"N", b"\x88", b"\x89", b"K\x07", b"I01\n", b"L9L\n", b"F1.5\n", b"S'a'\n", b"Va\n", b"U\x01a",
          b"X\x02\x00\x00\x00f8", b"X\x01\x00\x00\x00O", b"X\x02\x00\x00\x00V8", b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>", b"C\x01b",
          b"B\xff\xff\xff\xff", b"\x8e" + struct.pack("<Q", 1 << 60), b"\x96" + struct.pack("<Q", 1 << 40), b"\x8b\x08\x00\x00\x00" + b"\x7f" * 8,
          b"\x8a\x08" + b"\x7f" * 8, b"J\xff\xff\xff\xff", b"\x94", b"q\x00", b"h\x00", b"h\x05", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f",
          b"p1\n", b"g1\n", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b".", b"\x80\x05", b"\x80\xff", b"\x95" + bytes(8), b"\xff"]  # fmt: skip


def _record(rng: random.Random, index: int) -> dict[str, Any]:
    frames, score = rng.choice((1, 3, 30)), rng.random() < 0.1
    keypoint = np.random.default_rng(rng.randrange(99)).normal(0, 1, (rng.choice((1, 2)), frames, 5, 3)).astype("f4")
    record = {"frame_dir": f"clip{index}", "label": index % 3, "total_frames": frames, "keypoint": keypoint}
    if score:
        record |= {"keypoint_score": keypoint[..., 0], "img_shape": (1080, 1920)}
    return record


def _strange(rng: random.Random, record: dict[str, Any]) -> Any:
    """The record with one or two things that are not as they should be."""
    for _ in range(rng.choice((1, 1, 2))):
        match rng.randrange(12):
            case 0:
                record["label"] = rng.choice(_LABELS)
            case 1:
                record["frame_dir"] = rng.choice(_NAMES)
            case 2:
                record["total_frames"] = rng.choice((0, -1, 10**9, 1.0, None, "3", True, np.int32(2), 1 << 70, [3]))
            case 3 | 4:
                record["keypoint"] = _array(rng)
            case 5:
                record["keypoint"] = (
                    record["keypoint"] * rng.choice((np.nan, np.inf, 1e30, 0.0)) if _is_float(record) else None
                )
            case 6:
                record["keypoint_score"] = rng.choice((None, _array(rng), 1.0, []))
            case 7:
                record.pop(rng.choice(list(record)), None) if record else None
            case 8:
                record["img_shape"] = rng.choice(
                    ((0, 0), (1,), "ab", (1080.0, 1920), [1080, 1920], (10**40, 1), np.array([1, 2]))
                )
            case 9:
                return rng.choice((None, [], "record", 3, record.get("keypoint"), {}, (record,), {1: 2}))
            case 10 if _is_float(record):
                with np.errstate(all="ignore"):
                    record["keypoint"] = record["keypoint"].astype(rng.choice(_DTYPES[:9]))
            case _ if _is_float(record):
                record["keypoint"] = np.asfortranarray(record["keypoint"])
    return record


def _is_float(record: dict[str, Any]) -> bool:
    value = record.get("keypoint")
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _array(rng: random.Random) -> Any:
    shape, dtype = rng.choice(_SHAPES), rng.choice(_DTYPES)
    return np.ones(shape, dtype) if dtype not in ("S3", "U2") else np.full(shape, "1", dtype)


def _splits(rng: random.Random, names: list[Any]) -> Any:
    odd = ([], names, names[:1] * 2, [*names, "gone"], tuple(names), np.array(["clip0", "clip1"]), "clip0", None, 3, [1, 2], [["clip0"]],
           {"a": 1}, np.array([["clip0"]], object), np.zeros(2), [None])  # fmt: skip
    texts = [name for name in names if isinstance(name, str)]
    plain = {"a_train": texts, "a_val": texts[:1]}
    return plain if rng.random() < 0.6 else {rng.choice(("t", 1, None, "\x1b[2J", (1, 2))): rng.choice(odd), "b": texts}


def _written(rng: random.Random, strange: bool) -> bytes:
    """A pickle: of some dialect and protocol, of good records, or of some that are not."""
    records: list[Any] = [_record(rng, i) for i in range(rng.choice((1, 2, 3)))]
    if strange:
        at = rng.randrange(len(records))
        records[at] = _strange(rng, records[at])
        if rng.random() < 0.1:
            records.append(records[0])
    names = [record.get("frame_dir") for record in records if isinstance(record, dict)]
    value: Any = records
    if rng.random() < 0.6:
        splits = _splits(rng, names) if strange else {"a_train": names}
        pairs = [("split", splits), ("annotations", records)]
        value = dict(pairs if rng.random() < 0.5 else pairs[::-1])
    return pickle.dumps(value, protocol=rng.randrange(6))


def _seeds() -> list[bytes]:
    rng = random.Random(0)
    return [_written(rng, strange=False) for _ in range(24)] + [_ours()]


def _ours() -> bytes:
    """As `stgcn prepare` writes it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, rng = Path(folder) / "x.pkl", random.Random(1)
        with one_pickle(path, {"a_train": ["clip0", "clip1"]}) as add:
            for index in range(2):
                add(list_item(_record(rng, index)), ["a_train"])
        return path.read_bytes()


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    chance = rng.random()
    if chance < 0.35:
        return _written(rng, strange=True)
    if chance < 0.85:
        return some_steps(rng, data, seeds, _STEPS)
    return some_bytes(rng, data, seeds)


def _attempt(data: bytes, folder: Path) -> str:
    path, place = folder / "some_train.pkl", folder / "store"
    path.write_bytes(data)
    try:
        build(path, place, "key", lambda n: None)
    except DataError as error:
        assert not list(folder.glob("store*")), "something is left of a store"
        return refused(error, path)
    opened = store._open(place, path)
    for name in ("a_train", "train"):
        opened.indices(name)
    for starts, length in zip(opened.starts, opened.lengths, strict=True):
        for start in starts:
            assert np.isfinite(opened.frames[start : start + (length if start else 1)]).all()
    shutil.rmtree(place)
    return "built"


TARGET = Target(
    "annotations", _seeds, _mutate, _attempt,
    ("safe_pickle.py", "pickle_values.py", "annotations.py", "pickles.py", "records.py", "store_build.py"),
    memory_mb=700,
)  # fmt: skip
