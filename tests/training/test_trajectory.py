"""The training loop against the reference's own: losses step by step, and the logits at the end."""

import pickle

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data import draws, loader
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.evaluation import score
from stgcn_cli.models import build_model
from stgcn_cli.runs.log import NullLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.precision import dtype_of
from stgcn_cli.training import options, step
from stgcn_cli.training.optim import build_optimizer
from tests.factories import weights

ALONE = World(0, 1, torch.device("cpu"))


class Rows(NullLog):
    """Keeps what the reference figures keep of every step."""

    def __init__(self):
        self.rows = []

    def write(self, record):
        if record["mode"] == "train":
            self.rows.append([record[key] for key in ("epoch", "iter", "lr", "loss", "top1_acc", "top5_acc")])


def trained(monkeypatch, pickle_path, preset_name, tag, epochs, steps=None):
    """Train in the order of the file as tag says; returns rows (steps, 6) and, after three epochs, logits (clips, classes)."""

    def in_order(options, clips, epoch, rank, world):
        return draws.epoch_order(clips, 0, 0, options.preset.data.passes, shuffle=False).split(8)[:steps]

    variant, kind, lr = tag.removeprefix("BABEL_wfl_").split("_")
    settings = [f"optim.lr={lr.removeprefix('lr')}", "optim.steps=[1, 2]", "train.batch_size=8", "train.log_every=1"]
    settings += [f"train.epochs={epochs}"] + (["data.clip_len=30"] if "ntu" in preset_name else [])
    preset, precision = presets.load(preset_name, settings), {"f32": "float32", "f64": "float64"}[kind]
    monkeypatch.setattr(step, "batches_of_epoch", in_order)
    store = open_stores([pickle_path])[0]
    split = Split("train", store, np.arange(len(store)))
    clips = loader.Clips.of(split, preset, ALONE.device, dtype_of(precision))
    model = build_model(preset)
    weights.fill(model, variant)
    model.to(dtype_of(precision))
    state, log = options.State(model, build_optimizer(preset, model)), Rows()
    job = options.Job(options.RunOptions(preset=preset, precision=precision), (), pickle_path.parent)
    learner, data = options.learner_of(job.options, ALONE, state), options.Dataset(split, clips)
    context = options.TrainContext(job=job, learner=learner, data=data, log=log)
    for epoch in range(epochs):
        state.step, state.sums = 0, []
        step.train_epoch(context, epoch)
    if epochs < 3:
        return np.array(log.rows), None
    scores = score.score_clips(model, clips, world=ALONE, precision=precision, batch_size=8, advance=lambda n: None)
    return np.array(log.rows), scores.numpy()


def write_clips(figures, path) -> None:
    """The first 16 clips of the figures' data set as a pickle: those of the first two steps."""
    records, start = [], 0
    for index in range(len(figures["labels"])):
        persons, length = int(figures["persons"][index]), int(figures["lengths"][index])
        rows = figures["frames"][start : start + persons * length]
        start += persons * length
        records.append({"frame_dir": f"{index}", "label": int(figures["labels"][index]), "total_frames": length,
                        "keypoint": rows.reshape(persons, length, 25, 3)})  # fmt: skip
    path.write_bytes(pickle.dumps(records))


@pytest.fixture(scope="session")
def figures(golden):
    with np.load(golden / "trajectory" / "trajectory.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize(
    ("tag", "tolerances"),
    [("A_f32_lr0.1", (1e-6, 5e-4)), ("B_f32_lr0.1", (1e-6, 5e-4)), ("B_f64_lr0.1", (1e-6, 1e-6))],
)
def test_the_first_steps_equal_the_references(monkeypatch, figures, tmp_path, tag, tolerances):
    write_clips(figures, tmp_path / "train.pkl")
    rows, _ = trained(monkeypatch, tmp_path / "train.pkl", "ntu60-xsub-3d", tag, epochs=1)
    wanted = figures[tag][:2]
    np.testing.assert_allclose(rows[:, [2, 4, 5]], wanted[:, [2, 4, 5]])
    for number, tolerance in enumerate(tolerances):
        assert rows[number, 3] == pytest.approx(wanted[number, 3], rel=tolerance)


SLOW = pytest.mark.slow


@SLOW
@pytest.mark.parametrize(
    ("tag", "steps"),
    [
        ("B_f64_lr0.1", 24),
        ("A_f64_lr0.1", 24),
        ("B_f64_lr0.01", 8),
    ],
)
def test_a_trajectory_in_float64_equals_the_references(monkeypatch, figures, shared, tag, steps):
    """Every step in all that is logged; after the last one of all three epochs, the logits of every clip, too."""
    path = shared / "golden" / "trajectory" / "train.pkl"
    rows, logits = trained(monkeypatch, path, "ntu60-xsub-3d", tag, epochs=3 if steps == 24 else 1, steps=steps)
    assert rows.shape == (steps, 6)
    np.testing.assert_allclose(rows[:, 2:], figures[tag][:steps, 2:], rtol=1e-6)
    if steps == 24:
        wanted = figures[f"{tag}|logits"]
        np.testing.assert_allclose(logits, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("tag", "steps"), [("BABEL_wfl_B_f64_lr0.1", 2), pytest.param("BABEL_wfl_B_f64_lr0.001", 24, marks=SLOW)]
)
def test_focal_loss_with_repeats_equals_the_references(monkeypatch, shared, tag, steps):
    path = shared / "golden" / "trajectory" / "train_babel.pkl"
    rows, _ = trained(monkeypatch, path, "babel60-wfl", tag, epochs=3 if steps > 2 else 1, steps=min(steps, 8))
    with np.load(shared / "golden" / "trajectory" / "trajectory_extra.npz") as extra:
        np.testing.assert_allclose(rows[:steps, 2:], extra[f"{tag}/rows"][:steps, 2:], rtol=1e-6)
