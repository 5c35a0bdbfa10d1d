"""HTTP(S) requests whose failures are sorted: worth a retry, or final. Redirects never lead to a less safe scheme."""

import contextlib
import functools
import queue
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from stgcn_cli import __version__
from stgcn_cli.errors import NetworkError, UsageError
from stgcn_cli.io.text import one_line

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = 30.0  # without a byte
PATIENCE_S = 120.0  # without any content, whatever else the server sends
_CHUNK = 1 << 18
_PLAIN = re.compile(r"[\w.~:/%\[\]+,=-]+", re.ASCII)  # no user and password, no query
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status codes worth a retry


class Again(Exception):
    """A failure that a retry may mend."""


class BadRange(Again):
    """The server has no such range: what was downloaded is not the beginning of this file."""


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
        if header(response, "Content-Encoding") not in ("", "identity"):
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


def header(response: "Response", name: str) -> str:
    """Return a header of the response, empty without one."""
    return str(response.headers.get(name) or "").strip()
