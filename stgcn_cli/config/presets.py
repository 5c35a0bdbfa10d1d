"""Presets by name, published name or path; overrides; and a preset written back as TOML."""

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.config.catalog import PUBLISHED, PYSKL, find
from stgcn_cli.config.consistency import preset_from
from stgcn_cli.config.schema import Preset, check_keys
from stgcn_cli.config.skeletons import LAYOUTS, Layout, layout_from, read_layout, table_of
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, nearest_file, one_line, shown

_LONGEST_CHAIN = 5  # presets that extend each other
_SHOWN = 120  # characters of a setting in a message
MAX_BYTES = 1_000_000  # far above any preset; a larger file is something else


def folder() -> Path:
    """Where the shipped presets lie: inside the wheel, or in the checkout when installed with -e."""
    package = Path(__file__).parent.parent
    inside = package / "_presets"
    return inside if inside.is_dir() else package.parent / "presets"


def names() -> list[str]:
    """The shipped presets: the published ones in the order of the published page, then the others."""
    order = list(dict.fromkeys(entry.preset for entry in PUBLISHED + PYSKL))
    shipped = {path.stem for path in folder().glob("*.toml")}
    return [name for name in order if name in shipped] + sorted(shipped - set(order))


def load(name: str, settings: Iterable[str] = ()) -> Preset:
    """The preset called `name` (a shipped or published name, or a TOML file) with `key=value` settings applied.

    Raises UsageError when there is none, or when a key or value is impossible.
    """
    path = _locate(name)
    values = _extended(path)
    published = find(name)
    if published and published.stream != "joint":  # one preset for all streams of a system
        values["data"]["stream"] = published.stream
    return _resolved(values, str(path), path.stem, settings)


def from_text(text: bytes, where: str, name: str, settings: Iterable[str] = ()) -> Preset:
    """The preset in the TOML `text`, which stands for itself: no other file is opened; `where` names it in messages."""
    values = _parse(text, where)
    if isinstance(data := values.get("data"), dict) and str(data.get("layout")).endswith(".toml"):
        raise UsageError(
            f"{where}: data.layout = {shown(data['layout'])} names another file, which is not opened.",
            "Give the skeleton: --set data.layout=my.toml, or --preset.",
        )
    return _resolved(values, where, name, settings)


def _resolved(values: dict[str, Any], where: str, name: str, settings: Iterable[str]) -> Preset:
    values.setdefault("name", name)
    values.setdefault("description", "")
    _resolve_own_layout(values, where)
    folder = Path(where).parent
    for setting in settings:
        typed = f"--set {one_line(setting)[:_SHOWN]}"
        _apply(values, setting, typed)
        check_keys(values, typed)
        where += f" {typed}"
    _read_layout_file(values, folder)
    _resolve_own_layout(values, where)  # a setting may have given it an impossible name
    return preset_from(values, where)


def _parse(text: bytes, where: str) -> dict[str, Any]:
    """The nested values of TOML. Raises UsageError."""
    try:
        if len(text) > MAX_BYTES:
            raise UsageError(f"{where} is larger than {MAX_BYTES:,} bytes, which is not a preset.")
        return tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, too
        raise UsageError(f"{where} is not valid TOML: {error}.") from error


