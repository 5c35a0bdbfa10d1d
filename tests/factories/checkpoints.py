"""Models of ours and clips to ask them about: in a prediction, and in an evaluation."""

import pickle

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.data.statistics import describe
from stgcn_cli.evaluation import evaluate, predict
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, resolve
from tests.conftest import make_records
from tests.factories import weights

SMALL = ("data.clip_len=8", "data.num_person=1", "model.num_classes=3")
WHOLE = ("data.clip_len=14", "data.num_person=1", "model.num_classes=3")  # no clip is longer


def write(path, records):
    path.write_bytes(pickle.dumps(records))
    return path


def made(path, preset="ntu60-xsub-3d", settings=SMALL, trained_on=None):
    """A checkpoint of ours, trained on the clips of a pickle, or not told on what."""
    recipe = presets.load(preset, settings)
    model = build_model(recipe)
    weights.fill(model, "B")
    meta = {"preset": presets.to_toml(recipe)}
    if trained_on:
        store = open_stores([trained_on])[0]
        meta["trained_on"] = describe(Split("train", store, np.arange(len(store))))
    checkpoint.save(path, checkpoint.contents(model, meta))
    return path


def evaluated(path, data):
    """Logits of an evaluation, clip by clip in file order."""
    result = evaluate.evaluate(resolve.EvalOptions(checkpoint=str(path), data=(data,), device="cpu"), SILENT)
    return result.scores


def loaded(path):
    """The model of a checkpoint, ready to be asked."""
    return predict.load(resolve.EvalOptions(checkpoint=str(path), device="cpu"))


def predicted(path, *words):
    said = predict.predict(
        [str(word) for word in words], resolve.EvalOptions(checkpoint=str(path), device="cpu"), SILENT
    )
    return said


def two_d(clips=3, size=(1080, 1920), scale=1.0, **more):
    """COCO records in pixels."""
    records = make_records(clips, joints=17, img_shape=size, **more)
    rng = np.random.default_rng(1)
    for record in records:
        x = record["keypoint"][..., :2]
        record["keypoint"] = ((x * 100 + (960, 540)) * scale).astype(np.float32)
        record["keypoint_score"] = rng.uniform(0.1, 1, x.shape[:3]).astype(np.float32)
    return records
