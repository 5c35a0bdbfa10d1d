"""Of every format: what `data convert` writes gets the scores of the original files, with the preset that it writes beside."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.convert.convert import ConvertOptions, Rules, convert
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers import FORMATS
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.evaluation.predict import Predictor
from stgcn_cli.models import build_model
from tests.conftest import make_records
from tests.factories import bodies, foreign, poses, skeletons

SIZED = Options(image_size=foreign.SIZE)


def flat(write, file="{}", joints=17):
    """Writes a clip of pixels."""
    return lambda folder, n: write(folder / file.format(n), *foreign.clip(joints=joints, seed=n, frames=6 + n))


def _skeleton(folder, n):
    (folder / f"S001C001P001R001A00{n + 1}.skeleton").write_bytes(skeletons.text([1] * (5 + n), seed=n))


def _table(folder, n):
    path = foreign.table(folder / f"{n}.csv", *foreign.clip(seed=n))
    path.write_text(path.read_text().replace("walk", f"walk{n}"))


def _pickle(folder, n):
    (record,) = make_records(1)
    (folder / f"{n}.pkl").write_bytes(
        pickle.dumps([record | {"frame_dir": f"clip{n}", "keypoint": bodies.kinect(8, seed=n), "total_frames": 8}])
    )


CASES = {
    "skeleton": _skeleton,
    "pickle": _pickle,
    "npy": lambda folder, n: np.save(folder / f"{n}.npy", bodies.kinect(persons=2, seed=n).transpose(3, 1, 2, 0)),
    "npz": flat(foreign.npz, "{}.npz"),
    "csv": _table,
    "bvh": lambda folder, n: poses.bvh(folder / f"{n}.bvh", np.random.default_rng(n).uniform(-60, 60, (6, 15))),
    "yolo": flat(poses.yolo),
    "kinetics": flat(poses.kinetics, "{}.json", joints=18),
    "ucla": lambda folder, n: poses.ucla(
        folder / f"{n}.json", np.random.default_rng(n).normal(size=(6, 20, 3)), f"a0{n}_s01_e00_v01"
    ),
    "openpose": flat(foreign.openpose, joints=25),
    "ultralytics": flat(poses.ultralytics),
    "mmpose": flat(foreign.mmpose, "{}.json"),
    "coco": flat(foreign.coco, "{}.json"),
    "alphapose": flat(poses.alphapose, "{}.json"),
    "frames": flat(poses.frames, "{}.json"),
}


def test_every_format_has_a_case():
    assert CASES.keys() == FORMATS.keys()


UNSIZED = [(name, Options()) for name in ("npz", "csv", "openpose")]  # files that do not tell the size of the image


@pytest.mark.parametrize(("name", "options"), [*((name, SIZED) for name in CASES), *UNSIZED])
def test_converted_clips_get_the_scores_of_the_originals(name, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in range(4):
        folder = tmp_path / "clips" / ("wave", "kick")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        CASES[name](folder, n)
    convert(ConvertOptions(
        inputs=["clips"], target=Target(tmp_path / "own.pkl"), rules=Rules(from_folders=True, options=options),
        division=Division(val_fraction=0.5),
    ))  # fmt: skip
    preset = presets.load("own.toml", ["data.clip_len=8"])
    torch.manual_seed(0)
    predictor = Predictor(
        build_model(preset).eval(), preset, ["kick", "wave"], {}, torch.device("cpu"), image_size=options.image_size
    )
    found = []
    for word in ("clips", "own.pkl"):
        clips = sorted(read_inputs([word], options=predictor.reading(options)), key=lambda clip: clip.name)
        assert len(clips) == 4
        found.append(predictor.scores([replace(clip, source=tmp_path) for clip in clips]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.ptp(found[0], axis=0).max() > 1e-5
