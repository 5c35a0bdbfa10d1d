"""One question to a web server, and its answer in pieces. Proxies come from the environment; nothing but http(s)."""

import contextlib
import re
import ssl
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from stgcn_cli import __version__
from stgcn_cli.errors import NetworkError, UsageError
from stgcn_cli.network.patience import Patience, handlers
from stgcn_cli.wording import one_line

TIMEOUT_S = 30.0  # without a byte
PATIENCE_S = 120.0  # without anything of the file, whatever else the server says
_CHUNK = 1 << 18
_PLAIN = re.compile(r"[\w.~:/%\[\]+,=-]+", re.ASCII)  # no user and password, no query
MARK = re.compile(r"[\x20-\x7e]{1,200}")  # it is sent back
_LENGTH = re.compile(r"[0-9]{1,19}")
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # states of a server that may be over soon


class Again(Exception):
    """A failure that another try may mend."""


class NotThere(NetworkError):
    """The server has no such file."""


class Answer:
    """What the server answered, before its content is read."""

    def __init__(self, response: HTTPResponse, patience: Patience) -> None:
        self._response, self._patience, self.status = response, patience, response.status

    def header(self, name: str) -> str:
        """The header, or an empty text."""
        return str(self._response.headers.get(name) or "").strip()

    @property
    def validator(self) -> str:
        """The server's mark for this version of the file, fit for If-Range; empty when it gives none."""
        tag = self.header("ETag")
        mark = tag if tag.startswith('"') else self.header("Last-Modified")
        return mark if MARK.fullmatch(mark) else ""

    @property
    def length(self) -> int | None:
        """Bytes that the server announces; None where it does not."""
        length = self.header("Content-Length")
        return int(length) if _LENGTH.fullmatch(length) else None

    def chunks(self) -> Iterator[bytes]:
        """The content. Raises Again when the connection breaks."""
        try:
            while chunk := self._response.read1(_CHUNK):
                self._patience.brought()
                yield chunk
        except (OSError, HTTPException) as error:
            raise Again(f"the connection broke ({_cause(error)})") from error


@contextlib.contextmanager
def ask(url: str, start: int = 0, validator: str = "") -> Iterator[Answer]:
    """Ask for `url` from byte `start` on, if it is still the version that `validator` marks.

    Raises Again, NotThere, or NetworkError.
    """
    headers = {"User-Agent": f"stgcn/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    with Patience(PATIENCE_S) as patience, _answered(url, headers, patience) as response:
        answer = Answer(response, patience)
        if answer.header("Content-Encoding") not in ("", "identity"):
            raise NetworkError(f"{url} is sent compressed, although that was not asked for.", "Try another mirror.")
        yield answer


def _answered(url: str, headers: dict[str, str], patience: Patience) -> HTTPResponse:
    try:
        return _opener(patience).open(request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            raise _refusal(url, error) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise NetworkError(f"{url}: the server's certificate is not trusted ({_cause(error.reason)}).") from error
        raise Again(f"{urlsplit(url).hostname} cannot be reached ({_cause(error.reason)})") from error
    except ValueError as error:  # of what is no address: what was asked for is one
        raise NetworkError(
            f"{url} leads to an address that is none ({_cause(error)}).", "Name a --base-url."
        ) from error
    except (OSError, HTTPException) as error:
        raise Again(f"the connection to {urlsplit(url).hostname} broke ({_cause(error)})") from error


def _refusal(url: str, error: HTTPError) -> Exception:
    said = f"{error.code} {one_line(error.reason)}"[:200]
    if error.code in (404, 410):
        return NotThere(f"There is no {url} ({said}).", "Is the --base-url right? See `stgcn download --list`.")
    if error.code == 416:
        return BadRange(said)
    if error.code in _PASSING:
        return Again(f"the server answers {said}")
    if 300 <= error.code < 400:
        return NetworkError(f"{url} leads elsewhere in a way that is not followed ({said}).", "Name a --base-url.")
    return NetworkError(f"{url}: the server answers {said}.", "A proxy or the server refuses it.")


class BadRange(Again):
    """There is no such piece: what is there already is not the beginning of this file."""


def _cause(error: object) -> str:
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return one_line(text or type(error).__name__)[:200].strip()


class _Redirects(request.HTTPRedirectHandler):
    """Follows a server to the same or a safer scheme only."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("https", urlsplit(req.full_url).scheme):
            raise NetworkError(
                f"{req.full_url} leads to {one_line(newurl)[:200]}: another scheme, which is not followed.",
                "Name a trustworthy mirror with --base-url.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener(patience: Patience) -> request.OpenerDirector:
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(), *handlers(patience), request.UnknownHandler(), _Redirects(),
        request.HTTPDefaultErrorHandler(), request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def checked_base(base: str) -> str:
    """`base` without a slash at its end. Raises UsageError when it is no http(s) address."""
    try:
        parts = urlsplit(base)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not _PLAIN.fullmatch(base):
        raise UsageError(
            "--base-url is no address that files can be fetched below.",
            "For example: --base-url https://mirror.example.org/mmaction",
        )
    return base.rstrip("/")
