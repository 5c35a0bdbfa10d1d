"""Mutations that know what they change: words and lines of a text, steps of a pickle, members of a zip, bytes of anything."""

import copy
import io
import json
import pickletools
import random
import struct
import zipfile
import zlib

NUMBERS = [b"0", b"1", b"-1", b"2", b"3", b"4", b"5", b"9", b"10", b"24", b"25", b"26", b"255", b"256", b"30000", b"30001",
           b"65536", b"2147483647", b"4294967296", b"999999999", b"9999999999", b"nan", b"inf", b"-inf", b"1e5", b"1e-05",
           b"-1.5E+3", b"1e18", b"1.1e18", b"1e999", b"-0", b"0.0", b"1.2.3", b"--1", b"1e", b".5", b"5.", b"-", b"+1", b"0x1", b"1_0",
           b"9" * 30, b"0.12345678901234567", b"123456789012345", b"1234567890123456", b"1-2", b"1e5.3", b"1e5e5", b"",
           b"\xff", b"1\x1c2", b"\x1b[31m", b"\x00", b"left"]  # fmt: skip
SIZES = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
_FEW = (1, 1, 1, 2, 3)


def some_bytes(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to three changes of bytes, wherever they fall."""
    changed = bytearray(data)
    for _ in range(rng.choice(_FEW)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = rng.randrange(256)
            case 2:
                changed[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8)))
            case 3:
                del changed[at : at + rng.choice((1, 2, 4, 8, 64, 1024))]
            case 4:
                del changed[at:]
            case 5:
                other = rng.choice(others)
                changed[at:] = other[rng.randrange(len(other) + 1) :]
            case _:
                size = rng.choice(SIZES)
                changed[at : at + 4] = struct.pack(rng.choice("<>") + "I", size)
    return bytes(changed)


def some_words(rng: random.Random, data: bytes, others: list[bytes], head: int = 1) -> bytes:
    """One to three changes of words or lines; the first `head` lines, which most readers stop at, seldom."""
    lines = data.split(b"\n")
    for _ in range(rng.choice(_FEW)):
        lines = lines or [b""]
        low = 0 if rng.random() < 0.03 else min(head, len(lines) - 1)
        at = rng.randrange(low, len(lines))
        match rng.randrange(12):
            case 0 | 1 | 2 | 3:
                lines[at] = _word(rng, lines[at], lines)
            case 4:
                lines.insert(at, rng.choice(lines))
            case 5 if len(lines) > 1:
                del lines[at]
            case 6:
                other = rng.choice(others).split(b"\n")
                start = rng.randrange(len(other))
                lines[at:at] = other[start : start + rng.choice((1, 2, 27, 28, 29))]
            case 7 if rng.random() < 0.3:
                del lines[at:]
            case 8:
                lines[at] = some_bytes(rng, lines[at], others)[:5000]
            case 9 if at:
                del lines[at : at + rng.choice((1, 27, 28, 29))]
            case 10:
                lines[at : at + 1] = lines[at : at + rng.choice((1, 27, 28, 29))] * 2
            case _:
                lines[at] = rng.choice((lines[at] + b" ", b"\t" + lines[at], lines[at].replace(b" ", b"  "), lines[at] * 2,
                                        lines[at].rstrip(b"\r"), lines[at] + b"\r", b""))  # fmt: skip
    return b"\n".join(lines)


def _word(rng: random.Random, line: bytes, lines: list[bytes]) -> bytes:
    words = line.split(b" ")
    at = rng.randrange(len(words))
    if rng.random() < 0.3 and words[at].strip().removeprefix(b"-").isdigit():
        words[at] = str(int(words[at][:18]) + rng.choice((-1, 1, 2, 100))).encode()
    else:
        words[at] = rng.choice((rng.choice(NUMBERS), rng.choice(rng.choice(lines).split(b" ")), words[at] * 2))
    return b" ".join(words)


def some_steps(rng: random.Random, data: bytes, others: list[bytes], extra: list[bytes]) -> bytes:
    """One to three steps of a pickle left out, doubled, exchanged, given another argument, or brought from elsewhere."""
    steps = _steps(data)
    if len(steps) < 3:
        return some_bytes(rng, data, others)
    for _ in range(rng.choice(_FEW)):
        at = rng.randrange(1, max(2, len(steps) - 1))
        match rng.randrange(7):
            case 0:
                del steps[at : at + 1]
            case 1:
                steps.insert(at, rng.choice(steps))
            case 2:
                steps.insert(at, rng.choice(extra))
            case 3:
                steps[at : at + 1] = [rng.choice(_steps(rng.choice(others)) or steps)]
            case 4:
                steps[at : at + 1] = [_argument(rng, steps[at : at + 1])]
            case 5:
                other = rng.randrange(1, len(steps))
                steps[at % len(steps)], steps[other] = steps[other], steps[at % len(steps)]
            case _:
                steps[at : at + 1] = [rng.choice(extra)]
        if len(steps) < 3:
            break
    return b"".join(steps)


def _steps(data: bytes) -> list[bytes]:
    places = []
    try:
        for _, _, place in pickletools.genops(data):
            places.append(place)
    except Exception:  # what cannot be taken apart is one step
        pass
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=False)]


def _argument(rng: random.Random, steps: list[bytes]) -> bytes:
    if not steps or len(steps[0]) < 2:
        return b"".join(steps) + rng.choice((b"N", b"K\x01", b"]", b"}", b"0"))
    step = bytearray(steps[0])
    if len(step) >= 5 and rng.random() < 0.3:
        step[1:5] = struct.pack("<I", rng.choice(SIZES))
    else:
        at = rng.randrange(1, min(len(step), 12))
        step[at] = rng.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF, step[at] ^ (1 << rng.randrange(8))))
    return bytes(step)


def some_members(rng: random.Random, data: bytes, others: list[bytes], inside) -> bytes:
    """A zip whose members are changed by `inside`(rng, name, bytes), left out, doubled, renamed, packed, or cut."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, zlib.error, OSError, EOFError):
        return some_bytes(rng, data, others)
    if not members or rng.random() < 0.15:
        return some_bytes(rng, data, others)
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(10):
        case 0:
            del members[at]
        case 1:
            members.append((name, content[: rng.randrange(len(content) + 1)]))
        case 2:
            members[at] = (rng.choice(("../" + name, "/" + name, name + "\x00", name * 20, "\x1b[31m" + name)), content)
        case 3:
            members[at] = (name, some_bytes(rng, content, others))
        case 4:
            members[at] = (name, content[: rng.randrange(len(content) + 1)])
        case _:
            likely = [i for i, (n, _) in enumerate(members) if n.endswith((".pkl", ".json", ".skeleton"))] or [at]
            at = rng.choice(likely)
            members[at] = (members[at][0], inside(rng, *members[at]))
    return zipped(members, zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED)


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of (name, content), with names as they are."""
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


_ODD = (None, True, -1, 0, 1e308, float("nan"), float("inf"), "", "x", "-1", "9" * 400, 10**30, [], {}, [[]], [1], [None], [{}], {"a": 1}, {"x": []})  # fmt: skip


def some_values(rng: random.Random, text: bytes) -> bytes:
    """A JSON text with one to three of its values replaced: by odd ones, by others of its own, or left out."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(rng.randrange(1, 4)):
        holders = list(_holders(value))
        if not holders:
            break
        holder, key = rng.choice(holders)
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1:
                inside, at = rng.choice(holders)
                holder[key] = copy.deepcopy(inside[at])
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 3 if isinstance(holder, dict):
                holder[rng.choice((f"{key}0", "keypoints", "frame", "id", "0", "persons", "x", "pose"))] = holder.pop(
                    key
                )
            case _:
                holder[key] = copy.deepcopy(rng.choice(_ODD))
    return json.dumps(value).encode()


def _holders(value):
    """Every list or object in a JSON value with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _holders(value[key])
