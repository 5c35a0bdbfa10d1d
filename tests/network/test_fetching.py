"""One file over a real local server that drops, lies, redirects and serves the wrong thing."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pickle
import random
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from stgcn_cli.errors import NetworkError, RunError
from stgcn_cli.network import fetching, web
from stgcn_cli.network.fetching import Wanted, fetch
from stgcn_cli.screen import SILENT, Screen
from tests.mirror import Served, running

CONTENT = random.Random(0).randbytes(700_001)
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]
QUICK = (0.0, 0.01, 0.02)


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        yield server


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "cache" / "file.pth"


def wanted(mirror, target, **changes) -> Wanted:
    return dataclasses.replace(Wanted(f"{mirror.base}/file.pth", target, 10_000_000, PREFIX), **changes)


def refused(mirror, target, served, **changes) -> str:
    """What the error says when `served` is fetched; nothing may lie under the final name."""
    mirror.files["/file.pth"] = served
    with pytest.raises(NetworkError) as caught:
        fetch(wanted(mirror, target, **changes), SILENT, QUICK)
    assert not target.exists()
    return str(caught.value)


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_arrives_whole_and_leaves_nothing_else(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT)
    assert fetch(wanted(mirror, target), SILENT) == target
    assert target.read_bytes() == CONTENT and left(target) == {"file.pth"}
    fetch(wanted(mirror, target), SILENT)
    assert len(mirror.asked) == 1  # what is there and right is not fetched again


def test_a_dropped_connection_is_resumed(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, drops=[300_000, 200_000])
    notes = []
    fetch(wanted(mirror, target), Screen(note=notes.append), QUICK)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges_asked() == [None, "bytes=300000-", "bytes=500000-"]
    assert "300,000 of 700,001" in notes[0] and "trying again" in notes[0]


def test_the_next_call_goes_on_where_this_one_gave_up(mirror, target):
    assert "300,000 bytes are kept" in refused(mirror, target, Served(CONTENT, drops=[300_000, 0, 0, 0]))
    mirror.asked.clear()
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert mirror.ranges_asked() == ["bytes=300000-"] and target.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', ""])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_hashed_file_survives_any_server(mirror, target, etag, ranges):
    mirror.files["/file.pth"] = Served(CONTENT, etag=etag, ranges=ranges, drops=[300_000])
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_without_hash_and_mark_a_part_is_never_gone_on_with(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, etag="", drops=[300_000])
    fetch(wanted(mirror, target, sha256_prefix=""), SILENT, QUICK)
    assert mirror.ranges_asked() == [None, None] and target.read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_fetched_from_its_beginning(mirror, target):
    old = Served(os.urandom(700_001), etag='"old"', drops=[300_000, 0, 0, 0])
    refused(mirror, target, old, sha256_prefix="")
    mirror.files["/file.pth"] = Served(CONTENT, etag='"new"')
    fetch(wanted(mirror, target, sha256_prefix=""), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_pieces_that_do_not_fit_are_thrown_away(mirror, target):
    """The mark stayed the same although the file changed: only the hash can tell."""
    refused(mirror, target, Served(os.urandom(700_001), drops=[300_000, 0, 0, 0]))
    mirror.files["/file.pth"] = Served(CONTENT)
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_a_piece_from_elsewhere_is_not_appended(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, drops=[300_000], shift=7)
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(mirror, target):
    target.parent.mkdir()
    Path(f"{target}.part").write_bytes(CONTENT + b"more")
    mirror.files["/file.pth"] = Served(CONTENT)
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_a_whole_part_is_only_renamed(mirror, target):
    """Killed between the last byte and the rename."""
    target.parent.mkdir()
    Path(f"{target}.part").write_bytes(CONTENT)
    notes = {"url": f"{mirror.base}/file.pth", "validator": '"1"', "total": len(CONTENT)}
    Path(f"{target}.part.json").write_text(json.dumps(notes))
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT and not mirror.asked


def test_a_busy_server_is_asked_again_with_growing_pauses(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, fails=[503, 500, 429])
    began = time.monotonic()
    fetch(wanted(mirror, target), SILENT, (0.05, 0.1, 0.2))
    assert time.monotonic() - began >= 0.35 and len(mirror.asked) == 4
    assert list(fetching.PAUSES_S) == sorted(fetching.PAUSES_S)


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (Served(os.urandom(9_000)), f"not {PREFIX}"),
        (Served(b""), "is empty"),
        (Served(b"\n  <!DOCTYPE html><html>Sign in</html>"), "web page"),
        (Served(os.urandom(9_000), length=9_009), "against its word"),
        (Served(os.urandom(9_000), length=9_009, ranges=False), "of 9,009 bytes"),
        (Served(CONTENT, length=500_000), f"not {PREFIX}"),
        (Served(CONTENT, length=50_000_000), "10,000,000 at most"),
        (Served(os.urandom(11_000_000), declared=False), "more than 10,000,000 bytes"),
        (Served(b"", status=404), "There is no http"),
        (Served(b"", status=403), "403"),
        (Served(b"", status=503), "503"),
        (Served(CONTENT, encoding="gzip"), "compressed"),
        (Served(b"", status=302, location="ftp://127.0.0.1/x"), "scheme"),
        (Served(b"", status=302, location="file:///etc/passwd"), "not allowed"),
        (Served(b"", status=302, location="/file.pth"), "infinite loop"),
    ],
)
def test_what_is_not_the_file_is_refused_with_its_reason(mirror, target, served, said):
    assert said in refused(mirror, target, served)


def test_the_hash_knows_better_than_a_lying_length(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, length=len(CONTENT) + 9)
    assert fetch(wanted(mirror, target), SILENT, ()).read_bytes() == CONTENT


def test_a_redirect_to_the_same_scheme_is_followed_and_still_resumes(mirror, target):
    mirror.files["/file.pth"] = Served(b"", status=302, location="/elsewhere", etag="")
    mirror.files["/elsewhere"] = Served(CONTENT, drops=[300_000])
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT and mirror.ranges_asked()[-1] == "bytes=300000-"


def test_no_server_at_all(target):
    with pytest.raises(NetworkError, match="cannot be reached") as caught:
        fetch(Wanted("http://127.0.0.1:9/x", target, 1000), SILENT, QUICK)
    assert "HTTPS_PROXY" in caught.value.hint and caught.value.exit_code == 5


def test_a_full_disk_is_told_before_anything_is_written(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, length=1 << 60)
    with pytest.raises(RunError, match="disk is full"):
        fetch(wanted(mirror, target, max_bytes=1 << 62), SILENT, QUICK)
    assert not target.exists()


def test_a_disk_that_fails_on_the_way_leaves_no_file(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(RunError, match="could not be written"):
            fetch(wanted(mirror, target), SILENT, QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_proxies_come_from_the_environment(mirror, target, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", mirror.base)
    mirror.files["http://nowhere.invalid/file.pth"] = Served(CONTENT)
    fetch(Wanted("http://nowhere.invalid/file.pth", target, 10_000_000, PREFIX), SILENT, QUICK)
    assert target.read_bytes() == CONTENT


def test_a_cache_that_is_not_ours_to_write_to_can_be_read(mirror, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    before = target.parent.stat().st_mtime_ns
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.parent.stat().st_mtime_ns == before and not mirror.asked


def test_a_damaged_file_in_the_cache_is_fetched_again(mirror, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1])
    mirror.files["/file.pth"] = Served(CONTENT)
    said = []
    fetch(wanted(mirror, target), Screen(warn=said.append), QUICK)
    assert target.read_bytes() == CONTENT and "fetched again" in said[0]


def test_annotations_must_be_whole_pickles(mirror, target):
    records = pickle.dumps([{"frame_dir": "a"}] * 1000)
    mirror.files["/file.pth"] = Served(records)
    fetch(wanted(mirror, target, sha256_prefix="", is_pickle=True), SILENT, QUICK)
    target.unlink()
    for content in (b"text that is no pickle.", records[:-1], b"\x80\x7f."):
        assert "not a whole pickle" in refused(mirror, target, Served(content), sha256_prefix="", is_pickle=True)


def talking(first: bytes, then: bytes) -> str:
    """The address of a server that says `first`, and `then` again and again, for ever."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk():
        connection, _ = listening.accept()
        with contextlib.suppress(OSError), connection:
            connection.recv(4096)
            connection.sendall(first)
            while True:
                connection.sendall(then)
                time.sleep(0.01)

    threading.Thread(target=talk, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/file.pth"


@pytest.mark.parametrize(("first", "then"), [
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\n", b"x"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", b"X-More: y\r\n"),
], ids=["continue", "header", "trailer"])  # fmt: skip
def test_a_server_that_talks_without_end_is_left(target, monkeypatch, first, then):
    """The socket's timeout sees no silence."""
    monkeypatch.setattr(web, "PATIENCE_S", 0.5)
    began = time.monotonic()
    with pytest.raises(NetworkError):
        fetch(Wanted(talking(first, then), target, 10_000_000, PREFIX), SILENT, ())
    assert time.monotonic() - began < 20 and not target.exists()


@pytest.mark.parametrize("head", [
    b'ETag: "\xff\xfe"', b"Content-Length: " + b"9" * 5000, b"Content-Length: \xb2", b"Last-Modified: \xe9", b"X: " + b"a" * 70_000,
], ids=["mark", "length", "digit", "date", "long"])  # fmt: skip
def test_headers_that_make_no_sense_are_no_crash(target, head):
    """A mark that cannot be sent back, a length that is none."""
    answer = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + CONTENT[:5000]
    listening = socket.create_server(("127.0.0.1", 0))

    def answer_all():
        while True:
            connection, _ = listening.accept()
            with contextlib.suppress(OSError), connection:
                connection.recv(4096)
                connection.sendall(answer)

    threading.Thread(target=answer_all, daemon=True).start()
    with pytest.raises(NetworkError):
        fetch(Wanted(f"http://127.0.0.1:{listening.getsockname()[1]}/x", target, 10_000_000, PREFIX), SILENT, QUICK)
    assert not target.exists()


def test_a_redirect_to_no_address_is_told(mirror, target):
    for location in ("http://[::1/x", "http://127.0.0.1:99999/x", "http://\x01/x"):
        assert "127.0.0.1" in refused(mirror, target, Served(b"", status=302, location=location))
