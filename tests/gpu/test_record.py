"""What a GPU would do, recorded on one that computes nothing: no wait between log points, and a budget of bytes and kernels."""

import pytest

from stgcn_cli.config import presets
from tests.gpu import fake, record

AT_MOST = {"train": {"kernels": 870, "gigabytes": 36}, "eval": {"kernels": 480, "gigabytes": 18}}
BODIES = {
    "train": 40,
    "eval": 64,
}  # 32 clips, 7 of two persons: 39, and in training one for the absent ones; in multiples of 8, of 32


@pytest.fixture(autouse=True)
def fake_gpu():
    """Here and not in a mark, which would compile the device wherever tests are collected."""
    if fake.library() is None:
        pytest.skip("needs g++ and a CPU build of torch on Linux")


def test_a_step_and_an_evaluated_batch_stay_within_their_budget():
    """And a checkpoint holds tensors of the host only, whose copies are all that is waited for."""
    found = record.in_process("--preset", "ntu60-xsub-3d", "--work", "train", "frozen", "eval", "save")
    assert not found["ntu60-xsub-3d frozen"]["waits"]
    copies = found["ntu60-xsub-3d save"]["waits"]
    assert len(copies) > 100 and all("_to_copy" in each and "runs/checkpoint" in each for each in copies)
    for work, most in AT_MOST.items():
        figures = found[f"ntu60-xsub-3d {work}"]
        assert not figures["waits"] and figures["bodies"] == BODIES[work]
        for name, limit in most.items():
            assert 0 < figures[name] <= limit, (work, name)


def assert_nothing_waits(works: list[str], presets: list[str], *more: str) -> None:
    found = record.in_process("--batch", "8", "--preset", *presets, "--work", *works, *more)
    assert len(found) == len(works) * len(presets)
    for name, figures in found.items():
        assert figures["kernels"] and not figures["waits"], name


def path_of(name: str) -> tuple:
    """What decides which code a preset runs."""
    preset = presets.load(name)
    data, model = preset.data, preset.model
    shown = data.channels, data.num_person > 1, data.clip_len is None, data.sampling, data.normalize, data.stream
    return model.name, model.input_norm, model.dropout > 0, preset.loss.name, preset.optim.name, *shown, data.augment


@pytest.mark.slow
def test_no_preset_waits_between_log_points():
    """One of each kind."""
    assert_nothing_waits(["train", "eval"], list({path_of(name): name for name in presets.names()}.values()))


@pytest.mark.slow
def test_stgcnpp_does_not_wait_for_the_weights_of_classes():
    """Of the other networks there are presets with this loss."""
    settings = words("loss.name=cb-focal", "loss.class_counts=data")
    assert_nothing_waits(["train", "eval"], ["ntu60-xsub-3d-stgcnpp"], *settings)


def words(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.mark.slow
def test_nothing_that_a_preset_may_ask_for_waits():
    """Float32, averaged weights, clipped gradients, dropout, every way to augment, a normalisation of each person."""
    augment = 'data.augment=["mirror", "rotate", "scale", "noise", "drop-joints"]'
    settings = words(
        "optim.ema_decay=0.99", "optim.clip_norm=1.0", "optim.name=adamw", "model.dropout=0.5", "model.input_norm=person",
        "data.stream=bone-motion", "data.sampling=uniform-mmaction2", augment,
    )  # fmt: skip
    assert_nothing_waits(["train", "eval"], ["ntu60-xsub-3d"], "--precision", "float32", *settings)


@pytest.mark.slow
def test_neither_steps_of_a_graph_nor_frames_on_the_host_are_waited_for():
    assert_nothing_waits(["static", "host"], ["ntu60-xsub-3d", "ntu60-xsub-3d-stgcnpp-aug"])
