"""Files made to harm whoever opens them: each would create the file `mark` when what it asks for were done.

`PICKLES` and `CHECKPOINTS`: name -> (a function of `mark` that gives the bytes, what a refusal must name). The steps of
the pickles are written out, as an attacker would, where Python's own pickler would not write them.
"""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import make_records

Made = tuple[Callable[[Path], bytes], str]


class Calls:
    """Pickled, a call of `function` with `args`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def text(word: str) -> bytes:
    """The step that brings a text."""
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def named(module: str, name: str) -> bytes:
    """The step that brings what is called so."""
    return f"c{module}\n{name}\n".encode()


def touch(mark: Path) -> str:
    """The command that leaves the mark."""
    return f"touch '{mark}'"


def code(mark: Path) -> str:
    """The same in Python."""
    return f"open({str(mark)!r}, 'w').close()"


def system(mark: Path) -> bytes:
    """Steps that run the command."""
    return named("os", "system") + text(touch(mark)) + b"\x85R"


def in_record(steps: bytes) -> bytes:
    """A list of one record whose label is what the steps make."""
    return b"\x80\x02]}" + text("frame_dir") + text("clip") + b"s" + text("label") + steps + b"sa."


def dumped(value: Any, protocol: int = 4) -> bytes:
    """Good records, and the value where a label belongs."""
    records = make_records(2)
    records[1]["label"] = value
    return pickle.dumps({"split": {"xsub_train": ["clip000"]}, "annotations": records}, protocol=protocol)


def _nested(mark: Path) -> bytes:
    return pickle.dumps(Calls(eval, code(mark)), protocol=2)


def _in_dtype(mark: Path) -> bytes:
    steps = b"(K\x03" + text("|") + b"NNN" + b"K\x08K\x01K\x00" + b"}" + text("m") + system(mark) + b"st"
    return in_record(named("numpy", "dtype") + text("M8") + b"\x89\x88\x87R" + steps + b"b")


def _in_split(mark: Path) -> bytes:
    return pickle.dumps({"split": {"xsub_train": Calls(eval, code(mark))}, "annotations": make_records(1)}, protocol=4)


def _map(mark: Path) -> bytes:
    made = named("builtins", "map") + named("os", "system") + b"]" + text(touch(mark)) + b"a\x86\x81"
    return in_record(named("builtins", "frozenset") + made + b"\x85\x81")


def _copyreg(mark: Path) -> bytes:
    made = named("builtins", "map") + named("os", "system") + b"]" + text(touch(mark)) + b"a\x87"
    return in_record(named("builtins", "frozenset") + named("copyreg", "__newobj__") + made + b"R\x85R")


def _npy(mark: Path) -> bytes:
    other = mark.with_suffix(".npy")
    np.save(other, np.array([Calls(eval, code(mark))], dtype=object), allow_pickle=True)
    return in_record(named("numpy", "load") + b"(" + text(str(other)) + b"N\x88tR")


def _torch_load(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.save(Calls(eval, code(mark)), stream)
    return pickle.dumps(Calls(torch.storage._load_from_bytes, stream.getvalue()), protocol=4)


def _getattr(mark: Path) -> bytes:
    found = (
        named("builtins", "getattr") + named("pathlib", "Path") + text(str(mark)) + b"\x85R" + text("touch") + b"\x86R"
    )
    return in_record(found + b")R")


def _attribute(mark: Path) -> bytes:
    """An allowed table is given a method of its own, which filling it in then calls."""
    table = named("collections", "OrderedDict") + b")R"
    return in_record(table + b"}" + text("__setstate__") + named("os", "system") + b"sb" + text(touch(mark)) + b"b")


def _memo(mark: Path) -> bytes:
    return b"\x80\x02" + named("os", "system") + b"q\x00" + b"0]h\x00" + text(touch(mark)) + b"\x85Ra."


def _reader(protocol: int = 2) -> Callable[[Path], bytes]:
    return lambda mark: dumped(Calls(eval, code(mark)), protocol)


PICKLES: dict[str, Made] = {
    "os.system": (lambda mark: in_record(system(mark)), "os.system"),
    "builtins.eval": (_reader(), "eval"),
    "builtins.exec": (lambda mark: dumped(Calls(exec, code(mark)), 4), "builtins.exec"),
    "protocol 0": (_reader(0), "eval"),
    "protocol 5": (_reader(5), "builtins.eval"),
    "subprocess": (lambda mark: in_record(named("subprocess", "call") + b"]" + text("touch") + b"a" + text(str(mark)) + b"a\x85R"), "subprocess.call"),
    "open": (lambda mark: in_record(named("io", "open") + text(str(mark)) + text("w") + b"\x86R"), "io.open"),
    "chain of getattr": (_getattr, "builtins.getattr"),
    "instance": (lambda mark: b"\x80\x02](" + text(touch(mark)) + b"ios\nsystem\na.", "os.system"),
    "object": (lambda mark: b"\x80\x02](" + named("os", "system") + text(touch(mark)) + b"oa.", "os.system"),
    "new object": (_map, "builtins.map"),
    "copyreg": (_copyreg, "copyreg.__newobj__"),
    "state of an allowed class": (_attribute, "os.system"),
    "array of objects": (lambda mark: dumped(np.array([Calls(eval, code(mark))], dtype=object)), "builtins.eval"),
    "state of a type": (_in_dtype, "the array type 'M8'"),
    "memo": (_memo, "os.system"),
    "pickle in a pickle": (lambda mark: in_record(named("_pickle", "loads") + b"C" + bytes([len(_nested(mark))]) + _nested(mark) + b"\x85R"), "_pickle.loads"),
    "numpy.load": (_npy, "numpy.load"),
    "torch": (_torch_load, "torch.storage._load_from_bytes"),
    "dotted name": (lambda mark: b"\x80\x04]\x8c\x06shutil\x8c\x09os.system\x93" + text(touch(mark)) + b"\x85Ra.", "shutil.os.system"),
    "in the splits": (_in_split, "builtins.eval"),
    "timeit, once": (lambda mark: in_record(named("timeit", "timeit") + b"(" + text(code(mark)) + text("pass") + named("time", "perf_counter") + b"K\x01tR"), "timeit.timeit"),
}  # fmt: skip


def _state() -> dict[str, Any]:
    return {"cls_head.fc.weight": torch.zeros(3, 8, 1, 1), "backbone.data_bn.weight": torch.ones(75)}


def _saved(value: Any, modern: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=modern)
    return stream.getvalue()


def with_steps(steps: bytes) -> bytes:
    """An archive of torch whose pickle is replaced."""
    return changed(_saved({"state_dict": _state()}), {"data.pkl": steps})


def changed(archive: bytes, contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The zip with other contents in some of its files (new ones are added)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(stream, "w", method) as new:
        names = [info.filename for info in old.infolist()]
        folder = names[0].split("/")[0]
        for name in names:
            short = name.split("/", 1)[1]
            new.writestr(name, contents.get(short, old.read(name)))
        for short in contents:
            if f"{folder}/{short}" not in names:
                new.writestr(f"{folder}/{short}", contents[short])
    return stream.getvalue()


def _in_meta(steps: bytes) -> bytes:
    return with_steps(b"\x80\x02}" + text("meta") + b"}" + text("best") + steps + b"ss.")


def _tar(mark: Path) -> bytes:
    """The form of 2016: a tar whose first pickle is read before anything else."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("storages", "tensors", "pickle"):
            content = _nested(mark)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _older(mark: Path) -> bytes:
    return _saved({"state_dict": _state(), "meta": {"x": Calls(eval, code(mark))}}, modern=False)


