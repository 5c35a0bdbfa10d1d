"""The Typer app, and the one place where an exception becomes a message and an exit code."""

import itertools
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from stgcn_cli import __version__
from stgcn_cli.cli import console
from stgcn_cli.cli.bench import bench
from stgcn_cli.cli.checkpoint import checkpoint
from stgcn_cli.cli.commands import Command, Group, join_values
from stgcn_cli.cli.data import data
from stgcn_cli.cli.demo import demo
from stgcn_cli.cli.doctor import doctor
from stgcn_cli.cli.download import download_command
from stgcn_cli.cli.evaluate import evaluate
from stgcn_cli.cli.export import export
from stgcn_cli.cli.fuse import fuse
from stgcn_cli.cli.predict import predict
from stgcn_cli.cli.prepare import prepare
from stgcn_cli.cli.presets import presets
from stgcn_cli.cli.report import report
from stgcn_cli.cli.runs import runs
from stgcn_cli.cli.train import train
from stgcn_cli.cli.view import view
from stgcn_cli.errors import DONE, FAILED_RUN, INTERRUPTED, TERMINATED, StgcnError, Terminated, UsageError
from stgcn_cli.io.files import disk_error, path_error

console.open_streams()

app = typer.Typer(
    name="stgcn",
    cls=Group,
    help="Skeleton action recognition with spatial-temporal graph convolution: prepare, train, evaluate, export.\n\nExample: stgcn train ntu60-xsub-3d",
    epilog="Start with: stgcn demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes cut the names of options in 80 columns, and have yellow on a light ground
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "prepare": prepare, "train": train, "eval": evaluate, "fuse": fuse, "predict": predict, "export": export, "view": view,
    "runs": runs, "report": report, "download": download_command, "demo": demo, "bench": bench, "doctor": doctor,
}  # fmt: skip
for _name, _function in _COMMANDS.items():
    app.command(_name, cls=Command)(_function)
for _name, _group in {"data": data, "presets": presets, "checkpoint": checkpoint}.items():
    app.add_typer(_group, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stgcn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def _insist(lost: "sys.UnraisableHookArgs") -> None:
    """A signal that came while an object was thrown away or a process forked is dropped by Python: it is sent again."""
    sent = {Terminated: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}.get(lost.exc_type)
    if sent is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(0.1, os.kill, (os.getpid(), sent))
    again.daemon = True
    again.start()


def main() -> None:
    """Run the program on `sys.argv` and exit with a documented code (see `errors.py`)."""
    for sent in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # the latter: the terminal was closed
        if signal.getsignal(sent) is not signal.SIG_IGN:
            signal.signal(sent, _terminate)
    sys.unraisablehook = _insist
    warnings.filterwarnings("ignore", message="Glyph .* missing from")  # matplotlib's; the page and the table have them
    try:
        _require_working_directory()
        _require_words(sys.argv[1:])
        app(join_values(sys.argv[1:]), prog_name="stgcn")
    except StgcnError as error:
        if not error.is_reported:
            console.fail(error.message, error.hint)
        sys.exit(error.exit_code)
    except Terminated:
        console.fail("Terminated. Everything completed is kept.")
        sys.exit(TERMINATED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            console.fail("Interrupted. Everything completed is kept.")
        if isinstance(stop.__context__, BrokenPipeError):  # who reads our output has seen enough, as `| head` does
            console.discard_stream(sys.stdout)
            sys.exit(DONE)
        raise
    except OSError as error:
        if error.filename is None:
            console.discard_stream(sys.stdout)
        known = path_error(error) if error.filename is not None else disk_error(error, Path("the output"))
        console.fail(known.message, known.hint)
        sys.exit(known.exit_code)
    except MemoryError:
        console.fail("Out of memory.", "Close other programs, or give fewer clips at a time.")
        sys.exit(FAILED_RUN)
    except Exception as error:
        from stgcn_cli.runtime.memory import out_of_memory

        hint = "Try a smaller batch (--batch-size, --set train.batch_size=) or --device cpu."
        if exhausted := out_of_memory(error, "This command", hint):
            console.fail(exhausted.message, exhausted.hint)
            sys.exit(exhausted.exit_code)
        _blame_ourselves(error)


def _require_working_directory() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError("The working directory does not exist any more.", "Change to another one: cd ~") from error


def _require_words(argv: Sequence[str]) -> None:
    """Raise UsageError for an empty word, which as a path would be the working directory."""
    for before, word in itertools.pairwise(["stgcn", *argv]):
        if not word or re.fullmatch(r"--[a-z-]+=", word):
            place = f" after {before}" if not word else f": {word}"
            raise UsageError(f"An argument is empty{place}.", "Is a variable of the shell not set?")


def _blame_ourselves(error: Exception) -> NoReturn:
    if os.environ.get("STGCN_TRACEBACK"):
        raise error
    console.fail(
        f"Unexpected {type(error).__name__}: {error}",
        "This is a defect of stgcn. Run again with STGCN_TRACEBACK=1 and report what it prints.",
    )
    sys.exit(FAILED_RUN)


if __name__ == "__main__":
    main()
