"""Of every format: what `data convert` writes gets the scores of the original files, with the preset that it writes beside."""

import gzip
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import COCO
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


def _wide(names, shares=False):
    """Writes a table with a row a frame and person."""

    def write(path, xy, score):
        xy = xy / np.float32([1920, 1080]) if shares else xy
        header = ["track_id", "frame", *(f"{name}_{axis}" for name in names for axis in ("x", "y", "conf"))]
        values = np.concatenate([xy, score[..., None]], -1).reshape(*xy.shape[:2], -1).tolist()
        rows = [[m, t, *values[m][t]] for t in range(xy.shape[1]) for m in range(len(xy))]
        path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]))

    return write


def _record(path, xy, score):
    path.write_bytes(pickle.dumps({"keypoint": xy, "keypoint_score": score, "label": 3, "img_shape": (720, 1280)}))


def _rows(path, xy, score):
    np.savetxt(path, np.concatenate([xy[0], score[0, ..., None]], -1).reshape(xy.shape[1], -1), "%.6g", ",")


def _scored(path, xy, score):
    np.save(path, np.concatenate([xy, score[..., None]], -1))


def _by_other_names(path, xy, score):
    np.savez(path, keypoints=xy, scores=score)


def _packed(path, xy, score):
    foreign.mmpose(path, xy, score)
    path.write_bytes(gzip.compress(path.read_bytes()))


def _videos(path, xy, score):
    frames = [
        {"video": path.stem, "frame": t, "track_id": m, "keypoints": foreign.flat(joints, scores)}
        for t in range(xy.shape[1])
        for m, joints, scores in foreign.people(xy, score, t)
    ]
    path.write_text(json.dumps(frames))


def _yolo_in_pixels(folder, xy, score):
    folder.mkdir(parents=True)
    for t in range(xy.shape[1]):
        people = [(xy[m, t], score[m, t]) for m in range(len(xy)) if xy[m, t].any()]
        boxes = [[*(x.min(0) + x.max(0)) / 2, *np.ptp(x, axis=0)] for x, _ in people]
        rows = [[0, *box, *np.c_[x, s].ravel()] for box, (x, s) in zip(boxes, people, strict=True)]
        (folder / f"f_{t}.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))


def _listed(path, xy, score):
    joints = np.concatenate([xy, score[..., None]], -1)[0].tolist()
    path.write_text("frame;keypoints\n" + "".join(f"{t};{each}\n" for t, each in enumerate(joints)))


def _json_rows(path, xy, score):
    joints = np.concatenate([xy, score[..., None]], -1)[0]
    rows = [
        {f"{a}{v}": float(each[v, i]) for v in range(17) for i, a in enumerate(("x", "y", "conf"))} for each in joints
    ]
    path.write_text(json.dumps(rows))


def _bare(path, xy, score):
    path.write_bytes(pickle.dumps(np.concatenate([xy, score[..., None]], -1)))


CASES = {  # format, and what is particular
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
    "rows": flat(_json_rows, "{}.json"), "pickle: array": flat(_bare, "{}.pkl"),
    "csv: lists": flat(_listed, "{}.csv"), "csv: text": flat(_rows, "{}.txt"), "yolo: pixels": flat(_yolo_in_pixels),
    "pickle: one record": flat(_record, "{}.pkl"), "npy: scores last": flat(_scored, "{}.npy"),
    "npz: other names": flat(_by_other_names, "{}.npz"), "csv: numbers": flat(_wide(range(17)), "{}.csv"),
    "csv: names": flat(_wide([name.replace(" ", "_") for name in COCO.joints]), "{}.csv"),
    "csv: shares": flat(_wide(range(17), shares=True), "{}.csv"), "csv: no header": flat(_rows, "{}.csv"),
    "coco: results": flat(foreign.results, "{}.json"), "mmpose: gzip": flat(_packed, "{}.json.gz"),
    "frames: detections": flat(_videos, "{}.json"),
}  # fmt: skip


def test_every_format_has_a_case():
    assert {name.partition(":")[0] for name in CASES} == FORMATS.keys()


UNSIZED = [
    (name, Options()) for name in ("npz", "csv: shares", "openpose")
]  # files that do not tell the size of the image


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
        model=build_model(preset).eval(), preset=preset, classes=["kick", "wave"], trained_on={}, device=torch.device("cpu"),
        image_size=options.image_size,
    )  # fmt: skip
    found = []
    for word in ("clips", "own.pkl"):
        clips = sorted(read_inputs([word], options=predictor.reading(options)), key=lambda clip: clip.name)
        assert len(clips) == 4
        found.append(predictor.answer([replace(clip, source=tmp_path) for clip in clips])[0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.ptp(found[0], axis=0).max() > 1e-5
