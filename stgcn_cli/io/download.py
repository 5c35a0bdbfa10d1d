"""Download a file over HTTP(S): resumed, retried, verified; it gets its final name only when it is complete."""

import contextlib
import functools
import hashlib
import json
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from stgcn_cli import __version__
from stgcn_cli.errors import NetworkError, RunError, UsageError
from stgcn_cli.io.files import disk_error, sync_folder
from stgcn_cli.io.locks import locked
from stgcn_cli.io.own_files import check_trusted, open_regular, own_opener
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import one_line

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = 30.0  # without a byte
PATIENCE_S = 120.0  # without any content, whatever else the server sends
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each retry
PROGRESS = 1 << 20  # bytes after which the pauses start from the first again
_CHUNK = 1 << 18
_NOTES_BYTES = 1 << 16
_PICKLE_END = b"."
_PLAIN = re.compile(r"[\w.~:/%\[\]+,=-]+", re.ASCII)  # no user and password, no query
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,200}")  # it is sent back
_LENGTH = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})")
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status codes worth a retry


class Again(Exception):
    """A failure that a retry may mend."""


class BadRange(Again):
    """The server has no such range: what was downloaded is not the beginning of this file."""


class _NotTheFile(Exception):
    """What arrives, or is announced, cannot be the file; the text says why."""


class NotThere(NetworkError):
    """The server has no such file."""


def checked_base(base: str) -> str:
    """Return `base` without a trailing slash. Raises UsageError when it is not an http(s) URL."""
    try:
        parts = urlsplit(base)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not _PLAIN.fullmatch(base):
        raise UsageError(
            "--base-url is not a valid http(s) URL.", "For example: --base-url https://mirror.example.org/mmaction"
        )
    return base.rstrip("/")


