"""The Typer app, and the one place where an exception becomes a message and an exit code."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from stgcn_cli import __version__, console
from stgcn_cli.arguments import join_values
from stgcn_cli.commands.checkpoint import checkpoint
from stgcn_cli.commands.demo import demo
from stgcn_cli.commands.download import download_command
from stgcn_cli.commands.eval import evaluate
from stgcn_cli.commands.prepare import prepare
from stgcn_cli.commands.presets import presets
from stgcn_cli.commands.train import train
from stgcn_cli.errors import FAILED_RUN, INTERRUPTED, TERMINATED, StgcnError, Terminated

app = typer.Typer(
    name="stgcn",
    help="Skeleton action recognition with spatial-temporal graph convolution: prepare, train, eval.",
    epilog="Start with: stgcn demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,  # plain when piped
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("prepare")(prepare)
app.command("train")(train)
app.command("eval")(evaluate)
app.add_typer(presets, name="presets")
app.command("download")(download_command)
app.add_typer(checkpoint, name="checkpoint")
app.command("demo")(demo)


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


def main() -> None:
    """Run the program on `sys.argv` and exit with a documented code (see `errors.py`)."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(join_values(sys.argv[1:]), prog_name="stgcn")
    except StgcnError as error:
        console.fail(error.message, error.hint)
        sys.exit(error.exit_code)
    except Terminated:
        console.fail("Terminated. What was complete is kept.")
        sys.exit(TERMINATED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            console.fail("Interrupted. What was complete is kept.")
        raise
    except Exception as error:
        if os.environ.get("STGCN_TRACEBACK"):
            raise
        console.fail(
            f"Unexpected {type(error).__name__}: {error}",
            "This is a defect of stgcn. Run again with STGCN_TRACEBACK=1 and report what it prints.",
        )
        sys.exit(FAILED_RUN)


if __name__ == "__main__":
    main()
