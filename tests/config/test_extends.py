"""A preset can state only what differs from another."""

import pytest

from stgcn_cli.config import presets
from stgcn_cli.errors import UsageError


def test_what_is_stated_replaces_what_is_inherited(tmp_path):
    (tmp_path / "slow.toml").write_text('extends = "ntu60-xsub-3d"\n[optim]\nlr = 0.01\n')
    (tmp_path / "slower.toml").write_text('extends = "slow.toml"\ndescription = "mine"\n[train]\nepochs = 3\n')
    found, base = presets.load(str(tmp_path / "slower.toml")), presets.load("ntu60-xsub-3d")
    assert (found.name, found.description, found.optim.lr, found.train.epochs) == ("slower", "mine", 0.01, 3)
    assert found.optim.steps == base.optim.steps and found.data == base.data
    assert presets.from_text(presets.to_toml(found).encode(), "again", "again") == found


def test_a_chain_without_end_and_a_missing_preset_are_refused(tmp_path):
    path = tmp_path / "loop.toml"
    for base, words in (
        ("loop.toml", "extend each other"),
        ("nonsense", "'nonsense' not found"),
        ("", "'' not found"),
    ):
        path.write_text(f'extends = "{base}"\n')
        with pytest.raises(UsageError, match=words):
            presets.load(str(path))


def test_a_text_inside_a_checkpoint_reads_no_other_file(tmp_path):
    (tmp_path / "other.toml").write_text("")
    with pytest.raises(UsageError, match="unknown key 'extends'"):
        presets.from_text(f'extends = "{tmp_path}/other.toml"'.encode(), "last.pth", "checkpoint")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.betas=[0.9, 1]", "below 1"),
        ("optim.name=rmsprop", "'sgd', 'adam', 'adamw'"),
        ("loss.label_smoothing=1", "label_smoothing = 1, but it must be a number of at least 0 below 1"),
        ("optim.clip_norm=0", "above 0"),
        ("model.init=2s-agcn", "needs model.name = 'agcn'"),
        ("optim.schedule=cosine", "optim.steps have no effect"),
    ],
)
def test_the_vocabulary_of_training_is_checked(setting, words):
    with pytest.raises(UsageError, match=words):
        presets.load("demo", [setting])
