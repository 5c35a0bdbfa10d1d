"""A real HTTP server on this machine, as good or as bad as a test wants it."""

import contextlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file and how it is served. `drops` are the bytes after which the connection is cut, one for each request."""

    content: bytes
    ranges: bool = True
    etag: str = '"1"'
    status: int = 200
    length: int | None = None  # what is declared, when not the truth
    declared: bool = True
    location: str = ""
    drops: list[int] = field(default_factory=list)
    fails: list[int] = field(default_factory=list)  # states answered first, one for each request
    pause_s: float = 0.0
    shift: int = 0  # bytes by which a piece begins elsewhere than asked for
    encoding: str = ""


class Mirror:
    """`mirror.files["/a"] = Served(b"…")`; `mirror.asked` holds (path, headers) of every request."""

    def __init__(self):
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


@contextlib.contextmanager
def running():
    mirror = Mirror()
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.server.shutdown()
        mirror.server.server_close()
        thread.join()


def _handler_of(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            mirror.asked.append((self.path, dict(self.headers)))
            served = mirror.files.get(self.path, Served(b"<html>not here</html>", status=404))
            if served.fails:
                served = Served(b"busy", status=served.fails.pop(0))
            time.sleep(served.pause_s)
            status, content, more = served.status, served.content, {}
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            same = self.headers.get("If-Range", served.etag) == served.etag
            if found and served.ranges and same and status == 200:
                start, total = int(found[1]) + served.shift, len(content)
                status, content = (206, content[start:]) if start < total else (416, b"")
                more["Content-Range"] = f"bytes {start}-{total - 1}/{total}" if status == 206 else f"bytes */{total}"
            self.send_response(status)
            more |= {"Location": served.location, "ETag": served.etag, "Content-Encoding": served.encoding}
            if served.declared:
                more["Content-Length"] = str(len(content) if served.length is None else served.length)
            for name, value in more.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content[: served.drops.pop(0)] if served.drops else content)

    return Handler
