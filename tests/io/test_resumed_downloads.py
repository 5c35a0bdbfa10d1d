"""Downloads that were broken off: gone on with where that is safe, begun again where it is not."""

import json
import os
from pathlib import Path

import pytest

from stgcn_cli.io.download import fetch
from stgcn_cli.io.reporter import SILENT, Reporter
from tests.factories.http_server import Served
from tests.factories.served import CONTENT, QUICK, refused, wanted


def test_a_dropped_connection_is_resumed(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, drops=[300_000, 200_000])
    notes = []
    fetch(wanted(mirror, target), Reporter(note=notes.append), QUICK)
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


def test_a_redirect_to_the_same_scheme_is_followed_and_still_resumes(mirror, target):
    mirror.files["/file.pth"] = Served(b"", status=302, location="/elsewhere", etag="")
    mirror.files["/elsewhere"] = Served(CONTENT, drops=[300_000])
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT and mirror.ranges_asked()[-1] == "bytes=300000-"
