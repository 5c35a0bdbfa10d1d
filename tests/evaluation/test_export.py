"""Exports compute what torch computes: every network and stream, in predictions and evaluations, or they are not written."""

import contextlib
import io
import json
import logging
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stgcn_cli import api
from stgcn_cli.config import presets
from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.errors import CheckpointError, RunError, UsageError
from stgcn_cli.evaluation import export as exporting
from stgcn_cli.evaluation.export import ExportOptions, write
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.models import MODELS, build_model
from stgcn_cli.runs import export
from stgcn_cli.runs.exported import About, ExportedModel
from stgcn_cli.runs.resolve import EvalOptions
from tests.conftest import make_records
from tests.factories import checkpoints
from tests.factories.network_input import drawn_input

onnxruntime = pytest.importorskip("onnxruntime")
STREAMS = ("joint", "bone", "joint-motion", "bone-motion")
NETWORKS = {"stgcn": (), "agcn": ("model.name=agcn", "model.partition=agcn"),
            "stgcnpp": ("model.name=stgcnpp", "model.partition=pyskl")}  # fmt: skip


def drawn(folder, preset="ntu60-xsub-3d", settings=checkpoints.SMALL, head=1.0):
    """A checkpoint, its head scaled."""
    path = checkpoints.made(folder / "model.pth", preset, settings)
    value = torch.load(path, weights_only=True)
    if "model.name=agcn" in settings:  # drawn weights make attention so sharp that float32 itself is off by 1e-2
        torch.manual_seed(0)
        model = build_model(presets.load(preset, settings))
        with torch.no_grad():
            for key, values in model.named_parameters():
                if "bn" in key and key.endswith("weight"):
                    values.fill_(0.5)
        value["state_dict"] = model.state_dict()
    value["state_dict"]["cls_head.fc.weight"] *= head
    torch.save(value, path)
    return path


def written(folder, preset="ntu60-xsub-3d", settings=checkpoints.SMALL, name="model.onnx", data=None, head=1.0, **more):
    """A checkpoint, what was exported of it, and the report."""
    path = drawn(folder, preset, settings, head)
    model = EvalOptions(checkpoint=str(path), data=(data,) if data else ())
    return path, write(ExportOptions(model=model, out=folder / name, **more), SILENT)


