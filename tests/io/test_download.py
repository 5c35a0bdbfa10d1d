"""One file over a real local server: it arrives whole or not at all, whatever the disk, the cache and the way to it."""

import pickle
import resource
import time

import pytest

from stgcn_cli.errors import NetworkError, RunError
from stgcn_cli.io import download
from stgcn_cli.io.download import Wanted, fetch
from stgcn_cli.io.reporter import SILENT, Reporter
from tests.factories.http_server import Served
from tests.factories.served import CONTENT, PREFIX, QUICK, left, refused, wanted


def test_a_file_arrives_whole_and_leaves_nothing_else(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT)
    assert fetch(wanted(mirror, target), SILENT) == target
    assert target.read_bytes() == CONTENT and left(target) == {"file.pth"}
    fetch(wanted(mirror, target), SILENT)
    assert len(mirror.asked) == 1  # what is there and right is not fetched again


def test_a_busy_server_is_asked_again_with_growing_pauses(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, fails=[503, 500, 429])
    began = time.monotonic()
    fetch(wanted(mirror, target), SILENT, (0.05, 0.1, 0.2))
    assert time.monotonic() - began >= 0.35 and len(mirror.asked) == 4
    assert list(download.PAUSES_S) == sorted(download.PAUSES_S)


def test_no_server_at_all(target):
    with pytest.raises(NetworkError, match="cannot be reached") as caught:
        fetch(Wanted("http://127.0.0.1:9/x", target, 1000), SILENT, QUICK)
    assert "HTTPS_PROXY" in caught.value.hint and caught.value.exit_code == 5


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://example.org/x"])
def test_the_cause_is_the_innermost_one(target, monkeypatch, url):
    """Also behind a proxy that does not answer, whose error wraps another one."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"\(Connection refused\)"):
        fetch(Wanted(url, target, 1000), SILENT, (0.0,))


def test_a_full_disk_is_reported_before_anything_is_written(mirror, target):
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
    fetch(wanted(mirror, target), Reporter(warn=said.append), QUICK)
    assert target.read_bytes() == CONTENT and "downloaded again" in said[0]


def test_annotations_must_be_whole_pickles(mirror, target):
    records = pickle.dumps([{"frame_dir": "a"}] * 1000)
    mirror.files["/file.pth"] = Served(records)
    fetch(wanted(mirror, target, sha256_prefix="", is_pickle=True), SILENT, QUICK)
    target.unlink()
    for content in (b"text that is no pickle.", records[:-1], b"\x80\x7f."):
        assert "not a complete pickle" in refused(mirror, target, Served(content), sha256_prefix="", is_pickle=True)
