"""Option types that commands share, what a shell completes after them, and the parsing of their words."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from typer import Argument, Option

from stgcn_cli.cli import console
from stgcn_cli.config import choices
from stgcn_cli.config.choices import METRICS, STREAMS
from stgcn_cli.errors import StgcnError, UsageError
from stgcn_cli.io.text import nearest, nearest_file
from stgcn_cli.runtime import DEVICES, PrecisionName

if TYPE_CHECKING:
    from stgcn_cli.data.readers.parsing import Options

Word = TypeVar("Word", bound=str)
_UNUSED = {  # options of the reference that are accepted, and why they do nothing
    "--launcher": "is not needed: the launcher (torchrun, SLURM or our own) is recognised.",
    "--gpu-ids": "does nothing here: choose GPUs with --device 0,2.",
    "--fuse-conv-bn": "is not needed: evaluation fuses what it can by itself.",
    "--average-clips": "does nothing here: a skeleton record is one clip.",
    "--gpu-collect": "is not needed: results are always collected by the devices.",
    "--tmpdir": "is not needed: results are not collected through files.",
}


def metric_names(text: str | None) -> tuple[choices.Metric, ...]:
    """Parse --metrics; () without it. Raises UsageError for an unknown name."""
    return _listed(text or "", "metric", METRICS)


def stream_names(text: str) -> tuple[choices.Stream, ...]:
    """Parse streams separated by commas. Raises UsageError for an unknown or repeated one."""
    names = _listed(text, "stream", STREAMS)
    if len(set(names)) < len(names):
        raise UsageError(f"{text}: a stream is named twice.")
    return names


def _listed(text: str, kind: str, known: Sequence[Word]) -> tuple[Word, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if unknown := next((word for word in words if word not in known), None):
        message = f"Unknown {kind} {unknown!r}.{nearest(unknown, known)}"
        raise UsageError(message, f"{kind.capitalize()}s: {', '.join(known)}")
    return tuple(known[known.index(word)] for word in words)


Offer = Callable[[str], list[str]]


def one_of(*words: str) -> Offer:
    """Offers the `words` that begin like what was typed; where none does, the shell offers files."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return offer


def presets(incomplete: str) -> list[str]:
    """Offers presets by their short names; the published ones once a letter tells that they are meant."""
    from stgcn_cli.config import catalog
    from stgcn_cli.config import presets as library

    published = [entry.name for entry in catalog.PUBLISHED] if incomplete else []
    return one_of(*library.names(), *published)(incomplete)


def checkpoints(incomplete: str) -> list[str]:
    """Offers published weights once something is typed: before, files are meant."""
    from stgcn_cli.config import catalog

    return one_of(*(entry.preset for entry in catalog.PUBLISHED))(incomplete) if incomplete else []


def layouts(incomplete: str) -> list[str]:
    """Offers the built-in skeletons."""
    from stgcn_cli.config.skeletons import LAYOUTS

    return one_of(*LAYOUTS)(incomplete)


def formats(incomplete: str) -> list[str]:
    """Offers the formats of skeleton files."""
    from stgcn_cli.data.readers import FORMATS

    return one_of(*FORMATS)(incomplete)


def _set_quiet(quiet: bool) -> bool:
    console.set_quiet(quiet)
    return quiet


# Options that several commands have. Of --quiet a command only states that it has it.

