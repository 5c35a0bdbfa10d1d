import typer
from hypothesis import given
from hypothesis import strategies as st

from stgcn_cli.cli.app import app
from stgcn_cli.cli.commands import join_values


def test_several_metrics_after_one_option_are_joined():
    words = ["eval", "x.pth", "--eval", "top_k_accuracy", "mean_class_accuracy", "--out", "r.pkl"]
    assert join_values(words) == ["eval", "x.pth", "--eval", "top_k_accuracy,mean_class_accuracy", "--out", "r.pkl"]


def test_a_checkpoint_after_the_metrics_is_not_swallowed():
    assert join_values(["eval", "--eval", "top_k_accuracy", "x.pth"])[-2:] == ["top_k_accuracy", "x.pth"]


def test_settings_after_one_option_become_options():
    joined = join_values(["train", "--cfg-options", "a=1", "b=2", "--seed", "3"])
    assert joined == ["train", "--cfg-options", "a=1", "--cfg-options", "b=2", "--seed", "3"]


def test_an_option_without_its_value_is_left_to_the_parser():
    assert join_values(["eval", "--eval"]) == ["eval", "--eval"]


@given(st.lists(st.text(alphabet="ab-=. ", max_size=6).filter(lambda w: w not in ("--",)), max_size=8))
def test_other_command_lines_stay_as_they_are(words):
    assert join_values(words) == words


def test_options_of_reading_are_the_same_in_every_command_that_reads_them():
    root = typer.main.get_command(app).commands
    for command in (root["predict"], root["view"], root["data"].commands["convert"], root["data"].commands["inspect"]):
        found = {option for parameter in command.params for option in parameter.opts}
        assert found >= {"--axes", "--score-last", "--image-size", "--max-persons", "--layout", "--from"}, command.name
