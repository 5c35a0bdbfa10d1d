"""Every published preset, from the files its data come in to an evaluated run, on a few real clips."""

import pickle
import zipfile

import numpy as np
import pytest

from stgcn_cli.config.catalog import PUBLISHED
from stgcn_cli.data.pickles import read_pickle

EVERY = 25  # of the real clips: 20 of each split, all ten classes
QUICK = ("--set", "data.clip_len=10", "--set", "data.passes=1", "--set", "train.batch_size=8",
         "--set", "train.epochs=2", "--device", "cpu")  # fmt: skip


def ntu_3d(real, folder):
    with zipfile.ZipFile(real / "uiprmd_skeletons.zip") as whole, zipfile.ZipFile(folder / "raw.zip", "w") as part:
        for name in sorted(whole.namelist())[::EVERY]:
            part.writestr(name, whole.read(name))
    return [folder / "raw.zip"]


def ntu_2d(real, folder):
    for split in ("train", "val"):
        records = read_pickle(real / f"uiprmd_2d_{split}.pkl")[::EVERY]
        (folder / f"uiprmd_2d_{split}.pkl").write_bytes(pickle.dumps(records))
    return sorted(folder.glob("*.pkl"))


def babel(real, folder, classes):
    for split in ("train", "val"):
        np.save(
            folder / f"{split}_ntu_sk_{classes}.npy",
            np.load(real / "babel-layout" / f"{split}_ntu_sk_60.npy", mmap_mode="r")[::10],
        )
        segments, columns = read_pickle(real / "babel-layout" / f"{split}_label_60.pkl")
        part = segments[::10], tuple(column[::10] for column in columns)
        (folder / f"{split}_label_{classes}.pkl").write_bytes(pickle.dumps(part))
    return [folder]


SOURCES = {
    "ntu60": ntu_3d,
    "ntu60-2d": ntu_2d,
    "babel60": lambda real, folder: babel(real, folder, 60),
    "babel120": lambda real, folder: babel(real, folder, 120),
}
DATASETS = {"ntu60-xsub-3d": "ntu60", "ntu60-xsub-2d": "ntu60-2d", "babel60": "babel60", "babel60-wfl": "babel60",
            "babel120": "babel120", "babel120-wfl": "babel120", "babel60-agcn": "babel60", "babel60-wfl-agcn": "babel60",
            "babel120-agcn": "babel120", "babel120-wfl-agcn": "babel120", "ntu60-xsub-3d-agcn": "ntu60",
            "ntu60-xsub-3d-agcn-bone": "ntu60"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("preset", [entry.preset for entry in PUBLISHED])
def test_a_published_preset_trains_two_epochs_on_real_clips_and_evaluates(stgcn, shared, tmp_path, preset):
    dataset, raw = DATASETS[preset], tmp_path / "raw"
    raw.mkdir()
    sources = SOURCES[dataset](shared / "data", raw)
    said = stgcn("prepare", dataset, *(word for source in sources for word in ("--source", source)))
    assert said.code == 0, said.err
    said = stgcn("train", "--preset", preset, *QUICK, "--work-dir", "run")
    assert said.code == 0, said.err
    results = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert len(results) == 3 and not any("nan" in line for line in results)
    said = stgcn("eval", "run/last.pth", "--out", "result.pkl", "--device", "cpu")
    assert said.code == 0 and "top1_acc" in said.out, said.err
    clips = read_pickle(tmp_path / "data" / f"{dataset}.pkl")["split"]["val" if "babel" in dataset else "xsub_val"]
    scores = np.stack(pickle.loads((tmp_path / "result.pkl").read_bytes()))
    assert scores.shape == (len(clips), 120 if "120" in dataset else 60) and np.isfinite(scores).all()