def _older_system(mark: Path) -> bytes:
    """The call stands in the description of the system, which is read before the weights."""
    good = _saved({"state_dict": _state()}, modern=False)
    at = good.index(b"\x80\x02}", 10)
    return good[:at] + _nested(mark) + good[at:]


def _from_type(mark: Path) -> bytes:
    call = (
        named("torch._tensor", "_rebuild_from_type_v2")
        + b"("
        + named("os", "system")
        + named("torch", "Tensor")
        + text(touch(mark))
        + b"\x85}tR"
    )
    return _in_meta(call)


def _hook(mark: Path) -> bytes:
    good = _saved({"state_dict": _state()})
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        steps = archive.read(archive.namelist()[0])
    return changed(good, {"data.pkl": steps[:-1] + b"0" + system(mark) + b"."})


CHECKPOINTS: dict[str, Made] = {
    "os.system": (lambda mark: with_steps(b"\x80\x02" + system(mark) + b"."), "os.system"),
    "builtins.exec": (lambda mark: _saved({"state_dict": Calls(exec, code(mark))}), "exec"),
    "in meta": (lambda mark: _saved({"state_dict": _state(), "meta": {"CLASSES": [Calls(eval, code(mark))]}}), "eval"),
    "in the optimizer": (lambda mark: _saved({"state_dict": _state(), "optimizer": {"state": Calls(eval, code(mark))}}), "eval"),
    "beside the weights": (_hook, "os.system"),
    "older form": (_older, "eval"),
    "older form, system": (_older_system, "eval"),
    "tar": (_tar, "a tar"),
    "archive in an archive": (lambda mark: _saved({"meta": Calls(torch.storage._load_from_bytes, _saved(Calls(eval, code(mark))))}), "torch.storage._load_from_bytes"),
    "pickle in a pickle": (lambda mark: _in_meta(named("_pickle", "loads") + named("_codecs", "encode") + text(_nested(mark).decode("latin1")) + text("latin1") + b"\x86R\x85R"), "_pickle.loads"),
    "rebuilt from a type": (_from_type, "torch._tensor._rebuild_from_type_v2"),
    "new object": (lambda mark: _in_meta(_map(mark).partition(text("label"))[2].removesuffix(b"sa.")), "builtins.map"),
    "state of a table": (lambda mark: _in_meta(_attribute(mark).partition(text("label"))[2].removesuffix(b"sa.")), "os.system"),
    "array of objects": (lambda mark: _saved({"meta": np.array([Calls(eval, code(mark))], dtype=object)}), "eval"),
}  # fmt: skip
