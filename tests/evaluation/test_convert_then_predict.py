"""A model says of a converted clip what it says of the file itself, whatever the format."""

import pickle

import numpy as np
import pytest

from stgcn_cli.config.skeletons import COCO
from stgcn_cli.data.convert.convert import ConvertOptions, convert
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from tests.factories import foreign
from tests.factories.checkpoints import made, predicted


def table(path, xy, score, names, shares=1.0):
    """A row a frame and person, with a track id."""
    header = ",".join(["track_id", "frame", *(f"{name}_{a}" for name in names for a in ("x", "y", "conf"))])
    rows = [
        ",".join(map(str, [m, t, *np.concatenate([xy[m, t] * shares, score[m, t, :, None]], -1).ravel().tolist()]))
        for t in range(xy.shape[1])
        for m in range(len(xy))
    ]
    path.write_text("\n".join([header, *rows]))
    return path


def one_record(path, xy, score):
    path.write_bytes(pickle.dumps({"keypoint": xy, "keypoint_score": score, "label": 3, "img_shape": (720, 1280)}))
    return path


def array(path, xy, score):
    np.save(path, np.concatenate([xy, score[..., None]], -1))
    return path


FILES = {
    "row a joint": lambda p, xy, s: foreign.table(p / "a.csv", xy, s),
    "numbered columns": lambda p, xy, s: table(p / "a.csv", xy, s, range(17)),
    "named columns": lambda p, xy, s: table(p / "a.csv", xy, s, [name.replace(" ", "_") for name in COCO.joints]),
    "shares": lambda p, xy, s: table(p / "a.csv", xy, s, range(17), np.float32([1 / 1920, 1 / 1080])),
    "one record": lambda p, xy, s: one_record(p / "a.pkl", xy, s),
    "array": lambda p, xy, s: array(p / "a.npy", xy, s),
    "arrays": lambda p, xy, s: foreign.npz(p / "a.npz", xy, s),
    "coco": lambda p, xy, s: foreign.coco(p / "a.json", xy, s),
    "results": lambda p, xy, s: foreign.results(p / "a.json", xy, s),
    "mmpose": lambda p, xy, s: foreign.mmpose(p / "a.json", xy, s),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return made(tmp_path_factory.mktemp("model") / "m.pth", "ntu60-xsub-2d")


@pytest.mark.parametrize("name", FILES)
def test_converting_changes_no_prediction(tmp_path, model, name):
    xy, score = foreign.clip(frames=9)
    file = FILES[name](tmp_path, xy, score)
    target = Target(tmp_path / "out.pkl", preset=False)
    convert(ConvertOptions(inputs=[str(file)], target=target, division=Division(only="train")))
    direct, after = predicted(model, file, target.out).scores
    assert np.ptp(direct) > 0
    np.testing.assert_allclose(after, direct, atol=1e-6)
