"""The HTTP client against a real server that answers with anything, over real sockets."""

import hashlib
import random
import shutil
import socket
import threading
from pathlib import Path

from stgcn_cli.errors import NetworkError, RunError
from stgcn_cli.io import web
from stgcn_cli.io.download import Wanted, fetch
from stgcn_cli.io.reporter import SILENT
from tests.fuzz.mutate import some_bytes, some_words
from tests.fuzz.target import Target, refused

_CONTENT = b"\x80\x04" + bytes(range(256)) * 4 + b"."
_MARK = b"\n=====next answer=====\n"
_MOST = 200_000
_SHA = hashlib.sha256(_CONTENT).hexdigest()[:8]


def _answer(status: str, headers: tuple[str, ...], body: bytes) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def _seeds() -> list[bytes]:
    size, half = len(_CONTENT), len(_CONTENT) // 2
    whole = _answer("200 OK", (f"Content-Length: {size}", 'ETag: "1"', "Connection: close"), _CONTENT)
    first = _answer("200 OK", (f"Content-Length: {size}", 'ETag: "1"'), _CONTENT[:half])
    rest = _answer(
        "206 Partial Content",
        (f"Content-Range: bytes {half}-{size - 1}/{size}", f"Content-Length: {size - half}", 'ETag: "1"'),
        _CONTENT[half:],
    )
    chunked = _answer("200 OK", ("Transfer-Encoding: chunked",), b"%x\r\n%b\r\n0\r\n\r\n" % (size, _CONTENT))
    moved = [_answer(f"{code} Moved", (f"Location: {to}",), b"") for code, to in ((302, "http://127.0.0.1:{port}/x"), (301, "file:///etc/hostname"),
             (307, "ftp://127.0.0.1/x"), (308, "https://127.0.0.1:{port}/x"), (302, "data:,x"), (303, "//127.0.0.1:{port}/"), (302, "/x"))]  # fmt: skip
    busy = _answer("503 Busy", ("Retry-After: 1",), b"")
    packed = _answer("200 OK", ("Content-Encoding: gzip", f"Content-Length: {size}"), _CONTENT)
    page = _answer("200 OK", ("Content-Type: text/html",), b"<html>" * 100)
    endless = _answer("200 OK", (), _CONTENT * 300)
    headers = _answer("200 OK", tuple(f"X-{i}: {'a' * 500}" for i in range(150)), _CONTENT)
    on = b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + whole
    beyond = _answer("416 No", ("Content-Range: bytes */7",), b"")
    single = [whole, chunked, packed, page, endless, headers, on, beyond, _answer("404 Gone", (), b"")]
    return [
        _MARK.join(parts)
        for parts in (
            [first, rest],
            [busy, whole],
            [first, beyond, whole],
            *([each] for each in single),
            *([m, whole] for m in moved),
        )
    ]


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    parts = data.split(_MARK)
    at = rng.randrange(len(parts))
    head, gap, body = parts[at].partition(b"\r\n\r\n")
    match rng.randrange(4):
        case 0 | 1:
            head = some_words(rng, head, [s.split(b"\r\n\r\n")[0] for s in seeds], head=0)
        case 2:
            body = some_bytes(rng, body, seeds)
        case _:
            head = some_bytes(rng, head, seeds)
    parts[at] = head + gap + body
    if rng.random() < 0.2:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(seeds).split(_MARK)[0])
    return _MARK.join(parts)


def _serve(listening: socket.socket, answers: list[bytes]) -> None:
    """Answer each connection with the next answer, the last one again and again, until the socket is closed."""
    count = 0
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            try:
                connection.settimeout(2)
                connection.recv(65536)
                connection.sendall(answers[min(count, len(answers) - 1)])
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        count += 1


def _attempt(data: bytes, folder: Path) -> str:
    web.TIMEOUT_S = 1.0
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    answers = [part.replace(b"{port}", str(port).encode()) for part in data.split(_MARK)][:8]
    server = threading.Thread(target=_serve, args=(listening, answers), daemon=True)
    server.start()
    place = folder / "cache"
    hashed = len(data) % 2 == 0
    wanted = Wanted(f"http://127.0.0.1:{port}/a.pkl", place / "a.pkl", _MOST, _SHA if hashed else "", not hashed)
    try:
        got = fetch(wanted, SILENT, (0.0, 0.0))
        assert got.stat().st_size <= _MOST and (not hashed or got.read_bytes() == _CONTENT)
        assert not (place / "a.pkl.part").exists()
        return "fetched"
    except (NetworkError, RunError) as error:
        assert not (place / "a.pkl").exists(), "a refused file lies under its name"
        part = place / "a.pkl.part"
        assert not part.exists() or part.stat().st_size <= _MOST
        return refused(error, Path("127.0.0.1"))
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        server.join(5)
        shutil.rmtree(place, ignore_errors=True)


TARGET = Target("http", _seeds, _mutate, _attempt, ("download.py", "web.py"), memory_mb=300, network=True)
