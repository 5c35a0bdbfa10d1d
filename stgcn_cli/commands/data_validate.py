"""`stgcn data validate`: what is wrong in an annotation pickle."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from stgcn_cli import completing, console
from stgcn_cli.errors import DataError

_MOST = 10  # lines of one kind


def validate(
    file: Annotated[Path, Argument(help="An annotation pickle of either dialect.")],
    preset: Annotated[
        str | None,
        Option("--preset", "-p", help="Also check that this preset can use it.", autocompletion=completing.presets),
    ] = None,
    settings: Annotated[
        list[str] | None,
        Option("--set", "--cfg-options", metavar="KEY=VALUE", help="Change the preset: --set data.clip_len=100"),
    ] = None,
    classes: Annotated[Path | None, Option(help="Class names, one a line. Default: those in FILE.toml.")] = None,
    as_json: Annotated[bool, Option("--json", help="Everything found, for scripts.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
) -> None:
    """Check every record of an annotation pickle.

    Example: stgcn data validate own.pkl

    Errors (exit code 3) stop training or make its figures false; warnings are odd but possible.
    """
    console.set_quiet(quiet)
    from stgcn_cli import validating
    from stgcn_cli.data.own.class_names import read_names

    wishes = validating.Wishes(file, preset, tuple(settings or ()), read_names(classes) if classes else None)
    found = validating.validate(wishes, console.screen())
    following = validating.next_command(wishes, found)
    if as_json:
        console.print_json(found.as_dict() | {"next": following})
    else:
        for line in found.shortened(_MOST):
            console.say(line)
        console.say(f"{file}: {found.summary()}")
    if errors := found.count("error"):
        counted = "1 error" if errors == 1 else f"{errors:,} errors"
        raise DataError(f"{file} cannot be used as it is: {counted}.", f"Correct it, then: {following}")
    if not as_json:
        console.note(f"Next: {following}")
