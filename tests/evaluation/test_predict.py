"""A model asked about clips in any file: the same answers as an evaluation, as a table, a file or a refusal."""

import csv
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from stgcn_cli.config import class_names, presets
from stgcn_cli.data.splits import open_stores
from stgcn_cli.data.store import store_of
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation import predict
from stgcn_cli.evaluation.predictions import top
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint
from tests.conftest import make_records
from tests.factories import weights
from tests.factories.checkpoints import SMALL, evaluated, made, predicted, two_d, write


@pytest.mark.parametrize("settings", [SMALL, (*SMALL, "data.clip_len=none"), (*SMALL, "data.num_person=2")])
def test_predictions_equal_an_evaluation_to_the_bit(tmp_path, settings):
    """Clips of many lengths, persons and float types, one of them without anybody."""
    records = make_records(24, persons=2)
    for index, record in enumerate(records):
        record["keypoint"] = record["keypoint"].astype((np.float16, np.float32, np.float64)[index % 3])
        record["keypoint"][int(index % 5 == 0) :, :, :] *= index % 7 > 0
    data, path = write(tmp_path / "val.pkl", records), made(tmp_path / "x.pth", settings=settings)
    said = predicted(path, data)
    assert [facts.name for facts in said.facts] == [record["frame_dir"] for record in records]
    np.testing.assert_array_equal(said.scores, evaluated(path, data))
    np.testing.assert_array_equal(said.scores.argmax(axis=1), [best[0][0] for best in top(said.scores, 1)])


def test_a_store_in_memory_equals_that_on_a_disk(tmp_path):
    records = make_records(6, persons=2, img_shape=(480, 640))
    records[0]["keypoint"][0] = 0
    records[1]["total_frames"] -= 3
    records[2]["keypoint"] = records[2]["keypoint"][:1]
    disk, memory = open_stores([write(tmp_path / "x.pkl", records)])[0], store_of(records, tmp_path)
    for name in ("frames", "starts", "lengths", "image_sizes"):
        np.testing.assert_array_equal(getattr(memory, name), getattr(disk, name))
        assert getattr(memory, name).dtype == getattr(disk, name).dtype
    assert memory.names == disk.names


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """Twenty real skeletons as raw files, the pickle that `prepare` makes of them, and a model of theirs."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "raw").mkdir()
    with zipfile.ZipFile(shared / "data" / "uiprmd_skeletons.zip") as archive:
        names = [name for name in archive.namelist() if "P001R001" in name or "P006R001" in name]
        for name in names:
            (folder / "raw" / name.rsplit("/", 1)[-1]).write_bytes(archive.read(name))
    return folder


def test_raw_skeletons_get_the_answer_of_prepared_ones(real, tmp_path, stgcn):
    """Real files: a folder, a zip and a pattern give what an evaluation of `prepare`'s pickle gives."""
    assert stgcn("prepare", "ntu60", "--source", real / "raw", "--quiet", "--workers", "1").code == 0
    data = tmp_path / "data" / "ntu60.pkl"
    records = pickle.loads(data.read_bytes())["annotations"]
    path = made(tmp_path / "x.pth", settings=("data.clip_len=40", "model.num_classes=10"), trained_on=data)
    wanted = evaluated(path, write(tmp_path / "all.pkl", records))
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for file in sorted((real / "raw").iterdir()):
            archive.write(file, f"inside/{file.name}")
    for words in ([real / "raw"], [tmp_path / "raw.zip"], [real / "raw" / "S001C001P0*"]):
        said = predicted(path, *words)
        assert [facts.name for facts in said.facts] == [record["frame_dir"] for record in records]
        np.testing.assert_array_equal(said.scores, wanted)
        assert len(said.warnings) == 1 and "only the first 40 are seen" in said.warnings[0]


def test_real_2d_clips_equal_an_evaluation(shared, tmp_path):
    records = pickle.loads((shared / "data" / "uiprmd_2d_val.pkl").read_bytes())[:20]
    data = write(tmp_path / "val.pkl", records)
    path = made(tmp_path / "x.pth", "ntu60-xsub-2d", ("data.clip_len=40", "model.num_classes=10"), trained_on=data)
    said = predicted(path, data)
    np.testing.assert_array_equal(said.scores, evaluated(path, data))
    assert np.ptp(said.scores, axis=0).max() > 0.001


