"""What a GPU would do, recorded on one that computes nothing: no wait between log points, and a budget of bytes and kernels."""

import pytest

from tests.gpu import fake, record

AT_MOST = {"train": {"kernels": 870, "gigabytes": 36}, "eval": {"kernels": 480, "gigabytes": 18}}


@pytest.fixture(autouse=True)
def fake_gpu():
    """Here and not in a mark, which would compile the device wherever tests are collected."""
    if fake.library() is None:
        pytest.skip("needs g++ and a CPU build of torch on Linux")


def test_a_step_and_an_evaluated_batch_stay_within_their_budget():
    found = record.in_process("--preset", "ntu60-xsub-3d")
    for work, most in AT_MOST.items():
        figures = found[f"ntu60-xsub-3d {work}"]
        assert not figures["waits"]
        for name, limit in most.items():
            assert 0 < figures[name] <= limit, (work, name)


def assert_nothing_waits(works: list[str], presets: list[str], *more: str) -> None:
    found = record.in_process("--batch", "8", "--preset", *presets, "--work", *works, *more)
    assert len(found) == len(works) * len(presets)
    for name, figures in found.items():
        assert figures["kernels"] and not figures["waits"], name


NETWORKS = ["ntu60-xsub-3d", "ntu60-xsub-3d-agcn", "ntu60-xsub-2d-stgcnpp"]


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross-entropy", "cb-focal"])
def test_no_network_and_no_loss_waits_between_log_points(loss):
    assert_nothing_waits(["train", "eval"], NETWORKS, "--loss", loss)


@pytest.mark.slow
def test_no_input_waits_between_log_points():
    """Pixels and bones; in float32."""
    presets = ["ntu60-xsub-2d", "ntu60-xsub-3d-agcn-bone"]
    assert_nothing_waits(["train", "eval"], presets, "--precision", "float32")


@pytest.mark.slow
def test_neither_steps_of_a_graph_nor_frames_on_the_host_are_waited_for():
    assert_nothing_waits(["static", "host"], ["ntu60-xsub-3d", "ntu60-xsub-2d-stgcnpp"])