def real_clips(shared):
    """Skeletons of a depth camera, and clips of the reference's input, all of one length."""
    with zipfile.ZipFile(shared / "data" / "uiprmd_skeletons.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".skeleton")][::200][:3]
        texts = [archive.read(name) for name in names]
    real = [read_skeleton(text)[:, 10:34] for text in texts]
    golden = drawn_input((2, 3, 24, 25, 2)).permute(0, 4, 2, 3, 1).numpy()
    return [*(np.ascontiguousarray(each[:1], np.float32) for each in real), *golden]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_the_api_the_command_onnx_and_pt2_agree(shared, tmp_path, stgcn, name, stream):
    settings = (
        *checkpoints.SMALL,
        *NETWORKS[name],
        f"data.stream={stream}",
        "data.num_person=2",
        "data.pre_normalize=none",
    )
    clips = real_clips(shared)
    head = 5 / float(
        np.abs(api.load(drawn(tmp_path, settings=settings), "cpu").logits(clips)).max()
    )  # as trained weights
    records = [
        {"frame_dir": f"c{i}", "label": i % 3, "keypoint": each, "total_frames": 24} for i, each in enumerate(clips)
    ]
    data = checkpoints.write(tmp_path / "ntu60_val.pkl", records)
    path, report = written(tmp_path, settings=settings, data=data, head=head)
    _, recorded = written(tmp_path, settings=settings, data=data, head=head, name="model.pt2")
    assert all(max(each.difference_random, each.difference_real) < 1e-4 for each in (report, recorded))
    wanted = api.load(path, "cpu").logits(clips)
    assert 1 < np.abs(wanted).max() < 10 and np.ptp(wanted, axis=0).max() > 0.1
    np.testing.assert_allclose(api.load(report.path).logits(clips), wanted, atol=1e-4)
    program = torch.export.load(recorded.path).module()
    padded = torch.stack([torch.from_numpy(np.pad(each, ((0, 2 - len(each)), *[(0, 0)] * 3))) for each in clips])
    np.testing.assert_allclose(program(padded)[0].detach(), wanted, atol=1e-4)
    for model in (path, report.path):
        done = stgcn("predict", model, data, "--features", tmp_path / "found.npz", "--force")
        assert done.code == 0, done.err
        np.testing.assert_allclose(np.load(tmp_path / "found.npz")["logits"], wanted, atol=1e-4)
        done = stgcn("eval", model, "--data", data, "--out", tmp_path / "result.npz", "--force", "--no-report")
        assert done.code == 0, done.err
        np.testing.assert_allclose(np.load(tmp_path / "result.npz")["scores"], wanted, atol=1e-4)


def test_large_logits_are_compared_by_their_own_size():
    small, large = np.float32([0.5, -0.9]), np.float32([0.5, -250])  # float32 has seven digits
    for ours, change, fits in ((small, 2e-4, False), (large, 2e-4, True), (large, 0.5, False)):
        assert (exporting._relative(ours, ours + np.float32(change)) <= exporting.LIMIT) == fits


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pt2_files_are_not_opened_since_they_can_hold_code(tmp_path, stgcn):
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "model.pt2", "w") as target:
        for each in source.namelist():
            is_inputs = "sample_inputs" in each
            target.writestr(each, pickle.dumps(Evil(tmp_path / "run")) if is_inputs else source.read(each))
    shutil.copy(tmp_path / "model.pt2", tmp_path / "model.pth")
    np.save(tmp_path / "clip.npy", make_records(1)[0]["keypoint"])
    for words in (("predict", "model.pt2", "clip.npy"), ("eval", "model.pt2"), ("predict", "model.pth", "clip.npy")):
        done = stgcn(*words)
        assert done.code == 4 and not (tmp_path / "run").exists(), done.err
    assert "torch.export.load, which may run code" in stgcn("predict", "model.pt2", "clip.npy").err
    with contextlib.suppress(Exception):
        torch.export.load(tmp_path / "model.pt2")
    assert (tmp_path / "run").exists()  # or the file is harmless, and it could be read


