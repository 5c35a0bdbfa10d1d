"""Servers that lie, serve the wrong thing, talk without end or make no sense."""

import contextlib
import random
import socket
import threading
import time

import pytest

from stgcn_cli.errors import NetworkError
from stgcn_cli.io import web
from stgcn_cli.io.download import Wanted, fetch
from stgcn_cli.io.reporter import SILENT
from tests.factories.http_server import Served
from tests.factories.served import CONTENT, PREFIX, QUICK, refused, wanted

NOISE = random.Random(0).randbytes(11_000_000)


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (Served(NOISE[:9_000]), f"not {PREFIX}"),
        (Served(b""), "is empty"),
        (Served(b"\n  <!DOCTYPE html><html>Sign in</html>"), "web page"),
        (Served(NOISE[:9_000], length=9_009), "although it announced more"),
        (Served(NOISE[:9_000], length=9_009, ranges=False), "of 9,009 bytes"),
        (Served(CONTENT, length=500_000), f"not {PREFIX}"),
        (Served(CONTENT, length=50_000_000), "more than the 10,000,000"),
        (Served(NOISE, declared=False), "more than 10,000,000 bytes"),
        (Served(b"", status=404), "not found (404"),
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
    """A timeout of the socket does not notice."""
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


def test_a_redirect_to_no_address_is_reported(mirror, target):
    for location in ("http://[::1/x", "http://127.0.0.1:99999/x", "http://\x01/x"):
        assert "127.0.0.1" in refused(mirror, target, Served(b"", status=302, location=location))
