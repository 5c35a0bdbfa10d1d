"""`data convert` and `data merge` write the bytes of 26 November 2026, and `data inspect` counts what it counted then.

Every format and option on small inputs made here; the digests are in tests/golden/convert.
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.conftest import GOLDEN, make_records
from tests.factories import foreign, skeletons

CASES = {
    "skeletons": "convert raw --out OUT.pkl",
    "zip-by-subject": "convert raw.zip --val-subjects 2,3 --out OUT.pkl",
    "not-normalised": "convert raw --pre-normalize none --val-fraction 0.3 --seed 4 --out OUT.pkl",
    "folders": "convert own --classes folders --image-size 1280x720 --out OUT.pkl",
    "folders-unsized": "convert own --classes folders --out OUT.pkl",
    "table-of-labels": "convert own/wave --labels labels.csv --out OUT.pkl",
    "table-with-subjects": "convert own/wave --labels subjects.csv --val-subjects 1 --classes names.txt --out OUT.pkl",
    "listed": "convert own/wave --labels labels.csv --val-list val.txt --max-persons 1 --out OUT.pkl",
    "one-split": "convert own/wave --labels labels.csv --split test --out OUT.pkl",
    "openpose": "convert frames --classes folders --out OUT.pkl",
    "coco": "convert coco.json results.json --image-size 640x480 --split train --out OUT.pkl",
    "csv": "convert hand.csv --layout hand.toml --out OUT.pkl",
    "csv-as-list": "convert walk.csv --out OUT.pkl --format list",
    "npz": "convert many.npz --layout ntu --out OUT.pkl",
    "score-last": "convert packed.npy packed2.npy --score-last --image-size 1280x720 --split val --out OUT.pkl",
    "from": "convert spatial.npz spatial.npz2/x.npz --from npz --val-fraction 0.5 --out OUT.pkl",
    "nobody-first": "convert nobody --classes folders --out OUT.pkl",
    "nobody-at-all": "convert empty --split train --no-preset --out OUT.pkl",
    "one-pickle": "convert one.pkl --layout ntu --out OUT.pkl",
    "lists": "convert x_train.pkl x_val.pkl --layout ntu --out OUT.pkl",
    "to-lists": "convert flat.pkl --format list --out OUT.pkl",
    "skip-bad": "convert bad --skip-bad --classes folders --out OUT.pkl",
    "merged": "merge one.pkl y_val.pkl --layout ntu --out OUT.pkl",
    "merged-by-name": "merge one.pkl y_val.pkl --layout ntu --classes abc.txt --classes bcd.txt --out OUT.pkl",
    "merged-to-lists": "merge flat.pkl --format list --out OUT.pkl",
    "merged-several-labels": "merge several_train.pkl --layout ntu --out OUT.pkl",
}
INSPECTED = ("raw", "raw.zip", "own", "frames", "coco.json", "walk.csv", "many.npz", "packed.npy", "nobody", "bad",
             "one.pkl", "x_train.pkl", "flat.pkl", "several_train.pkl")  # fmt: skip
_RANDOM = (
    "many.npz",
    "one.pkl",
    "x_train.pkl",
    "several_train.pkl",
)  # 25 joints at random places: no Kinect's by its numbers
_TEXTS = ("warnings", "left_out", "unusable", "divided", "next", "axes")  # for people; how they are worded is free
_LATER = (
    "notes",
    "joints_with_nan",
    "problems",
)  # counted since
Run = Callable[[Sequence[str]], str]


def build(folder: Path) -> None:
    """Write every input below `folder`."""
    skeletons.write_folder(folder / "raw", skeletons.clips(8))
    skeletons.write_zip(folder / "raw.zip", skeletons.clips(8))
    for group, seed in (("wave", 0), ("kick", 50)):
        (folder / "own" / group).mkdir(parents=True)
        for index in range(4):
            foreign.mmpose(folder / "own" / group / f"{index}.json", *foreign.clip(seed=seed + index, frames=6 + index))
            foreign.openpose(folder / "frames" / group / f"{index}", *foreign.clip(seed=seed + index, joints=18))
            (folder / "bad" / group).mkdir(parents=True, exist_ok=True)
            foreign.mmpose(folder / "bad" / group / f"{index}.json", *foreign.clip(seed=seed + index))
    (folder / "bad" / "wave" / "1.json").write_text('{"instance_info": [')
    foreign.mmpose(folder / "bad" / "kick" / "2.json", *foreign.clip(joints=18))
    rows = [f"{index},{'ab'[index % 2]}" for index in range(4)]
    (folder / "labels.csv").write_text("name,label\n" + "\n".join(rows))
    (folder / "subjects.csv").write_text(
        "name,label,subject\n" + "\n".join(f"{r},{i // 2}" for i, r in enumerate(rows))
    )
    for name, words in (("names", "cab"), ("val", "2"), ("abc", "abc"), ("bcd", "bcd")):
        (folder / f"{name}.txt").write_text("\n".join(words) + "\n")
    foreign.coco(folder / "coco.json", *foreign.clip())
    foreign.results(folder / "results.json", *foreign.clip(seed=1))
    foreign.table(folder / "walk.csv", *foreign.clip(), label="wave", subject=3)
    with open(folder / "walk.csv", "a") as stream:
        stream.writelines(f"run,{t},p,{v},{t + v},{v},0.5,run,{4}\n" for t in range(3) for v in range(17))
    (folder / "hand.toml").write_text('joints = ["wrist", "thumb"]\nbones = [["thumb", "wrist"]]\ncentre = 0\n')
    (folder / "hand.csv").write_text("clip,frame,joint,x,y,z,label\n" + "".join(
        f"c{n},{t},thumb,1,2,{n + t},l{n % 2}\n" for n in range(6) for t in range(3)))  # fmt: skip
    _arrays(folder)
    _pickles(folder)


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(5)
    keypoint = rng.normal(size=(6, 2, 8, 25, 3)).astype(np.float32)
    keypoint[3] = 0
    subjects = [1, 1, 2, 2, 3, 3]
    np.savez(folder / "many.npz", keypoint=keypoint, labels=[2, 0, 1, 0, 1, 2], names=list("uvwxyz"), lengths=[8, 5, 8, 8, 3, 8], subjects=subjects)  # fmt: skip
    xy, score = foreign.clip()
    for name in ("packed", "packed2"):
        np.save(folder / f"{name}.npy", np.concatenate([xy, score[..., None]], axis=-1))
    (folder / "spatial.npz2").mkdir()
    for name, seed in (
        ("spatial.npz", 0),
        ("spatial.npz2/x.npz", 1),
    ):  # joints in space with scores, one clip of nobody first
        many = np.random.default_rng(seed).normal(size=(3, 1, 4, 17, 3)).astype(np.float32)
        many[0] = 0
        np.savez(folder / name, keypoint=many, keypoint_score=np.ones((3, 1, 4, 17)), labels=[0, 1, 0])
    for index, group in enumerate(("a", "a", "b", "b")):
        xy, score = foreign.clip(joints=18, persons=1, seed=index)
        foreign.openpose(folder / "nobody" / group / f"{index}", xy * (index > 0), score)
        foreign.openpose(folder / "empty" / f"{index}", xy * 0, score)


def _pickles(folder: Path) -> None:
    def write(name: str, value: object) -> None:
        (folder / name).write_bytes(pickle.dumps(value))

    records = make_records(9, note="kept")
    names = [record["frame_dir"] for record in records]
    write("one.pkl", {"split": {"train": names[:6], "val": names[6:], "xview_val": names[2:3]}, "annotations": records})
    write("x_train.pkl", records[:5])
    write("x_val.pkl", records[5:])
    write("y_val.pkl", [record | {"frame_dir": f"other{n}"} for n, record in enumerate(make_records(4, seed=1))])
    write("several_train.pkl", [*make_records(4), make_records(4)[0] | {"label": 2}])
    flat = []
    for index in range(6):
        xy, score = foreign.clip(seed=index)
        record = {
            "frame_dir": f"f{index}",
            "label": index % 2,
            "keypoint": xy.astype(np.float16),
            "keypoint_score": score,
        }
        flat.append(record | {"img_shape": foreign.SIZE, "original_shape": foreign.SIZE, "total_frames": 5 + index % 2})
    split = {"xsub_train": [f"f{n}" for n in range(4)], "xsub_val": ["f4", "f5", "lost"]}
    write("flat.pkl", {"split": split, "annotations": flat})


def digests(folder: Path, run: Run) -> dict[str, dict[str, str]]:
    """Of every case the digests of the files it writes and of its figures; `run` returns what the program prints."""
    found: dict[str, dict[str, str]] = {}
    for name, words in CASES.items():
        printed = run(["data", *words.replace("OUT", f"out-{name}").split(), "--json"])
        files = sorted(folder.glob(f"out-{name}*"))
        found[name] = {file.name: _digest(file.read_bytes()) for file in files} | {"figures": _figures(printed)}
    for name in INSPECTED:
        layout = ["--layout", "ntu"] if name in _RANDOM else []
        found[f"inspect {name}"] = {"figures": _figures(run(["data", "inspect", name, *layout, "--json"]))}
    return found


def _figures(printed: str) -> str:
    told = json.loads(printed)
    facts = told["files"][0] if isinstance((told.get("files") or [""])[0], dict) else told
    return _digest(json.dumps({key: value for key, value in facts.items() if key not in (*_TEXTS, *_LATER)}).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def test_convert_merge_and_inspect_give_what_they_gave(tmp_path, stgcn):
    build(tmp_path)
    golden = json.loads((GOLDEN / "convert" / "digests.json").read_text())
    found = digests(tmp_path, lambda words: stgcn(*words).out)
    assert {name for name in golden if found.get(name) != golden[name]} == set() and found.keys() == golden.keys()
