"""What only a GPU can confirm; run with `pytest -m gpu -n 0`. No GPU has run it yet.

`STGCN_TEST_DEVICE=cpu` runs the tests on the processor, as far as they are of any meaning there, so that their own faults show.
"""

import contextlib
import copy
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.config import presets
from stgcn_cli.data import loader
from stgcn_cli.data.loader import Clips
from stgcn_cli.diagnostics import bench
from stgcn_cli.errors import RunError
from stgcn_cli.models import build_model
from stgcn_cli.runtime.precision import computing, set_up, without_tf32
from stgcn_cli.training.static_step import StaticSteps
from stgcn_cli.training.step import EagerSteps
from tests.cli.runner import environment
from tests.runtime import test_signals
from tests.training.test_static_step import after_steps

os.environ.setdefault(
    "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
)  # read at the first product, which may come before a deterministic test
DEVICE = torch.device(os.environ.get("STGCN_TEST_DEVICE", "cuda:0"))
IS_GPU = DEVICE.type == "cuda"
NETWORKS = ["ntu60-xsub-3d", "ntu60-xsub-3d-agcn", "ntu60-xsub-3d-stgcnpp"]
SMALL = ["data.clip_len=60", "train.batch_size=8"]
needs_gpu = pytest.mark.skipif(not IS_GPU, reason="of no meaning on the processor")
needs_two = pytest.mark.skipif(IS_GPU and torch.cuda.device_count() < 2, reason="needs two CUDA GPUs")
pytestmark = [
    pytest.mark.gpu, pytest.mark.skipif(IS_GPU and not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def switches_as_before():
    yield
    set_up("float32", deterministic=False)


def computed(device: torch.device, dtype: torch.dtype, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and all gradients of a step with absent persons, float64 on the CPU."""
    preset = presets.load("ntu60-xsub-3d", SMALL)
    torch.manual_seed(0)
    model = build_model(preset).to(device, dtype).train()
    clips, index = Clips.of(bench.split_of(preset, 8), preset, device, dtype), torch.arange(8)
    with computing(precision, device):
        logits = model(clips.batch(index)[0], clips.absent(index))
    F.cross_entropy(logits, bench.labels_of(preset, 8, device)).backward()
    gradients = torch.cat([each.grad.flatten() for each in model.parameters()])
    return logits.detach().double().cpu(), gradients.double().cpu()


@pytest.mark.parametrize(("precision", "of_logits", "of_gradients"), [("float32", 1e-4, 1e-3), ("bf16", 3e-2, 1e-1)])
def test_numbers_are_those_of_float64(precision, of_logits, of_gradients):
    expected = computed(torch.device("cpu"), torch.float64, "float64")
    with without_tf32():
        found = computed(DEVICE, torch.float32, precision)
    for ours, theirs, limit in zip(found, expected, (of_logits, of_gradients), strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < limit


def run(folder, *words: str) -> subprocess.CompletedProcess:
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "stgcn_cli", *words]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)


TRAIN = ("train", "demo", "--data", "stgcn-demo", "--device", DEVICE.type, "--deterministic", "--quiet")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    said = run(folder, "demo", "--epochs", "1", "--device", DEVICE.type)
    assert said.returncode == 0, said.stderr
    return folder


def weights(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]  # without map_location: checkpoints hold CPU tensors


def assert_same_bits(one, other) -> None:
    assert all(torch.equal(value, other[name]) and not value.is_cuda for name, value in one.items())


def test_deterministic_runs_are_equal_and_so_is_a_resumed_one(demo):
    for name in ("one", "two"):
        assert run(demo, *TRAIN, "--epochs", "2", "--work-dir", name).returncode == 0
    assert run(demo, *TRAIN, "--epochs", "1", "--work-dir", "three").returncode == 0
    assert run(demo, *TRAIN, "--epochs", "2", "--work-dir", "three", "--resume").returncode == 0
    for name in ("two", "three"):
        assert_same_bits(weights(demo / "one/last.pth"), weights(demo / f"{name}/last.pth"))


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_of_every_network_are_equal_when_they_are_deterministic(name):
    preset = presets.load(name, ["data.clip_len=24", "train.batch_size=4"])
    set_up("float32", deterministic=True)
    split = bench.split_of(preset, 14)
    one, two = (after_steps(EagerSteps, split, preset, DEVICE) for _ in range(2))
    assert all(map(torch.equal, one, two))


@needs_two
def test_ctrl_c_ends_ranks_that_wait_inside_nccl(tmp_path):
    test_signals.test_ctrl_c_ends_ranks_that_wait_for_each_other_in_vain(tmp_path, DEVICE.type)


@needs_two
def test_two_processes_train_on_two_gpus(demo):
    where = ("--device", "0,1") if IS_GPU else ("--gpus", "2")
    said = run(demo, *TRAIN, "--epochs", "1", *where, "--work-dir", "both")
    assert said.returncode == 0, said.stderr


@needs_gpu
def test_two_processes_never_share_a_gpu(demo):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stgcn_cli"]
    env = environment(demo) | {"CUDA_VISIBLE_DEVICES": "0"}
    said = subprocess.run(
        [*torchrun, *TRAIN, "--work-dir", "shared"], cwd=demo, env=env, capture_output=True, text=True
    )
    assert said.returncode != 0 and "would share one GPU" in said.stderr


@needs_gpu
def test_memory_that_runs_out_is_reported():
    preset = presets.load("ntu60-xsub-3d")
    with pytest.raises(RunError, match="needs more memory than the GPU has"):
        bench.peak_of_step(preset, 20_000, DEVICE, "float32")


def test_evaluation_leaves_out_absent_persons():
    preset = presets.load("ntu60-xsub-3d", SMALL)
    set_up("float32")
    model = build_model(preset).to(DEVICE).eval()
    clips, index = Clips.of(bench.split_of(preset, 8), preset, DEVICE), torch.arange(8)
    x = clips.batch(index)[0]
    with torch.inference_mode():
        expected = copy.deepcopy(model).cpu().double().plain(x.cpu().double())
        for _ in range(2):  # the second finds the features of the absent person
            torch.testing.assert_close(model(x, clips.absent(index)).cpu().double(), expected, rtol=1e-3, atol=1e-4)


@contextlib.contextmanager
def waits_are_errors():
    if IS_GPU:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if IS_GPU:
            torch.cuda.set_sync_debug_mode("default")


def test_no_step_waits():
    preset = presets.load("babel60-wfl", SMALL)
    train = bench.train_step(preset, DEVICE, "bf16")
    clips, index = Clips.of(bench.split_of(preset, 8), preset, DEVICE), torch.arange(8)
    placed, labels = clips.placed(index), bench.labels_of(preset, 8, DEVICE)
    train(clips.batch(index, None, placed)[0], labels, clips.absent(index, placed))
    with waits_are_errors():
        train(clips.batch(index, None, placed)[0], labels, clips.absent(index, placed))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_of_steps_gives_the_numbers_of_eager_ones(name):
    preset = presets.load(name, ["data.clip_len=24", "train.batch_size=4"])
    set_up("float32", deterministic=True)
    split = bench.split_of(preset, 14)
    with without_tf32():
        for eager, static in zip(
            *(after_steps(kind, split, preset, DEVICE) for kind in (EagerSteps, StaticSteps)), strict=True
        ):
            torch.testing.assert_close(static, eager, rtol=1e-4, atol=1e-6)  # the graph's learning rate is a float32


def test_frames_that_do_not_fit_give_the_same_batches(monkeypatch):
    preset, index = presets.load("ntu60-xsub-3d", SMALL), torch.tensor([5, 0, 3])
    split = bench.split_of(preset, 8)
    expected = Clips.of(split, preset, DEVICE)
    monkeypatch.setattr(loader, "_DEVICE_SHARE", 0)
    far = Clips.of(split, preset, DEVICE)
    assert far.frames.device.type == "cpu"
    with waits_are_errors():
        found = far.batch(index)
    for one, other in zip(found, expected.batch(index), strict=True):
        assert torch.equal(one, other) and one.device.type == DEVICE.type
    for _ in range(3):  # pinned memory that was copied from is used again
        torch.testing.assert_close(far.batch(index)[0], expected.batch(index)[0], rtol=0, atol=0)
