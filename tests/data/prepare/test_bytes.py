"""`prepare` writes the pickles and reports of 26 November 2026: every data set, source, dialect and choice of splits.

The inputs are made here; the digests are in tests/golden/prepare-bytes.
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stgcn_cli.data.ntu.normalize import choose_two
from stgcn_cli.data.ntu.parser import read_skeleton
from tests.conftest import GOLDEN
from tests.factories import releases, skeletons
from tests.factories.records import records_2d

CASES = {
    "ntu60": "ntu60 --source raw.zip --workers 2",
    "ntu60-lists": "ntu60 --source raw --format list --workers 1",
    "ntu60-xview": "ntu60 --source raw.zip --splits xview",
    "ntu60-two-sources": "ntu60 --source raw.zip --source more --workers 2",
    "ntu60-golden": "ntu60 --source golden.zip",
    "ntu60-annotated": "ntu60 --source raw60.pkl --workers 2",
    "ntu60-annotated-split": "ntu60 --source split60.pkl",
    "ntu120": "ntu120 --source more --source raw.zip",
    "ntu120-xsetup": "ntu120 --source more --splits xsetup,xsub --format list",
    "2d": "ntu60-2d --source ntu60_xsub_train.pkl --source ntu60_xsub_val.pkl",
    "2d-lists": "ntu60-2d --source ntu60_xsub_train.pkl --source ntu60_xsub_val.pkl --format list",
    "2d-pyskl": "ntu60-2d --source ntu60_hrnet.pkl",
    "2d-pyskl-xsub": "ntu60-2d --source ntu60_hrnet.pkl --splits xsub",
    "2d-pyskl-lists": "ntu60-2d --source ntu60_hrnet.pkl --format list",
    "2d-bad": "ntu120-2d --source bad_xsub_train.pkl --max-bad 0.9",
    "babel60": "babel60 --source babel",
    "babel60-tar": "babel60 --source babel.tar.gz",
    "babel60-lists": "babel60 --source babel --format list",
    "babel60-val": "babel60 --source babel --splits val",
    "babel120": "babel120 --source babel120",
    "babel60-golden": "babel60 --source babel-golden",
}
_REASONS = ("set_aside", "notes", "warnings")  # for people; how they are worded is free
Run = Callable[[Sequence[str]], str]


def build(folder: Path) -> None:
    """Write every input below `folder`."""
    bad = {"S002C001P001R001A001": b"", "notes.txt": b"x", "walking": b"1", "S002C001P001R001A061": skeletons.text([1])}
    empty = {"S003C001P002R001A004": skeletons.text([0, 0, 0])}
    texts = skeletons.clips(24) | bad | empty
    skeletons.write_zip(folder / "raw.zip", texts)
    skeletons.write_folder(folder / "raw", texts)
    later = {
        f"S0{setup}C001P0{person}R001A075": skeletons.text([2] * 3, setup) for setup, person in ((18, 45), (19, 46))
    }
    missing = {"S001C002P005R002A008": skeletons.text([1])}
    skeletons.write_folder(folder / "more", later | missing | skeletons.clips(3, seed=9))
    (folder / "golden.zip").write_bytes((GOLDEN / "prepare" / "raw60.zip").read_bytes())
    _write_annotated(folder)
    _write_2d(folder)
    _write_babel(folder)


def _write(path: Path, value: object) -> None:
    path.write_bytes(pickle.dumps(value, protocol=4))


def _write_annotated(folder: Path) -> None:
    records = []
    for name, text in skeletons.golden_texts().items():
        keypoint = choose_two(read_skeleton(text)).astype(np.float16)
        keypoint = keypoint if keypoint[1].any() else keypoint[:1]
        label = int(name[-3:]) - 1
        records.append({"frame_dir": name, "label": label, "keypoint": keypoint, "total_frames": len(keypoint[0])})
    _write(folder / "split60.pkl", {"split": {"any": [records[0]["frame_dir"]]}, "annotations": records})
    _write(folder / "raw60.pkl", [*records[:-1], records[-1] | {"label": 3}, records[0], {"label": 1}])


def _write_2d(folder: Path) -> None:
    records = records_2d(10)
    names = [record["frame_dir"] for record in records]
    _write(folder / "ntu60_xsub_train.pkl", records[:6])
    _write(folder / "ntu60_xsub_val.pkl", records[6:])
    splits = {
        "xsub_train": names[:5],
        "xsub_val": [*names[5:9], "lost"],
        "xview_train": names[2:],
        "xview_val": names[:2],
    }
    _write(folder / "ntu60_hrnet.pkl", {"split": splits, "annotations": records})
    changes: list[dict] = [
        {},
        {"label": 120},
        {"label": None},
        {"keypoint": [1]},
        {"frame_dir": 7},
        {"total_frames": 1},
    ]
    changed = [record | change for record, change in zip(records_2d(6), changes, strict=True)]
    changed[0]["keypoint"] = np.asfortranarray(np.zeros_like(changed[0]["keypoint"]))
    _write(folder / "bad_xsub_train.pkl", [*changed, records_2d(1)[0], changed[5] | {"note": "dropped"}, None])


def _write_babel(folder: Path) -> None:
    for classes, place in ((60, folder / "babel"), (120, folder / "babel120")):
        train, val, test = (releases.made_up(n, "a", n, classes) for n in (8, 5, 3))
        train["clips"][1], train["clips"][2, 0, 0, 0, 0], train["clips"][3] = 1e6, np.nan, 0
        train["labels"][4] = classes
        for column in ("segments", "labels", "sequences", "chunks", "annotators"):
            train[column][7] = train[column][6]
        train["labels"][7] = 2
        val["labels"][0] = -1
        releases.write_split(place, "train", train, classes)
        releases.write_split(place, "val", val, classes)
        releases.write_split(place, "test", test, classes, labels=False)
    releases.write_archive(folder / "babel.tar.gz", folder / "babel")
    releases.write_split(folder / "babel-golden", "train", releases.golden_release())


def digests(folder: Path, run: Run) -> dict[str, dict[str, str]]:
    """Digests of the pickles that each case writes, and of its report."""
    found: dict[str, dict[str, str]] = {}
    for name, words in CASES.items():
        out = folder / "out" / name / ("lists" if "--format" in words else "x.pkl")
        printed = json.loads(run(["prepare", *words.split(), "--out", str(out.relative_to(folder)), "--json"]))
        files = sorted(path for path in out.parent.rglob("*") if path.is_file())
        (report,) = (path for path in files if path.name.endswith(".report.json"))
        assert json.loads(report.read_text()) == printed
        pickles = {str(path.relative_to(out.parent)): path.read_bytes() for path in files if path.suffix == ".pkl"}
        found[name] = {path: _digest(content) for path, content in pickles.items()} | {"report": _figures(printed)}
    return found


def _figures(report: dict) -> str:
    """The report without the time and without texts for people; of a file that is set aside, its place."""
    figures = {key: value for key, value in report.items() if key not in (*_REASONS, "seconds")}
    figures["set_aside"] = [place for place, _ in report["set_aside"]]
    return _digest(json.dumps(figures, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def test_prepare_writes_what_it_wrote(tmp_path, stgcn):
    build(tmp_path)
    golden = json.loads((GOLDEN / "prepare-bytes" / "digests.json").read_text())
    found = digests(tmp_path, lambda words: stgcn(*words).out)
    assert {name for name in golden if found.get(name) != golden[name]} == set() and found.keys() == golden.keys()