def _extended(path: Path, depth: int = 0) -> dict[str, Any]:
    """The values in a file, over those of the preset named by its `extends` (a name, or a file beside this one)."""
    try:
        with open(path, "rb") as stream:
            values = _parse(stream.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise UsageError(f"The preset {path} cannot be read: {error.strerror}.") from error
    if "extends" not in values:
        return values
    base = values.pop("extends")
    where = f"{path}: extends = {shown(base)}"
    if not isinstance(base, str):
        raise UsageError(f"{where}, but it must be the name of a preset.")
    if depth == _LONGEST_CHAIN:
        raise UsageError(f"{where}: more than {_LONGEST_CHAIN} presets extend each other.")
    beside = path.parent / base
    try:
        found = beside if base.endswith(".toml") and beside.is_file() else _locate(base)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from error
    inherited = _extended(found, depth + 1)
    for key in ("name", "description"):  # say what the other preset is
        inherited.pop(key, None)
    return _merged(inherited, values)


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _resolve_own_layout(values: dict[str, Any], where: str) -> None:
    """Joint names in [layout] become indices."""
    if isinstance(section := values.get("layout"), dict) and isinstance(values.get("data"), dict):
        own = layout_from(values["data"].get("layout"), section, f"{where} [layout]")
        values["layout"] = table_of(own)


def _read_layout_file(values: dict[str, Any], folder: Path) -> None:
    """data.layout = "my.toml", beside the preset or here, becomes the section [layout], so that it travels with it."""
    word = values["data"].get("layout") if isinstance(values.get("data"), dict) else None
    if isinstance(word, str) and word.endswith(".toml"):
        own = read_layout(folder / word if (folder / word).is_file() else Path(word))
        values["data"]["layout"] = own.name
        values["layout"] = table_of(own)
    elif isinstance(word, str) and word in LAYOUTS:
        values.pop("layout", None)


def layout_of(preset: Preset) -> Layout:
    """The skeleton of the preset's clips."""
    if preset.layout is None:
        return LAYOUTS[preset.data.layout]
    own = preset.layout
    bones, pairs = (tuple((a, b) for a, b in each) for each in (own.bones, own.pairs or ()))
    return Layout(preset.data.layout, own.joints, bones, own.centre, own.up or "", pairs)


def published_for(joints: int, coordinates: int, has_score: bool | None = None) -> Iterator[Preset]:
    """The published presets for clips with such joints and coordinates; `has_score` None: with a score or without."""
    for entry in PUBLISHED:
        preset = load(entry.preset)
        scored = preset.data.channels.endswith("s")
        fits = (len(layout_of(preset).joints), len(preset.data.channels) - scored) == (joints, coordinates)
        if fits and has_score in (None, scored):
            yield preset


def _locate(name: str) -> Path:
    published = find(name)
    shipped = folder() / f"{published.preset if published else name}.toml"
    if "/" not in name and shipped.is_file():
        return shipped
    if Path(name).suffix == ".toml" or "/" in name:
        if Path(name).is_file():
            return Path(name)
        published = find(Path(name).stem)  # configs/skeleton/stgcn/stgcn_80e_babel60.py of the reference
        hint = (
            f"Its preset here: --preset {published.preset}"
            if published
            else "See `stgcn presets` for the shipped ones."
        )
        raise UsageError(f"Preset file {name} not found.{nearest_file(Path(name))}", hint)
    known = names() + [entry.name for entry in PUBLISHED]
    if Path(name).suffix in (".pth", ".pt"):
        hint = f"A checkpoint is given after its preset: --load-from {name}. All presets: stgcn presets"
        raise UsageError(f"{name} is not a preset.", hint)
    toml = Path(name).with_suffix(".toml") if Path(name).suffix == ".pkl" else Path(f"{name}.toml")
    beside = f" Did you mean '{toml}'?" if toml.is_file() else ""
    raise UsageError(f"Preset {name!r} not found.{beside or nearest(name, known)}", "All presets: stgcn presets")


def _apply(values: dict[str, Any], setting: str, where: str) -> None:
    """Put `section.key=value` into `values`."""
    if not setting.isascii() and setting != setting.encode("utf-8", "replace").decode():
        raise UsageError(f"{where}: it is not UTF-8.", "Write it in the encoding of your terminal.")
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{where}: a setting is written key=value.", "For example: --set optim.lr=0.05")
    *sections, last = key.strip().split(".")
    target = values
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise UsageError(f"{where}: {shown(section)} is a value, not a section.")
    if text.strip() == "none":  # TOML has no null; the key is then absent
        target.pop(last, None)
    else:
        target[last] = _value(text.strip())


def _value(text: str) -> Any:
    """`text` as a TOML value, else as the text itself, so that --set data.train=xview_train needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def flat(preset: Preset) -> dict[str, Any]:
    """The values of a preset by "key" and "section.key"."""
    groups = {
        key: value if isinstance(value, dict) else {"": value} for key, value in dataclasses.asdict(preset).items()
    }
    return {f"{key}.{name}".rstrip("."): value for key, group in groups.items() for name, value in group.items()}


def to_toml(preset: Preset) -> str:
    """The resolved preset as TOML text that `load` reads back to an equal preset; absent values are left out."""
    return "\n".join(_lines(dataclasses.asdict(preset), "")) + "\n"


def _lines(values: dict[str, Any], section: str) -> Iterator[str]:
    for key, value in values.items():
        if value is not None and not isinstance(value, dict):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"\n[{section}{key}]"
            yield from _lines(value, section + key + ".")