@pytest.mark.parametrize(("channels", "size"), [("xys", "record"), ("xy", "reference"), ("xyz", "reference")])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("length", ["9", "none"])
def test_what_comes_before_the_network_is_what_the_loader_does(channels, size, stream, length):
    from stgcn_cli.data.loader import Clips
    from stgcn_cli.data.splits import Split
    from stgcn_cli.data.store import store_of

    settings = [f"data.channels={channels}", f"data.stream={stream}", f"data.image_size={size}",
                f"data.clip_len={length}"]  # fmt: skip
    preset = presets.load("ntu60-xsub-3d" if channels == "xyz" else "ntu60-xsub-2d", settings)
    records = make_records(3, joints=17, persons=2) if channels != "xyz" else make_records(3, persons=2)
    for record in records:
        record |= {"keypoint": record["keypoint"][:, :8], "total_frames": 8, "img_shape": (480, 640)}
        if channels != "xyz":
            record["keypoint_score"] = np.ones(record["keypoint"].shape[:3], np.float32)
            record["keypoint"] = 100 * record["keypoint"][..., :2] + 300
        if channels == "xy":
            del record["keypoint_score"]
    store = store_of(records, "drawn")
    clips = Clips.of(Split("all", store, np.arange(3)), preset, torch.device("cpu"))
    index = torch.arange(3)
    sizes = clips.image_sizes if export.takes_size(preset) else None
    found = export.Program(torch.nn.Identity(), preset).prepare(clips.stored(index), sizes)
    torch.testing.assert_close(found.permute(0, 4, 2, 3, 1), clips.batch(index)[0], rtol=0, atol=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One export for several tests: it takes seconds."""
    folder = tmp_path_factory.mktemp("export")
    data = checkpoints.write(folder / "ntu60_val.pkl", make_records(6))
    return (*written(folder, data=data), data)


def test_predictions_and_evaluations_of_an_export(tmp_path, stgcn, whole):
    path, report, data = whole
    assert report.real_clips == 6 and report.difference_real < 1e-4
    np.save(tmp_path / "clip.npy", make_records(1)[0]["keypoint"])
    for words in (["predict", "clip.npy", "--json"], ["eval", "--data", data, "--json", "--no-report"]):
        values = []
        for model in (path, report.path):
            done = stgcn(words[0], model, *words[1:], *(["--device", "cpu"] if words[0] == "eval" else []))
            assert done.code == 0, done.err
            values.append(json.loads(done.out))
        assert str(values[0].get("clips")) == str(values[1].get("clips"))
    refused = stgcn("predict", report.path, "clip.npy", "--set", "data.clip_len=5")
    assert refused.code == 2 and "does not apply to an exported model" in refused.err


@pytest.mark.slow
def test_reduced_precisions_say_what_they_cost(tmp_path, whole):
    """The accuracies are those of an evaluation of the file and of the checkpoint."""
    data = checkpoints.write(tmp_path / "ntu60_val.pkl", records := make_records(12))
    labels = np.array([record["label"] for record in records])
    for kind, smaller in (("half", 0.55), ("int8", 0.35)):
        path, report = written(tmp_path, name=f"{kind}.onnx", data=data, **{kind: True})
        assert (
            report.size < smaller * whole[1].size and 0 < report.difference_random < 0.5 and report.difference_real > 0
        )
        found = [float((checkpoints.evaluated(each, data).argmax(1) == labels).mean()) for each in (report.path, path)]
        assert [report.accuracy, report.accuracy_torch] == pytest.approx(found)


def test_an_export_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    def wrong(predictor, options):
        run = lambda *inputs: (torch.full((len(inputs[0]), 3), 9.0), None)  # noqa: E731
        return b"program", ExportedModel(run, About(predictor.preset, [], {}, False), takes_size=False)

    monkeypatch.setattr(exporting, "_content", wrong)
    with pytest.raises(RunError, match="was not written"):
        written(tmp_path)
    assert not (tmp_path / "model.onnx").exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_uniform_samples_are_prepared_outside_and_say_so(tmp_path):
    data = checkpoints.write(tmp_path / "ntu60_val.pkl", make_records(6))
    settings = (*checkpoints.SMALL, "data.sampling=uniform", "eval.clips=2", "data.stream=bone-motion")
    _, report = written(tmp_path, settings=settings, data=data)
    assert report.inputs["keypoints"] == ["N", 1, 8, 25, 3] and report.difference_real < 1e-4
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["input"])
    assert about["prepared"] and any("uniform" in step for step in about["before"])


@pytest.mark.parametrize(("name", "more"), [("model.pth", {}), ("model", {}), ("model.pt2", {"int8": True}),
                                            ("model.onnx", {"int8": True, "half": True})])  # fmt: skip
def test_names_that_promise_something_else_are_refused(tmp_path, name, more):
    with pytest.raises(UsageError):
        written(tmp_path, name=name, **more)
    assert not (tmp_path / name).exists() or name == "model.pth"


def test_files_of_others_are_refused(tmp_path, whole):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="damaged, or not an ONNX file"):
        checkpoints.loaded(tmp_path / "a.onnx")
    import onnx

    model = onnx.load(whole[1].path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "b.onnx")
    with pytest.raises(CheckpointError, match="not written by stgcn export"):
        checkpoints.loaded(tmp_path / "b.onnx")


def test_missing_packages_are_named_with_how_to_install_them(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(UsageError) as refused:
        written(tmp_path)
    assert refused.value.hint == 'pip install "stgcn[onnx]"'


def test_exporters_stay_silent_where_one_runs_in_another(caplog):
    logger = logging.getLogger("an exporter")
    with export._quiet():
        with export._quiet():
            pass
        logger.warning("a package that is not needed")
    assert not caplog.records
    logger.warning("afterwards")
    assert len(caplog.records) == 1
