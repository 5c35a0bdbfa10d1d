"""Download a file over HTTP(S): resumed, retried, verified; it gets its final name only when it is complete."""

import contextlib
import hashlib
import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_cli.errors import NetworkError, RunError, UsageError
from stgcn_cli.io.files import sync_folder, writing
from stgcn_cli.io.locks import locked
from stgcn_cli.io.own_files import check_trusted, open_regular, own_opener
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.web import Again, BadRange, ask, header

if TYPE_CHECKING:
    from requests import Response

PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each retry
PROGRESS = 1 << 20  # bytes after which the pauses start from the first again
_NOTES_BYTES = 1 << 16
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,200}")  # it is sent back
_LENGTH = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")


class _NotTheFile(Exception):
    """What arrives, or is announced, cannot be the file; the text says why."""


class Part:
    """The beginning of a file, `<target>.part`; `<target>.part.json` has its URL, validator and total length.

    Without a validator it is continued only on `trust`: when a hash verifies the complete file.
    """

    def __init__(self, target: Path, url: str, trust: bool) -> None:
        self.target, self.url, self.trust = target, url, trust
        self.path, self._notes = (target.with_name(target.name + suffix) for suffix in (".part", ".part.json"))
        self.validator, self.total = self._read_notes()  # the server's mark of this version; bytes, None if unknown

    @property
    def size(self) -> int:
        """Downloaded bytes."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def start(self) -> int:
        """Return the byte to continue from; discard everything and return 0 when that is not safe."""
        if (self.size and not (self.validator or self.trust)) or (self.total is not None and self.size > self.total):
            self.discard()
        return self.size

    def accept(self, response: "Response", asked_from: int) -> int:
        """Record the response; return the byte it continues from. Raises Again when it does not fit."""
        if response.status_code == 206:
            found = _RANGE.fullmatch(header(response, "Content-Range"))
            total = int(found[2]) if found else None
            if not found or int(found[1]) != asked_from or (self.total is not None and self.total != total):
                self.discard()
                raise Again("the server sent a different range than requested")
        else:
            self.discard()
            length = header(response, "Content-Length")
            asked_from, total = 0, int(length) if _LENGTH.fullmatch(length) else None
        tag = header(response, "ETag")
        mark = tag if tag.startswith('"') else header(response, "Last-Modified")
        self.total, self.validator = total, mark if _VALIDATOR.fullmatch(mark) else ""
        notes = {"url": self.url, "validator": self.validator, "total": self.total}
        with writing(self.target), open(self._notes, "a", encoding="utf-8", opener=own_opener) as stream:
            stream.truncate(0)
            stream.write(json.dumps(notes))
        return asked_from

    def discard(self) -> None:
        """Remove what was downloaded."""
        self.validator, self.total = "", None
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Give the file its name. Raises RunError, and UsageError for a link."""
        if self.target.is_symlink():
            raise UsageError(f"{self.target} is a symbolic link, which is not replaced.", "Remove it.")
        with writing(self.target):
            os.replace(self.path, self.target)
            sync_folder(self.target.parent)
        self._notes.unlink(missing_ok=True)
        return self.target

    def _read_notes(self) -> tuple[str, int | None]:
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            with open(self._notes, "rb", opener=open_regular) as stream:
                notes = json.loads(stream.read(_NOTES_BYTES))
            if notes.get("url") == self.url:
                total, validator = notes.get("total"), str(notes.get("validator"))
                return validator if _VALIDATOR.fullmatch(validator) else "", total if type(total) is int else None
        if self.size:
            self.discard()  # of another address, or from before a crash
        return "", None


@dataclass(frozen=True)
class Wanted:
    """A file to download, and how it is verified."""

    url: str
    target: Path
    max_bytes: int
    sha256_prefix: str = ""  # hex digits; empty where none is published
    is_pickle: bool = False


def fetch(wanted: Wanted, reporter: Reporter, pauses: Sequence[float] = PAUSES_S) -> Path:
    """Return `wanted.target`, downloaded unless it exists and is valid. Several processes may ask for the same file.

    Raises NetworkError (NotThere for a 404) when it cannot be downloaded or is not the file, RunError when it cannot be
    written. What arrived before a failure is kept as `.part`, and the next call continues from there.
    """
    check_trusted(wanted.target.parent)
    if _is_there(wanted):  # before anything is written: a shared cache may be read-only
        return wanted.target
    lock = wanted.target.with_name(wanted.target.name + ".lock")
    with locked(
        lock, on_wait=lambda holder: reporter.note(f"Waiting for {holder}, which downloads {wanted.target.name}.")
    ):
        if _is_there(wanted):
            return wanted.target
        if wanted.target.is_file():
            reporter.warn(f"{wanted.target} {problem(wanted.target, wanted)}; it is downloaded again.")
        part = Part(wanted.target, wanted.url, trust=bool(wanted.sha256_prefix))
        _persist(part, wanted, reporter, list(pauses))
        return part.finish()


