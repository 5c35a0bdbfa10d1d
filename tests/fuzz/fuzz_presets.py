"""Presets in TOML with settings on the command line, and layouts of one's own."""

import random
from pathlib import Path

from stgcn_cli.config import class_names, presets
from stgcn_cli.errors import UsageError
from tests.fuzz.mutate import some_bytes, some_words
from tests.fuzz.target import Target, refused

_MARK = b"\n-----\n"  # settings stand before it, one a line; the preset behind
_VALUES = ["0", "-1", "1e308", "nan", "inf", "1e-400", "true", "none", "[]", "[1, 2]", "[[1]]", "{}", '"x"', "''", "'\\u001b[31m'", "9" * 400, "x" * 5000,
           "[" * 200, "1979-05-27", "0x10", '["a", "b"]', '"my.toml"', '"../../x"', "ntu", "\x1b]0;x\x07", "\u202e", "=", "a=b", "1 # x", '"""a', "{a=1}"]  # fmt: skip
_LAYOUT = b'name = "hand"\njoints = ["a", "b", "c"]\nbones = [["b", "a"], [2, 1]]\ncentre = "a"\n'


def _seeds() -> list[bytes]:
    texts = [path.read_bytes() for path in sorted(presets.folder().glob("*.toml"))]
    own = (
        texts[0].replace(b"[data]", b"[data]\nlayout = 'mine'", 1)
        + b'\n[layout]\njoints = ["a", "b"]\nbones = [["a", "b"]]\ncentre = "b"\n'
    )
    return [
        setting + _MARK + text
        for text in [*texts, own]
        for setting in (b"", b"optim.lr=0.05\ntrain.epochs=3", b"data.layout=my.toml")
    ]


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    settings, _, text = data.partition(_MARK)
    if rng.random() < 0.5:
        keys = [line.split(b"=")[0].strip() for line in text.split(b"\n") if b"=" in line] or [b"x"]
        sections = [line.strip(b"[]") for line in text.split(b"\n") if line.startswith(b"[")] or [b"data"]
        key = b".".join(
            rng.choice((rng.choice(sections), rng.choice(keys), b"", b"layout", b"x"))
            for _ in range(rng.choice((1, 2, 2, 2, 3, 50)))
        )
        settings += b"\n" + key + b"=" + rng.choice(_VALUES).encode()
        return settings + _MARK + text
    lines = some_words(rng, text, [seed.partition(_MARK)[2] for seed in seeds], head=0)
    if rng.random() < 0.5:
        rows = lines.split(b"\n")
        at = rng.randrange(len(rows))
        rows[at] = rows[at].partition(b"=")[0] + b"= " + rng.choice(_VALUES).encode()
        lines = b"\n".join(rows)
    return settings + _MARK + (some_bytes(rng, lines, seeds) if rng.random() < 0.1 else lines)


def _attempt(data: bytes, folder: Path) -> str:
    settings, _, text = data.partition(_MARK)
    words = [line for line in settings.decode("utf-8", "replace").split("\n") if line]
    (folder / "my.toml").write_bytes(_LAYOUT if len(text) % 3 else text)
    path = folder / "mine.toml"
    path.write_bytes(text)
    try:
        preset = presets.load(str(path), words)
        presets.layout_of(preset)
        class_names.class_names(preset)
    except UsageError as error:
        said = refused(error)
        assert "mine.toml" in str(error) or "--set" in str(error) or "my.toml" in str(error) or "class names" in said, (
            str(error)
        )
        return said
    again = presets.from_text(presets.to_toml(preset).encode(), "again.toml", "again")
    assert again == preset, "written and read it is another"
    return "read"


TARGET = Target(
    "presets",
    _seeds,
    _mutate,
    _attempt,
    ("presets.py", "schema.py", "skeletons.py"),
    memory_mb=300,
)
