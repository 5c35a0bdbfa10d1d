"""A watch on this process: whatever a file makes it run, open for writing elsewhere, or connect to, is stopped and told."""

import os
import sys
from pathlib import Path

_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.putenv", "os.kill",
              "subprocess.", "socket.connect", "socket.bind", "ctypes.", "pty.", "webbrowser.", "ftplib.", "smtplib.",
              "os.chmod", "os.chown", "os.symlink", "os.link", "shutil.move")  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Ran(BaseException):
    """A file had something done that no reader does."""


def watch(folder: Path, network: bool) -> None:
    """From now on, and for good: nothing may be run, and nothing written outside `folder`.

    With `network`, this machine can be connected to, and nothing else can be reached.
    """
    allowed = (str(folder), os.devnull)

    def hook(event: str, args: tuple) -> None:
        if network and event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
            host = args[1][0] if event != "socket.getaddrinfo" else args[0]
            if host not in ("127.0.0.1", b"127.0.0.1"):
                raise OSError(101, "Network is unreachable")
        elif event.startswith(_FORBIDDEN):
            raise Ran(f"{event} {args!r:.200}")
        if event == "open" and isinstance(args[2], int) and args[2] & _WRITES and not isinstance(args[0], int):
            place = os.fsdecode(args[0]) if isinstance(args[0], str | bytes) else str(args[0])
            if not place.startswith(allowed) and "__pycache__" not in place:
                raise Ran(f"open for writing {place}")

    sys.addaudithook(hook)
