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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "float32"])
def test_no_network_and_no_loss_waits_between_log_points(precision):
    presets = ["ntu60-xsub-2d", "babel60-wfl", "babel60-wfl-agcn", "ntu60-xsub-3d-agcn-bone"]
    found = record.in_process("--batch", "8", "--precision", precision, "--preset", *presets)
    assert len(found) == 2 * len(presets) and all(not each["waits"] and each["kernels"] for each in found.values())
