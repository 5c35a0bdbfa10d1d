"""The end of patience with a server that keeps a connection open, says something now and then, and brings nothing.

The socket's own timeout only sees silence. A server that sends headers for ever, or "100 Continue" again and again, is not
silent, and nothing comes of it.
"""

import contextlib
import functools
import socket
import threading
import time
from http.client import HTTPConnection, HTTPSConnection
from types import TracebackType
from typing import Any
from urllib import request


class Patience:
    """Closes the connection once nothing has been brought for `seconds`; for use in a `with` statement."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._latest, self._socket = seconds, time.monotonic(), None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Patience":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()

    def connected(self, to: Any) -> None:
        """This is the socket to close."""
        self._socket = to

    def brought(self) -> None:
        """Something came: patience begins anew."""
        self._latest = time.monotonic()

    def _watch(self) -> None:
        while not self._done.wait(self._seconds / 10):
            if self._socket is not None and time.monotonic() - self._latest > self._seconds:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's own, which another thread reads
                return


def handlers(patience: Patience) -> tuple[request.BaseHandler, ...]:
    """What opens http and https addresses, watched."""
    return _Handler(patience), _SecureHandler(patience)


class _Connection(HTTPConnection):
    def __init__(self, *where: Any, patience: Patience, **more: Any) -> None:
        super().__init__(*where, **more)
        self._patience = patience

    def connect(self) -> None:
        super().connect()
        self._patience.connected(self.sock)


class _SecureConnection(HTTPSConnection):
    def __init__(self, *where: Any, patience: Patience, **more: Any) -> None:
        super().__init__(*where, **more)
        self._patience = patience

    def connect(self) -> None:
        super().connect()
        self._patience.connected(self.sock)


class _Handler(request.HTTPHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._open = functools.partial(_Connection, patience=patience)

    def http_open(self, req: request.Request) -> Any:
        return self.do_open(self._open, req)  # type: ignore[arg-type]


class _SecureHandler(request.HTTPSHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._open = functools.partial(_SecureConnection, patience=patience)

    def https_open(self, req: request.Request) -> Any:
        return self.do_open(self._open, req)  # type: ignore[arg-type]
