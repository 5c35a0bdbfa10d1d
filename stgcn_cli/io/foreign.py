"""What a file is by its first bytes, whatever its name says; texts in the encodings that spreadsheets write."""

import codecs
import re
import shlex
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stgcn_cli.errors import DataError
from stgcn_cli.io.own_files import read_regular

HEAD = 4096  # bytes that tell
_MARKUP = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|meta|script|title)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"\s*<(?:\?xml|[A-Za-z][\w:-]*[\s>])")
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\([ldt]p?\d*\r?\n|[\]}(]q\x00|c[\w.]+\r?\n\w+\r?\np\d+\r?\n")


@dataclass(frozen=True)
class Kind:
    """What a file is. `hint` is what to do about it where something else was expected; {} stands for its path."""

    key: str
    what: str
    hint: str = ""


_KINDS = tomllib.loads((Path(__file__).parent / "kinds.toml").read_text("utf-8"))
_MAGIC, _INNER = (
    [
        (row.get("at", 0), row["bytes"].encode("latin1"), Kind(row["key"], row["what"], row.get("hint", "")))
        for row in rows
    ]
    for rows in (_KINDS["magic"], _KINDS["inner"])
)
_PAGE = Kind(
    "html", "a web page (HTML)",
    "Download it again: the address answered with a page. Does it ask for a login, or to accept a licence?",
)  # fmt: skip
_UNPACK = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd"}  # all keep the packed file with -k
_MOST_NAMES = 100_000_000  # bytes of the JSON that begins a file of safetensors
_SAFETENSORS = Kind(
    "safetensors",
    "a file of safetensors",
    "Save it with torch: torch.save(safetensors.torch.load_file('{0}'), 'weights.pth')",
)
NOT_DATA = ("lfs", "html", "gzip", "packed")  # whatever a file is called


def kind_of(head: bytes) -> Kind | None:
    """Return what the first bytes of a file are, None for a plain text and for what is not known."""
    if not head:
        return Kind("empty", "an empty file")
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < _MOST_NAMES:
        return _SAFETENSORS
    if head[:1] == b"\x08" and re.search(rb"pytorch|onnx", head[:64]):
        return Kind("onnx", "an ONNX model", "Name it .onnx to predict and eval with it.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next(
            (kind for _, name, kind in _INNER if name in head),
            Kind(
                "zip",
                "a zip archive",
                "Unpack it: unzip {0}. Raw .skeleton clips: stgcn data convert {0} --out own.pkl",
            ),
        )
    text = as_utf8(head)
    if _MARKUP.match(text):
        return _PAGE
    if _XML.match(text):
        return _PAGE if b"<html" in text.lower() else Kind("xml", "an XML file")
    if _PICKLE.match(head):
        return Kind("pickle", "a pickle", "Name it .pkl.")
    return None


def as_utf8(head: bytes) -> bytes:
    """The first bytes of a text in UTF-16 or UTF-32 as UTF-8, others as they are."""
    encoding = _by_mark(head)
    return head if encoding is None else head.decode(encoding, "ignore").encode()


def head_of(path: Path) -> bytes:
    """The first bytes of a file. Raises OSError."""
    return read_regular(path, HEAD)


def refuse(path: Path, head: bytes, expected: str, accepted: Collection[str] = ()) -> None:
    """Raise DataError for a file that is recognised as something else than `expected`, unless its key is accepted."""
    kind = kind_of(head)
    if kind is not None and kind.key not in accepted:
        unpack = _UNPACK.get(path.suffix)
        hint = f"Unpack it: {unpack} -k {shlex.quote(str(path))}" if unpack else kind.hint.format(path)
        raise DataError(f"{path} is {kind.what}; expected {expected}.", hint)


def peek(stream: IO[bytes]) -> bytes:
    """The first bytes of an open file, which is at its beginning afterwards."""
    stream.seek(0)
    head = stream.read(HEAD)
    stream.seek(0)
    return head


def are_line_ends_changed(stream: IO[bytes], most: int = 1 << 20) -> bool:
    """Whether a binary file was copied as text, so that every line feed has a carriage return before it."""
    stream.seek(0)
    content = stream.read(most)
    feeds = content.count(b"\n")
    return feeds > 3 and content.count(b"\r\n") == feeds


# Texts.

_MARKS = (  # byte order marks, the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_HIGH = re.compile(rb"[\x80-\xff]+")


def _by_mark(head: bytes) -> str | None:
    """The encoding that a byte order mark or the zeros between Latin letters tell."""
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    if marked or len(head) < 4 or 0 not in head[:64]:
        return marked
    even, odd = head[:64:2], head[1:64:2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None


def decode(content: bytes) -> str:
    """Text in UTF-8, UTF-16 or UTF-32, or in the GBK or Western encoding of a spreadsheet, without a byte order mark.

    In GBK the bytes above 127 of a Chinese word stand in pairs; in a Western text they stand alone. Raises ValueError for
    anything else, naming the encoding that is expected.
    """
    try:
        return content.decode(_by_mark(content) or "utf-8")
    except UnicodeDecodeError as error:
        runs = [found[0] for found in _HIGH.finditer(content)]
        if all(len(run) % 2 == 0 and min(run) >= 0xA1 for run in runs):
            candidates = "gbk"
        elif all(len(run) == 1 for run in runs):
            candidates = "cp1252"
        else:
            candidates = "gb18030"
        try:
            text = content.decode(candidates)
            if candidates != "gb18030" or all(
                char < "\x80" or "\u3000" <= char <= "\u9fff" or char >= "\uff00" for char in set(text)
            ):
                return text
        except UnicodeDecodeError:
            pass
        raise ValueError(
            f"its encoding is not known: neither UTF-8, UTF-16 nor GBK (byte {error.start:,}). Save it as UTF-8"
        ) from error