Checkpoint = Annotated[
    str,
    Argument(help="A checkpoint file, or published weights by name (downloaded once).", autocompletion=checkpoints),
]
Data = Annotated[
    list[Path] | None,
    Option("--data", help="Data folder or annotation pickle; repeatable. Default: $STGCN_DATA, ./data"),
]
Preset = Annotated[
    str | None,
    Option("--preset", "-p", help="Preset, when the checkpoint names none, or to replace it.", autocompletion=presets),
]
Settings = Annotated[
    list[str] | None,
    Option("--set", "--cfg-options", metavar="KEY=VALUE", help="Change the preset: --set data.clip_len=100 (repeatable)"),
]  # fmt: skip
Metrics = Annotated[
    str | None,
    Option("--metrics", "--eval", help=f"One or several of {', '.join(METRICS)}.", autocompletion=one_of(*METRICS)),
]
BatchSize = Annotated[int | None, Option(help="Clips computed at a time; affects speed and memory only.", min=1)]
Device = Annotated[str, Option(help="auto, cpu, cuda, or one GPU (cuda:1).", autocompletion=one_of(*DEVICES))]
Devices = Annotated[
    str, Option(help="auto, cpu, cuda, one GPU (cuda:1) or several (0,2).", autocompletion=one_of(*DEVICES))
]
Precision = Annotated[PrecisionName, Option(help="Arithmetic; auto is float32.")]
BaseUrl = Annotated[str | None, Option(metavar="URL", help="A mirror to download from.")]
Window = Annotated[int | None, Option(help="Timeline: the class of each window of N frames.", min=2)]
Stride = Annotated[
    int | None, Option(help="Frames from one window to the next.", min=1, show_default="a quarter of --window")
]
Force = Annotated[bool, Option("--force", help="Overwrite files that this command did not write.")]
Json = Annotated[bool, Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.", callback=_set_quiet)]
Stream = Annotated[
    choices.Stream | None,
    Option("--stream", help="Short for --set data.stream=X, and of published weights those of it."),
]


def check_there(error: type[StgcnError], paths: Iterable[Path], hint: str) -> None:
    """Raise `error` for a missing file, before torch is imported, which takes seconds."""
    for path in paths:
        if not path.exists():
            raise error(f"{path} not found.{nearest_file(path)}", hint)


def with_preset(checkpoint: str, preset: str | None, *files: Path) -> list[Path]:
    """The files that a command reads, which its output must not replace."""
    return [Path(checkpoint), *map(Path, [preset] if preset else []), *files]


def with_stream(checkpoint: str, settings: list[str], stream: str | None) -> tuple[str, list[str]]:
    """Return the checkpoint, of published weights that of the stream, and the settings with it. Raises UsageError."""
    from stgcn_cli.config import catalog

    if stream is None:
        return checkpoint, settings
    published = catalog.find(checkpoint)
    if published and (entry := catalog.of_preset(published.preset, stream)):
        checkpoint = entry.label
    return checkpoint, [f"data.stream={stream}", *settings]


# How files are read, alike in every command that reads skeletons.

AxesOption = Annotated[
    str | None,
    Option(
        "--axes", metavar="LETTERS",
        help="Order of the axes of arrays: N clips, M persons, T frames, V joints, C values; CTVM, or T(VC) for rows.",
    ),
]  # fmt: skip
_SCORE_LAST = "Whether the last value of a joint is its score. Default: recognised from the values."
ScoreLastOption = Annotated[bool | None, Option("--score-last/--no-score-last", help=_SCORE_LAST)]
ImageSizeOption = Annotated[
    str | None, Option(metavar="WIDTHxHEIGHT", help="Image size in pixels, for files that do not state it.")
]
LayoutOption = Annotated[
    str | None,
    Option("--layout", help="The skeleton: a built-in one (docs/own-data.md) or a TOML file.", autocompletion=layouts),
]
FromOption = Annotated[
    str | None,
    Option(
        "--from",
        help="Read every file as this format: npy, csv, coco and others (docs/own-data.md).",
        autocompletion=formats,
    ),
]
MaxPersonsOption = Annotated[
    int | None,
    Option(
        help="Persons kept per clip, the longest visible first. Default: 2; all for pickles and .skeleton files.",
        min=1,
        max=64,
    ),
]


def reading(
    *,
    axes: str | None = None,
    score_last: bool | None = None,
    image_size: str | None = None,
    layout: str | None = None,
    max_persons: int | None = None,
    format: str | None = None,
) -> "Options":
    """What the user says of files that do not say it themselves. Raises UsageError."""
    from stgcn_cli.config.skeletons import find_layout
    from stgcn_cli.data.axes import parse_axes
    from stgcn_cli.data.readers.parsing import Options

    known, order = find_layout(layout) if layout else None, parse_axes(axes) if axes else None
    return Options(max_persons, _size(image_size), known, order, score_last, format=format)


def _size(word: str | None) -> tuple[int, int] | None:
    """(height, width) of WIDTHxHEIGHT."""
    if word is None:
        return None
    width, _, height = word.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 100_000 and 0 < int(height) < 100_000):
        raise UsageError(
            f"Invalid --image-size {word!r}; expected WIDTHxHEIGHT in pixels.", "For example: --image-size 1280x720"
        )
    return int(height), int(width)


def note_unused(given: dict[str, object]) -> None:
    """One note for each option of the reference that was given and has no meaning here."""
    for name, value in given.items():
        if value:
            console.note(f"{name} {_UNUSED[name]}")
