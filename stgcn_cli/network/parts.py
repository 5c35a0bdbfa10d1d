"""The beginning of a file that is being fetched, and what is known of the whole, so that a later call can go on."""

import contextlib
import json
import re
from pathlib import Path

from stgcn_cli.files import disk_error
from stgcn_cli.network.web import MARK, Again, Answer

_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")
_NOTES_BYTES = 1 << 16


class Part:
    """`<target>.part`, and beside it `<target>.part.json`: the address, the server's mark for this version, the length.

    Without such a mark a part is gone on with only on `trust`: when the whole is checked by a hash afterwards.
    """

    def __init__(self, target: Path, url: str, trust: bool) -> None:
        self.target, self.url, self.trust = target, url, trust
        self.path = target.with_name(target.name + ".part")
        self._notes = target.with_name(target.name + ".part.json")
        self.validator, self.total = "", None
        self.validator, self.total = self._read_notes()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are there, as far as the length is known."""
        return self.total is not None and self.size == self.total > 0

    def start(self) -> int:
        """The byte to go on from; 0, with nothing kept, when going on would not be safe."""
        if (self.size and not (self.validator or self.trust)) or (self.total is not None and self.size > self.total):
            self.discard()
        return self.size

    def accept(self, answer: Answer, asked_from: int) -> int:
        """Take note of the server's answer; returns the byte it goes on from. Raises Again when the part is of no use."""
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.header("Content-Range"))
            total = int(found[2]) if found else None
            if not found or int(found[1]) != asked_from or (self.total is not None and self.total != total):
                self.discard()
                raise Again("the server sent another piece than the one asked for")
        else:
            self.discard()
            asked_from, total = 0, answer.length
        self.total, self.validator = total, answer.validator
        self._write_notes()
        return asked_from

    def looks_like_html(self) -> bool:
        """Whether a web page came instead of a file."""
        with contextlib.suppress(OSError), open(self.path, "rb") as stream:
            return stream.read(512).lstrip()[:1] == b"<"
        return False

    def discard(self) -> None:
        """Begin anew."""
        self.validator, self.total = "", None
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Remove the notes."""
        with contextlib.suppress(FileNotFoundError):
            self._notes.unlink()

    def _read_notes(self) -> tuple[str, int | None]:
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            with open(self._notes, "rb") as stream:
                notes = json.loads(stream.read(_NOTES_BYTES))
            if notes.get("url") == self.url:
                total, validator = notes.get("total"), str(notes.get("validator"))
                return validator if MARK.fullmatch(validator) else "", total if type(total) is int else None
        if self.size:
            self.discard()  # of another address, or from before a crash
        return "", None

    def _write_notes(self) -> None:
        notes = {"url": self.url, "validator": self.validator, "total": self.total}
        try:
            self._notes.write_text(json.dumps(notes), "utf-8")
        except OSError as error:
            raise disk_error(error, self.target) from error
