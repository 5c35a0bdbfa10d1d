"""Every help page: an example that can be typed, nothing cut off, no line beyond a narrow terminal."""

import re
import shlex
import sys

import pytest
import typer

from stgcn_cli.cli import app


def commands(command, path=()):
    """(path, command) of all commands, groups and the program itself."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands(typer.main.get_command(app.app)))


@pytest.fixture
def helped(own_hooks, monkeypatch, capsys):
    """helped(path) is the help page in a terminal of 80 columns."""

    def run(path):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["stgcn", *path, "--help"])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    return run


def test_all_commands_are_swept():
    assert {(), ("train",), ("data", "convert"), ("presets", "show"), ("doctor",)} <= ALL.keys() and len(ALL) >= 20


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_page_fits_and_has_an_example_of_its_own_command(helped, path):
    page = helped(path)
    assert max(map(len, page.splitlines())) <= 80
    below = page.partition("\n\n")[2]  # the usage line ends in FILE...
    assert "…" not in page and not re.search(r"\w\.\.\.$", below, re.MULTILINE), page
    assert "<str>" not in page and "<list" not in page and "{" not in page, "names of values in capitals, not types"
    example = re.search(r"Example: stgcn (.+(?:\n {2}\S.+)*)", page)[1]  # which may be wrapped
    words = shlex.split(example)
    assert tuple(words[: len(path)]) == path
    inner = max((p for p in ALL if tuple(words[: len(p)]) == p), key=len)
    options = {option for parameter in ALL[inner].params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options
    assert inner not in (("data",), ("checkpoint",)), "an example of a command to type"


@pytest.mark.parametrize(
    "path", [path for path, command in ALL.items() if not hasattr(command, "commands")], ids=" ".join
)
def test_every_option_is_explained_in_words(path):
    for parameter in ALL[path].params:
        if not getattr(parameter, "hidden", False):
            assert parameter.help or parameter.name == "help", (path, parameter.name)