def test_one_raw_clip_is_answered_with_class_names_and_leaves_nothing_behind(real, tmp_path, stgcn):
    """A published file name gives preset and names; there is no store in the cache."""
    model = build_model(presets.load("ntu60-xsub-3d"))
    weights.fill(model, "B")
    path = tmp_path / "stgcn_80e_ntu60_xsub_keypoint_3d-13e7ccf0.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    clip = sorted((real / "raw").iterdir())[0]
    said = stgcn("predict", path, clip, "--json", "--topk", "5", "--device", "cpu")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    names = class_names.class_names(presets.load("ntu60-xsub-3d"))
    best = told["clips"][0]["top"]
    assert [names[each["class"]] for each in best] == [each["name"] for each in best] and len(best) == 5
    assert sorted((each["probability"] for each in best), reverse=True) == [each["probability"] for each in best]
    assert told["clips"][0]["clip"] == clip.stem and told["warnings"] == []
    assert not (tmp_path / "cache").exists()


def test_tables_csv_and_files_agree(stgcn, tmp_path):
    path, data = made(tmp_path / "x.pth"), write(tmp_path / "x.pkl", make_records(4))
    words = ("predict", path, data, "--device", "cpu", "--quiet")
    table = stgcn(*words)
    assert table.code == 0 and table.out.splitlines()[1].split() == ["clip", "1.", "2.", "3."], table.err
    rows = list(csv.DictReader(io.StringIO(stgcn(*words, "--csv", "-k", "2").out)))
    assert stgcn(*words, "--out", "x.json").code == 0
    clips = json.loads((tmp_path / "x.json").read_text())["clips"]
    for row, clip, line in zip(rows, clips, table.out.splitlines()[2:], strict=True):
        best = clip["top"][0]
        assert row["clip"] == clip["clip"] == line.split()[0]
        assert (row["name_1"], float(row["probability_1"])) == (best["name"], best["probability"])
        assert f"{100 * best['probability']:.1f} % {best['name']}" in line
        assert sum(each["probability"] for each in clip["top"]) == pytest.approx(1, abs=1e-5)


def test_many_clips_go_through_in_portions(tmp_path, monkeypatch):
    path, data = made(tmp_path / "x.pth"), write(tmp_path / "x.pkl", make_records(11))
    whole = predicted(path, data).scores
    monkeypatch.setattr(predict, "_AT_A_TIME", 4)
    np.testing.assert_allclose(predicted(path, data).scores, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("told", ["x", {"frames": "12345", "spread": [1]}, {"frames": [None] * 5, "image_sizes": [3], "persons": "x"}])  # fmt: skip
def test_what_a_stranger_wrote_into_a_checkpoint_does_no_harm(tmp_path, told):
    read = checkpoint.read(made(tmp_path / "x.pth"))
    meta = {"preset": read.preset_text, "trained_on": told, "CLASSES": [1]}
    torch.save({"state_dict": read.state, "meta": meta}, tmp_path / "x.pth")
    assert predicted(tmp_path / "x.pth", write(tmp_path / "x.pkl", make_records(2))).scores.shape == (2, 3)


def test_another_skeleton_is_refused_with_what_to_type(tmp_path):
    path = made(tmp_path / "x.pth")
    with pytest.raises(DataError) as refused:
        predicted(path, write(tmp_path / "x.pkl", two_d(1)))
    assert "clip000 has 17 joints with x, y and a score" in refused.value.message
    assert "expects 25 (ntu) with x, y, z" in refused.value.message
    assert "stgcn predict ntu60-xsub-2d INPUT" in refused.value.hint
    np.save(tmp_path / "hand.npy", np.zeros((5, 21, 3), np.float32))
    with pytest.raises(DataError, match=r"hand.npy has 21 joints") as refused:
        predicted(path, tmp_path / "hand.npy")
    assert "base of spine, mid spine" in refused.value.hint


def test_missing_clips_and_files_are_named(tmp_path):
    path = made(tmp_path / "x.pth")
    with pytest.raises(DataError, match=r"empty\.pkl"):
        predicted(path, write(tmp_path / "empty.pkl", []))
    with pytest.raises(DataError, match=r"nowhere\.skeleton"):
        predicted(path, "nowhere.skeleton")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere.pth", "x.pkl"), 4, "Checkpoint nowhere.pth not found"),
        (("x.pth", "x.pkl", "--json", "--csv"), 2, "exclude each other"),
        (("x.pth", "x.pkl", "--out", "."), 2, "For example: --out NAME.json"),
        (("x.pth", "x.pkl", "--out", "x.pkl"), 2, "Unsupported output format x.pkl; expected .json or .csv"),
    ],
)
def test_what_cannot_be_used_is_reported(stgcn, tmp_path, words, code, told):
    made(tmp_path / "x.pth")
    write(tmp_path / "x.pkl", make_records(1))
    said = stgcn("predict", *words)
    assert (said.code, told in said.err) == (code, True), said.err