def _is_there(wanted: Wanted) -> bool:
    return wanted.target.is_file() and not problem(wanted.target, wanted)


def _persist(part: Part, wanted: Wanted, reporter: Reporter, pauses: Sequence[float]) -> None:
    """Try until the part is complete and valid, with growing pauses."""
    left, most = list(pauses), part.size
    while True:
        try:
            _bring_on(part, wanted, reporter)
            return
        except Again as again:
            if part.size >= most + PROGRESS:
                left, most = list(pauses), part.size
            if not left:
                kept = f" {part.size:,} bytes are kept; the next call continues from there." if part.size else ""
                raise NetworkError(
                    f"{wanted.url} could not be downloaded: {again}.",
                    f"Is the network (or the proxy in HTTPS_PROXY) available? Use a mirror with --base-url.{kept}",
                ) from again
            reporter.note(f"{wanted.target.name}: {again}; trying again in {left[0]:g} s.")
            time.sleep(left.pop(0))


def _bring_on(part: Part, wanted: Wanted, reporter: Reporter) -> None:
    """Make one attempt. Raises Again when a retry may help."""
    resumed = part.start()
    try:
        if not part.size or part.size != part.total:
            with ask(wanted.url, resumed, part.validator) as (response, chunks):
                resumed = part.accept(response, resumed)
                _check_size(part, wanted, resumed)
                _receive(part, chunks, wanted, reporter, resumed)
        if wrong := problem(part.path, wanted):
            if resumed:
                part.discard()
                raise Again("the ranges do not fit together, so it is downloaded from the beginning")
            raise _NotTheFile(f"what arrived {wrong}")
    except BadRange as error:
        part.discard()
        raise Again(f"the server has no bytes after {resumed:,}, although it announced more") from error
    except _NotTheFile as wrong:
        part.discard()
        raise NetworkError(
            f"{wanted.url} is not {wanted.target.name}: {wrong}. Nothing was kept.",
            "Does a proxy or a login page answer instead of the server? Open the address in a browser, or use a mirror"
            " with --base-url.",
        ) from wrong


def _check_size(part: Part, wanted: Wanted, resumed: int) -> None:
    """Refuse an announced size beyond that of such a file, or of the disk."""
    if part.total is None:
        return
    if part.total > wanted.max_bytes:
        raise _NotTheFile(f"{part.total:,} bytes are announced, more than the {wanted.max_bytes:,} of such a file")
    missing, free = part.total - resumed, shutil.disk_usage(part.path.parent).free
    if missing > free:
        raise RunError(
            f"The disk is full: {wanted.target.name} needs {missing:,} bytes, {part.path.parent} has {free:,}.",
            "Free some space, or choose another place with --cache-dir.",
        )


def _receive(part: Part, chunks: Iterator[bytes], wanted: Wanted, reporter: Reporter, arrived: int) -> None:
    """Append the content to its first `arrived` bytes. Raises Again when it ends early, _NotTheFile for a web page."""
    total_mb = part.total / 1e6 if part.total else None
    with (
        writing(wanted.target),
        reporter.progress(f"{wanted.target.name} (MB)", total_mb) as advance,
        open(part.path, "ab", opener=own_opener) as stream,
    ):
        advance(arrived / 1e6)
        for chunk in chunks:
            if arrived == 0 and chunk.lstrip()[:1] == b"<":
                raise _NotTheFile("it is a web page, not the file")
            arrived += len(chunk)
            if arrived > wanted.max_bytes:
                raise _NotTheFile(f"more than {wanted.max_bytes:,} bytes arrived")
            stream.write(chunk)
            advance(len(chunk) / 1e6)
        stream.flush()
        os.fsync(stream.fileno())
    ended_early = part.total is not None and part.size < part.total
    if ended_early and not (wanted.sha256_prefix and not problem(part.path, wanted)):  # the hash knows better
        raise Again(f"the connection ended after {part.size:,} of {part.total:,} bytes")


def problem(path: Path, wanted: Wanted) -> str:
    """Return what is wrong with the file ("is empty"), or an empty string. Raises RunError."""
    with writing(path), open(path, "rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return "is empty"
        if wanted.sha256_prefix:
            found = sha256_of(path)[: len(wanted.sha256_prefix)]
            return "" if found == wanted.sha256_prefix else f"has the sha256 {found}…, not {wanted.sha256_prefix}…"
        head = stream.read(2)
        stream.seek(-1, os.SEEK_END)
        is_whole = head[:1] == b"\x80" and head[1:] in b"\x02\x03\x04\x05" and stream.read() == pickle.STOP
    return "is not a complete pickle" if wanted.is_pickle and not is_whole else ""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
