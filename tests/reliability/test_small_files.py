"""Small files that ask for much: refused by name, in time and memory that follow the size of the file."""

import io
import os
import pickle
import signal
import struct
import time

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data import annotations
from stgcn_cli.data.store_build import build
from stgcn_cli.errors import CheckpointError, DataError, UsageError
from stgcn_cli.runs import checkpoint
from tests.factories import checkpoints
from tests.reliability.hostile import changed, in_record, named, text

PLACES = b"\x8a\x05" + (10**8).to_bytes(5, "little")  # 100 million
DTYPE = {kind: named("numpy", "dtype") + text(kind) + b"\x89\x88\x87R" for kind in ("U0", "S0", "f4")}


def array(kind: str, shape: bytes) -> bytes:
    return named("numpy.core.numeric", "_frombuffer") + b"(C\x00" + DTYPE[kind] + shape + text("C") + b"tR"


def one_hash(count: int) -> bytes:
    """A dict whose keys all have the hash 0."""
    keys = (b"\x8a\x0b" + (i * (2**61 - 1)).to_bytes(11, "little") + b"N" for i in range(count))
    return b"\x80\x02}(" + b"".join(keys) + b"u."


LONG = text("a" * 1_000_000) + b"q\x000"
CALLS = b"\x80\x02]" + LONG + named("_codecs", "encode") + b"q\x010" + text("latin1") + b"q\x020"
NUMBERS = b"](" + b"".join(b"J" + struct.pack("<i", i) for i in range(50_000)) + b"eq\x000"
PICKLES = {
    "empty texts": (in_record(array("U0", PLACES + b"\x85")), "U0"),
    "empty bytes": (in_record(array("S0", PLACES + b"\x85")), "S0"),
    "calls on one text": (CALLS + b"h\x01h\x00h\x02\x86R0" * 20_000 + b".", "again and again"),
    "calls on one list": (b"\x80\x02" + NUMBERS + named("builtins", "set") + b"q\x010]" + b"h\x01h\x00\x85R0" * 20_000 + b".", "again and again"),
    "long integers": (in_record(b"\x8b" + struct.pack("<i", 2500) + b"\x7f" * 2500), "2,500 bytes"),
    "long integer as key": (b"\x80\x02}\x8b" + struct.pack("<i", 2500) + b"\x7f" * 2500 + b"Ns.", "2,500 bytes"),
    "digits": (in_record(b"L" + b"9" * 100_000 + b"L\n"), "digits"),
    "memo": (b"\x80\x02]r\xff\xff\xff\x7fj\xff\xff\xff\x7fa.", "contains itself"),
    "nested lists": (b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".", "nested deeper"),
    "nested tuples": (b"\x80\x02N" + b"\x85" * 60_000 + b".", "nested deeper"),
    "empty sets": (b"\x80\x04](" + b"\x8f" * 60_000 + b"e.", "records cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_ask_for_much_are_refused_at_once(tmp_path, name):
    content, cause = PICKLES[name]
    (tmp_path / "x.pkl").write_bytes(content)
    began = time.process_time()
    with pytest.raises(DataError) as refused:
        build(tmp_path / "x.pkl", tmp_path / "store", "key", lambda n: None)
    assert "x.pkl" in refused.value.message and cause in str(refused.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("wrong", [MemoryError, RecursionError])
def test_memory_and_depth_are_errors_of_the_file(tmp_path, monkeypatch, wrong):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": []}))
    monkeypatch.setattr(annotations, "_plain_records", lambda values: (_ for _ in ()).throw(wrong()))
    with pytest.raises(DataError, match=r"x\.pkl"):
        annotations.read(tmp_path / "x.pkl")


def test_ctrl_c_ends_the_reading_of_keys_of_one_hash(tmp_path):
    (tmp_path / "x.pkl").write_bytes(one_hash(200_000))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            annotations.read(tmp_path / "x.pkl")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 10


def test_a_checkpoint_opens_no_other_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.toml")
    path = checkpoints.made(tmp_path / "a.pth")
    value = torch.load(path, weights_only=True)
    own = value["meta"]["preset"].replace('layout = "ntu"', f'layout = "{tmp_path}/fifo.toml"')
    assert own != value["meta"]["preset"]
    with pytest.raises(UsageError, match="is not opened"):
        presets.from_text(own.encode(), str(path), "checkpoint")


def test_tensors_that_share_their_values_again_and_again_are_refused(tmp_path):
    """Copied one by one, 40 MB would be 80 GB."""
    base, path = torch.zeros(100_000), tmp_path / "a.pth"
    torch.save({"state_dict": {f"a{i}": base.view(-1) for i in range(2000)}}, path)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(CheckpointError, match="share"):
        checkpoint.read(path)


def test_an_older_checkpoint_reads_no_storage_twice(tmp_path):
    stream, value = io.BytesIO(), {"cls_head.fc.weight": torch.zeros(3, 8, 1, 1)}
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    content, end = stream.getvalue(), 3 * 8 * 4 + 8  # the values and how many they are
    at = content.rindex(b"\x80\x02]q\x00")
    key = content[at + 5 : content.index(b"a.", at)]
    keys = b"\x80\x02]" + (key[: key.index(b"q")] + b"a") * 20_000 + b"."
    (tmp_path / "a.pth").write_bytes(content[:at] + keys + content[-end:])
    with pytest.raises(CheckpointError, match="list of storages"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.tar"])
def test_compressed_files_are_not_unpacked_to_see_what_they_are(tmp_path, name):
    import bz2
    import gzip
    import lzma

    for pack in (gzip.compress, bz2.compress, lzma.compress):
        (tmp_path / name).write_bytes(pack(bytes(5_000_000)))
        began = time.process_time()
        with pytest.raises(CheckpointError, match=name):
            checkpoint.read(tmp_path / name)
        assert time.process_time() - began < 0.5


def test_good_files_are_still_read(tmp_path):
    path = checkpoints.made(tmp_path / "a.pth")
    assert checkpoint.read(path).preset_text
    path.write_bytes(changed(path.read_bytes(), {}))
    assert checkpoint.read(path).preset_text