@contextlib.contextmanager
def ask(url: str, start: int = 0, validator: str = "") -> Iterator[tuple["Response", Iterator[bytes]]]:
    """Request `url` from byte `start`, if it is still the version that `validator` marks; yield response and chunks.

    The transfer runs in a thread: a timeout of the socket does not notice a server that sends headers forever.
    Raises Again, also while chunks are taken, NotThere, or NetworkError.
    """
    headers = {"User-Agent": f"stgcn/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    items: queue.Queue[Any] = queue.Queue(maxsize=8)
    stop = threading.Event()
    threading.Thread(target=_transfer, args=(url, headers, items, stop), daemon=True).start()
    try:
        response = _next(items)
        if _header(response, "Content-Encoding") not in ("", "identity"):
            raise NetworkError(f"{url} is sent compressed, although that was not requested.", "Try another mirror.")
        yield response, iter(functools.partial(_next, items), b"")
    finally:
        stop.set()
        with contextlib.suppress(queue.Empty):  # a transfer that waits for room ends
            while True:
                items.get_nowait()


def _next(items: "queue.Queue[Any]") -> Any:
    """Return the response, the next chunk, or b"" at the end. Raises what the transfer raised, or Again."""
    try:
        item = items.get(timeout=PATIENCE_S)
    except queue.Empty:
        raise Again(f"nothing arrived for {PATIENCE_S:g} seconds") from None
    if isinstance(item, Exception):
        raise item
    return item


def _transfer(url: str, headers: dict[str, str], items: "queue.Queue[Any]", stop: threading.Event) -> None:
    """Put the response, its chunks and b"" into `items`, or the error that ended them."""
    from urllib3.exceptions import IncompleteRead

    try:
        with _session() as session, session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code not in (200, 206):
                raise _refusal(url, response)
            items.put(response)
            while (chunk := response.raw.read1(_CHUNK)) and not stop.is_set():
                items.put(chunk)
            items.put(b"")
    except Exception as error:  # a redirect to an invalid address can raise anything
        ended_early = any(isinstance(each, IncompleteRead) for each in error.args)  # length and hash decide on that
        items.put(b"" if ended_early else _failure(url, error))


def _session() -> Any:
    """Return a session that follows redirects to the same or a safer scheme only and sends no credentials."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: Any) -> str | None:
            target = super().get_redirect_target(resp)
            if target and urlsplit(urljoin(resp.url, target)).scheme not in ("https", urlsplit(resp.url).scheme):
                raise NetworkError(
                    f"{resp.url} redirects to {one_line(target)[:200]}: a different scheme is not allowed.",
                    "Use a trustworthy mirror with --base-url.",
                )
            return target

    session = Session()
    session.max_redirects = 10
    session.auth = lambda request: request  # else requests would look into ~/.netrc
    return session


def _failure(url: str, error: Exception) -> Exception:
    """Return Again or NetworkError for what ended a transfer."""
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    cause = _cause(error)
    match error:
        case Again() | NetworkError():
            return error
        case exceptions.SSLError():
            return NetworkError(f"{url}: the connection is not trusted ({cause}).")
        case exceptions.TooManyRedirects():
            return NetworkError(f"{url} redirects in an infinite loop.", "Use --base-url.")
        case ValueError() if isinstance(error, exceptions.RequestException):
            pass  # an invalid URL, scheme or header
        case exceptions.RequestException():
            return Again(f"{urlsplit(url).hostname} cannot be reached or broke the connection ({cause})")
        case OSError() | HTTPError():
            return Again(f"the connection broke ({cause})")
    return NetworkError(f"{url} leads to an invalid address ({cause}).", "Use --base-url.")


def _refusal(url: str, response: "Response") -> Exception:
    """Return the error for a status other than 200 and 206."""
    status = f"{response.status_code} {one_line(response.reason)}"[:200]
    if response.status_code in (404, 410):
        return NotThere(f"{url} not found ({status}).", "Is the --base-url right? See `stgcn download --list`.")
    if response.status_code == 416:
        return BadRange(status)
    if response.status_code in _TRANSIENT:
        return Again(f"the server answers {status}")
    return NetworkError(f"{url}: the server answers {status}.", "A proxy or the server refuses it.")


def _cause(error: object) -> str:
    """The innermost reason of an error, in one line."""
    while True:
        places = (getattr(error, "reason", None), *getattr(error, "args", ())[:1], getattr(error, "__cause__", None))
        inner = next((each for each in places if isinstance(each, Exception)), None)
        if inner is None:
            break
        error = inner
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return one_line(text or type(error).__name__)[:200].strip()


def _header(response: "Response", name: str) -> str:
    return str(response.headers.get(name) or "").strip()


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
            found = _RANGE.fullmatch(_header(response, "Content-Range"))
            total = int(found[2]) if found else None
            if not found or int(found[1]) != asked_from or (self.total is not None and self.total != total):
                self.discard()
                raise Again("the server sent a different range than requested")
        else:
            self.discard()
            length = _header(response, "Content-Length")
            asked_from, total = 0, int(length) if _LENGTH.fullmatch(length) else None
        tag = _header(response, "ETag")
        mark = tag if tag.startswith('"') else _header(response, "Last-Modified")
        self.total, self.validator = total, mark if _VALIDATOR.fullmatch(mark) else ""
        notes = {"url": self.url, "validator": self.validator, "total": self.total}
        try:
            with open(self._notes, "a", encoding="utf-8", opener=own_opener) as stream:
                stream.truncate(0)
                stream.write(json.dumps(notes))
        except OSError as error:
            raise disk_error(error, self.target) from error
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
        try:
            os.replace(self.path, self.target)
            sync_folder(self.target.parent)
        except OSError as error:
            raise disk_error(error, self.target) from error
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
    try:
        with (
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
    except OSError as error:
        raise disk_error(error, wanted.target) from error
    ended_early = part.total is not None and part.size < part.total
    if ended_early and not (wanted.sha256_prefix and not problem(part.path, wanted)):  # the hash knows better
        raise Again(f"the connection ended after {part.size:,} of {part.total:,} bytes")


def problem(path: Path, wanted: Wanted) -> str:
    """Return what is wrong with the file ("is empty"), or an empty string. Raises RunError."""
    try:
        if path.stat().st_size == 0:
            return "is empty"
        if wanted.sha256_prefix:
            found = sha256_of(path)[: len(wanted.sha256_prefix)]
            return "" if found == wanted.sha256_prefix else f"has the sha256 {found}…, not {wanted.sha256_prefix}…"
        with open(path, "rb") as stream:
            first = stream.read(2)
            stream.seek(-1, os.SEEK_END)
            whole = stream.read() == _PICKLE_END
    except OSError as error:
        raise disk_error(error, path) from error
    if not wanted.is_pickle:
        return ""
    return "" if first[:1] == b"\x80" and first[1:] in b"\x02\x03\x04\x05" and whole else "is not a complete pickle"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
