"""What only a GPU can confirm; run with `pytest -m gpu -n 0`. None of it has been run yet: no GPU was at hand."""

import copy
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.diagnostics import bench
from stgcn_cli.errors import RunError
from stgcn_cli.models import build_model
from stgcn_cli.runtime.precision import computing, set_up, without_tf32
from tests.cli.runner import environment

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
CUDA, SMALL = torch.device("cuda", 0), ["data.clip_len=60", "train.batch_size=8"]


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
        found = computed(CUDA, torch.float32, precision)
    for ours, theirs, limit in zip(found, expected, (of_logits, of_gradients), strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < limit


def run(folder, *words: str) -> subprocess.CompletedProcess:
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "stgcn_cli", *words]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)


TRAIN = ("train", "demo", "--data", "stgcn-demo", "--device", "cuda", "--deterministic", "--quiet")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    said = run(folder, "demo", "--epochs", "1", "--device", "cuda")
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


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs")
def test_two_processes_train_on_two_gpus(demo):
    said = run(demo, *TRAIN, "--epochs", "1", "--device", "0,1", "--work-dir", "both")
    assert said.returncode == 0, said.stderr


def test_two_processes_never_share_a_gpu(demo):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stgcn_cli"]
    env = environment(demo) | {"CUDA_VISIBLE_DEVICES": "0"}
    said = subprocess.run(
        [*torchrun, *TRAIN, "--work-dir", "shared"], cwd=demo, env=env, capture_output=True, text=True
    )
    assert said.returncode != 0 and "would share one GPU" in said.stderr


def test_memory_that_runs_out_is_reported():
    preset = presets.load("ntu60-xsub-3d")
    with pytest.raises(RunError, match="needs more memory than the GPU has"):
        bench.peak_of_step(preset, 20_000, CUDA, "float32")


def test_evaluation_leaves_out_absent_persons():
    preset = presets.load("ntu60-xsub-3d", SMALL)
    set_up("float32")
    model = build_model(preset).to(CUDA).eval()
    clips, index = Clips.of(bench.split_of(preset, 8), preset, CUDA), torch.arange(8)
    x = clips.batch(index)[0]
    with torch.inference_mode():
        expected = copy.deepcopy(model).cpu().double().plain(x.cpu().double())
        for _ in range(2):  # the second finds the features of the absent person
            torch.testing.assert_close(model(x, clips.absent(index)).cpu().double(), expected, rtol=1e-3, atol=1e-4)


def test_no_step_waits():
    preset = presets.load("babel60-wfl", SMALL)
    train = bench.train_step(preset, CUDA, "bf16")
    clips, index = Clips.of(bench.split_of(preset, 8), preset, CUDA), torch.arange(8)
    placed, labels = clips.placed(index), bench.labels_of(preset, 8, CUDA)
    train(clips.batch(index, None, placed)[0], labels, clips.absent(index, placed))
    torch.cuda.set_sync_debug_mode("error")
    try:
        train(clips.batch(index, None, placed)[0], labels, clips.absent(index, placed))
    finally:
        torch.cuda.set_sync_debug_mode("default")
