"""One file over HTTP(S): resumed, retried, checked, and under its name only when it is whole and right."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.errors import NetworkError, RunError
from stgcn_cli.files import disk_error, sync_folder
from stgcn_cli.network.filelock import locked
from stgcn_cli.network.parts import Part
from stgcn_cli.network.web import Again, Answer, BadRange, ask
from stgcn_cli.screen import Screen

PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each further try
PROGRESS = 1 << 20  # bytes that a try must bring for the pauses to begin anew
_PICKLE_END = b"."


@dataclass(frozen=True)
class Wanted:
    """A file to fetch, and how what arrives is known to be right."""

    url: str
    target: Path
    max_bytes: int
    sha256_prefix: str = ""  # hex digits; empty where none is published
    is_pickle: bool = False


def fetch(wanted: Wanted, screen: Screen, pauses: Sequence[float] = PAUSES_S) -> Path:
    """`wanted.target`, fetched unless it is there and right. Several processes may ask for the same file at once.

    Raises NetworkError (NotThere for a 404) when it cannot be fetched or is not what was wanted, RunError when it
    cannot be written. What arrived before a failure is kept as `.part`, and the next call goes on from there.
    """
    if _is_there(wanted):  # asked before anything is written: a cache may be shared, and not ours to write to
        return wanted.target
    with locked(wanted.target, screen):
        if _is_there(wanted):
            return wanted.target
        if wanted.target.is_file():
            screen.warn(f"{wanted.target} {problem(wanted.target, wanted)}; it is fetched again.")
        part = Part(wanted.target, wanted.url, trust=bool(wanted.sha256_prefix))
        _persist(part, wanted, screen, list(pauses))
        return _finish(part)


def _is_there(wanted: Wanted) -> bool:
    return wanted.target.is_file() and not problem(wanted.target, wanted)


def _persist(part: Part, wanted: Wanted, screen: Screen, pauses: Sequence[float]) -> None:
    """Try until the part is whole and right, with growing pauses."""
    left, most = list(pauses), part.size
    while True:
        try:
            _bring_on(part, wanted, screen)
            return
        except Again as again:
            if part.size >= most + PROGRESS:
                left, most = list(pauses), part.size
            if not left:
                kept = f" {part.size:,} bytes are kept; the next call goes on from there." if part.size else ""
                raise NetworkError(
                    f"{wanted.url} could not be fetched: {again}.",
                    f"Is there a network (or a proxy, in HTTPS_PROXY)? A mirror is named with --base-url.{kept}",
                ) from again
            screen.note(f"{wanted.target.name}: {again}; trying again in {left[0]:g} s.")
            time.sleep(left.pop(0))


def _bring_on(part: Part, wanted: Wanted, screen: Screen) -> None:
    """One try. Raises Again when another may help."""
    resumed = part.start()
    if not part.is_whole:
        try:
            with ask(wanted.url, resumed, part.validator) as answer:
                resumed = part.accept(answer, resumed)
                _check_size(part, wanted, resumed)
                _copy(part, answer, wanted, screen, resumed)
        except BadRange as error:
            part.discard()
            raise Again(f"the server has no byte after {resumed:,}, against its word") from error
    wrong = problem(part.path, wanted)
    if wrong:
        web_page = part.looks_like_html()
        part.discard()
        if resumed:
            raise Again("the pieces do not fit together, so it is fetched from its beginning")
        raise _wrong(wanted, "it is a web page, not the file" if web_page else f"what arrived {wrong}")


def _check_size(part: Part, wanted: Wanted, resumed: int) -> None:
    """Refuse what is declared larger than such a file can be, or than the disk."""
    total = part.total
    if total is None:
        return
    if total > wanted.max_bytes:
        part.discard()
        raise _wrong(wanted, f"{total:,} bytes are announced, and such a file has {wanted.max_bytes:,} at most")
    free = shutil.disk_usage(part.path.parent).free
    if total - resumed > free:
        raise RunError(
            f"The disk is full: {wanted.target.name} needs {total - resumed:,} bytes, {part.path.parent} has {free:,}.",
            "Free some space, or choose another place with --cache-dir.",
        )


def _copy(part: Part, answer: Answer, wanted: Wanted, screen: Screen, resumed: int) -> None:
    """Append what arrives. Raises Again when it ends early."""
    total_mb = part.total / 1e6 if part.total else None
    with screen.progress(f"{wanted.target.name} (MB)", total_mb) as advance:
        advance(resumed / 1e6)
        _append(part, _looked_at(part, answer, wanted, advance), wanted.target)
    ended_early = part.total is not None and part.size < part.total
    if ended_early and not (wanted.sha256_prefix and not problem(part.path, wanted)):  # the hash knows better
        raise Again(f"the connection ended after {part.size:,} of {part.total:,} bytes")


def _looked_at(part: Part, answer: Answer, wanted: Wanted, advance: Any) -> Iterator[bytes]:
    """The chunks that arrive; a web page, or more than such a file can have, ends it."""
    arrived = part.size
    for chunk in answer.chunks():
        if arrived == 0 and chunk.lstrip()[:1] == b"<":
            part.discard()
            raise _wrong(wanted, "it is a web page, not the file")
        arrived += len(chunk)
        if arrived > wanted.max_bytes:
            part.discard()
            raise _wrong(wanted, f"more than {wanted.max_bytes:,} bytes arrived, which is no such file")
        advance(len(chunk) / 1e6)
        yield chunk


def _append(part: Part, chunks: Iterator[bytes], target: Path) -> None:
    try:
        with open(part.path, "ab") as stream:
            try:
                for chunk in chunks:
                    stream.write(chunk)
            finally:
                stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise disk_error(error, target) from error


def _finish(part: Part) -> Path:
    try:
        os.replace(part.path, part.target)
        sync_folder(part.target.parent)
    except OSError as error:
        raise disk_error(error, part.target) from error
    part.forget()
    return part.target


def _wrong(wanted: Wanted, what: str) -> NetworkError:
    return NetworkError(
        f"{wanted.url} is not {wanted.target.name}: {what}. Nothing was kept.",
        "Does a proxy or a login page answer for the server? Look at the address in a browser, or name a mirror with"
        " --base-url.",
    )


def problem(path: Path, wanted: Wanted) -> str:
    """What is wrong with the file, as a predicate ("is empty"); empty when nothing is. Raises RunError."""
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
    return "" if first[:1] == b"\x80" and first[1:] in b"\x02\x03\x04\x05" and whole else "is not a whole pickle"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
