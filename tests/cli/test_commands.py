"""Other programs' spellings of commands and options get an answer that works here."""

import pytest
from typer.main import get_command

from stgcn_cli.cli import commands
from stgcn_cli.cli.app import app
from tests.cli.runner import run_stgcn


def test_every_command_that_is_offered_exists():
    for offered in commands._COMMANDS.values():
        found = get_command(app)
        for word in offered.split() if not offered.startswith("-") else ():
            found = found.commands[word]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("test", "x.pth"), "stgcn eval"),
        (("val", "x.pth"), "stgcn eval"),
        (("infer", "x.pth"), "stgcn predict"),
        (("convert", "x"), "stgcn data convert"),
        (("train", "x", "--learning-rate", "1"), "--lr"),
        (("train", "x", "--weight-decay", "1"), "--set optim.weight_decay=VALUE"),
        (("train", "x", "--clip-len", "9"), "--set data.clip_len=VALUE"),
        (("train", "x", "--num-workers", "1"), "not needed"),
        (("train", "x", "--fp16"), "--precision bf16"),
        (("train", "x", "--weights", "w.pth"), "--load-from"),
        (("train", "a", "--preset", "b"), "Give one of them"),
        (("train",), "stgcn presets"),
        (("eval", "x", "--output", "y"), "--out"),
    ],
)
def test_an_unknown_spelling_is_answered_with_ours(tmp_path, words, answer):
    said = run_stgcn(tmp_path, *words)
    assert said.code == 2 and answer in said.err.replace("\n", " "), said.err


def test_help_has_short_names_for_values(tmp_path):
    said = run_stgcn(tmp_path, "train", "--help")
    assert "--epochs N" in said.out and "--work-dir PATH" in said.out and "<int" not in said.out
