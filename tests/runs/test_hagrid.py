"""The published hand-gesture weights of PYSKL: identified, loaded strictly, and held against the network as it is described."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.runs import checkpoint, identify, inspect

FRAMES = 10


def as_described(state: dict, x: torch.Tensor) -> torch.Tensor:
    """ST-GCN++ with six stages by PYSKL's names, written as its description reads: x (N, T, V, C) -> logits (N, 40)."""

    def norm(y, name):
        return F.batch_norm(y, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    def conv(y, name, **how):
        return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    clips, frames, joints, _ = x.shape
    x = norm(x.permute(0, 2, 3, 1).reshape(clips, -1, frames), "backbone.data_bn")
    x = x.view(clips, joints, -1, frames).permute(0, 2, 3, 1)  # N C T V
    for stage in range(6):
        block, stride = f"backbone.gcn.{stage}", {"stride": (2 if stage == 5 else 1, 1)}
        parts = conv(x, f"{block}.gcn.conv").unflatten(1, (3, -1))
        y = norm(torch.einsum("nkctv,kvw->nctw", parts, state[f"{block}.gcn.A"]), f"{block}.gcn.bn")
        is_wider = f"{block}.gcn.down.0.weight" in state
        y = F.relu(y + (norm(conv(x, f"{block}.gcn.down.0"), f"{block}.gcn.down.1") if is_wider else x))
        ends = [conv(y, f"{block}.tcn.branches.5", **stride)]
        for number in range(5)[::-1]:
            branch = f"{block}.tcn.branches.{number}"
            end, wide = F.relu(norm(conv(y, f"{branch}.0"), f"{branch}.1")), number + 1
            dilated = {"padding": (wide, 0), "dilation": (wide, 1), **stride}
            ends.insert(
                0,
                conv(end, f"{branch}.3.conv", **dilated)
                if number < 4
                else F.max_pool2d(end, (3, 1), padding=(1, 0), **stride),
            )
        y = conv(F.relu(norm(torch.cat(ends, 1), f"{block}.tcn.transform.0")), f"{block}.tcn.transform.2")
        y = norm(y, f"{block}.tcn.bn")
        if stage == 5:
            x = norm(conv(x, f"{block}.residual.conv", **stride), f"{block}.residual.bn")
        x = F.relu(y + x if stage else y)
    return F.linear(x.mean((2, 3)), state["cls_head.fc_cls.weight"], state["cls_head.fc_cls.bias"])


def sampled(length: int) -> np.ndarray:
    """The frames of one clip: uniformly, drawn from PYSKL's fixed seed; a short clip from its start, repeated."""
    if length < 2 * FRAMES:
        return np.arange(FRAMES) % length  # here clips are shorter than 10 frames or just as long
    rng, edges = np.random.RandomState(255), np.arange(FRAMES + 1) * length // FRAMES
    rng.rand()
    return edges[:-1] + rng.randint(np.diff(edges))


@pytest.fixture
def weights(shared):
    return shared / "data" / "pyskl-hagrid.pth"


def test_the_file_is_identified(weights):
    read = checkpoint.read(weights)
    assert identify.the_preset(read, "").presets == ("hagrid-stgcnpp",)
    described = inspect.describe(read)
    assert described["skeleton"]["joints"] == 21 and described["num_classes"] == 40 and described["channels"] == 42


def test_logits_of_hand_clips_are_those_of_the_network_as_described(weights, stgcn, tmp_path):
    rng, state, wanted = np.random.default_rng(0), torch.load(weights, weights_only=True), {}
    (tmp_path / "hands").mkdir()
    for length in (7, 10, 25):
        hand = 300 + 80 * rng.normal(size=(21, 2)) + np.cumsum(4 * rng.normal(size=(length, 1, 2)), 0)
        np.save(tmp_path / "hands" / f"{length}.npy", hand.astype(np.float32))
        low, high = hand.min((0, 1)), hand.max((0, 1))
        x = torch.tensor((hand - (low + high) / 2) / ((high - low) / 2))[sampled(length)]
        wanted[str(length)] = as_described(state, x[None].float())[0].log_softmax(0)
    ran = stgcn("predict", weights, "hands", "--features", "f.npz", "--json", "--device", "cpu")
    assert ran.code == 0, ran.err
    with np.load(tmp_path / "f.npz") as found:
        for name, logits in zip(found["names"], found["logits"], strict=True):
            np.testing.assert_allclose(logits, wanted[name], rtol=0, atol=1e-5)
