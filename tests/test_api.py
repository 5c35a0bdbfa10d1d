"""The Python API answers what the commands answer, for every kind of clip, and its page says what it does."""

import contextlib
import dataclasses
import hashlib
import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import stgcn_cli as stgcn
from stgcn_cli.config import catalog, presets
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.models import build_model
from tests.cli.runner import ROOT, environment
from tests.conftest import make_records, write_small_data
from tests.factories import checkpoints
from tests.factories.http_server import Served, running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a model and clips of three kinds."""
    monkeypatch.chdir(tmp_path)
    checkpoints.made(tmp_path / "best.pth")
    records = make_records(3)
    checkpoints.write(tmp_path / "own.pkl", records)
    keypoint = records[0]["keypoint"]
    np.save(tmp_path / "clip.npy", keypoint[0])
    frames, joints = (axis.ravel() for axis in np.indices(keypoint.shape[1:3]))
    columns = {"clip": "a", "frame": frames, "person": 0, "joint": joints}
    columns |= dict(zip("xyz", keypoint[0].reshape(-1, 3).T, strict=True))
    pd.DataFrame(columns).to_csv(tmp_path / "clips.csv", index=False)
    return tmp_path


def test_published_weights_are_loaded_by_name_and_downloaded_once(tmp_path, monkeypatch):
    """As in the documentation: stgcn.load("babel60-wfl"), here from a server with drawn weights under that name."""
    torch.manual_seed(0)
    network, stream = build_model(presets.load("babel60-wfl")), io.BytesIO()
    torch.save({"state_dict": network.state_dict(), "meta": {}}, stream)
    digest, entry = hashlib.sha256(stream.getvalue()).hexdigest()[:8], catalog.find("babel60-wfl")
    monkeypatch.setattr(catalog, "PUBLISHED", (dataclasses.replace(entry, sha256_prefix=digest),))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("STGCN_CACHE", str(tmp_path))
    with running() as mirror:
        mirror.files[f"/{entry.weights}"] = Served(stream.getvalue())
        plain = {"data.pre_normalize": "none"}  # frames as they are, as the network below gets them
        models = [stgcn.load("babel60-wfl", "cpu", settings=plain, base_url=mirror.base) for _ in range(2)]
        assert len(mirror.asked) == 1, "the second comes out of the cache"
    clip = make_records(1)[0]["keypoint"][:, :8]
    assert models[0].preset.name == "babel60-wfl" and len(models[0].classes) == 60
    x = torch.from_numpy(clip[0]).permute(2, 0, 1)[None, ..., None]  # all frames: the preset has no clip_len
    with torch.no_grad():
        wanted = network.eval()(x).numpy()
    np.testing.assert_allclose(models[1].logits([clip[:1]]), wanted, atol=1e-4)


def test_importing_costs_no_torch(tmp_path):
    code = (
        "import stgcn_cli as s, sys; s.load, s.Recognizer; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]" and (ROOT / "stgcn_cli" / "py.typed").is_file()


def test_every_kind_of_clip_gives_the_logits_of_the_command(folder, stgcn_command):
    model = stgcn.load("best.pth", device="cpu")
    array = np.load("clip.npy")
    wanted = model.logits("clip.npy")
    for clips in (array, array[None], [array, array], pd.read_csv("clips.csv"), "clips.csv", stgcn.read("clip.npy")):
        found = model.logits(clips)
        np.testing.assert_allclose(found, np.repeat(wanted, len(found), 0), atol=1e-4)
    record = make_records(1)[0]
    np.testing.assert_allclose(model.logits(record), model.logits("own.pkl")[:1], atol=1e-6)
    top = model.predict(array, top_k=2)[0].top
    said = json.loads(stgcn_command("predict", "best.pth", "clip.npy", "--json", "-k", "2", "--device", "cpu").out)
    assert [name for name, _ in top] == [each["name"] for each in said["clips"][0]["top"]]
    head = model.network.cls_head.fc
    logits = model.features(array) @ head.weight.detach().numpy()[:, :, 0, 0].T + head.bias.detach().numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-4)


@pytest.fixture
def stgcn_command(tmp_path):
    import functools

    from tests.cli.runner import run_stgcn

    return functools.partial(run_stgcn, tmp_path)


def test_what_is_no_clip_is_refused(folder):
    model = stgcn.load("best.pth", device="cpu")
    with pytest.raises(UsageError, match="not a clip"):
        model.logits(np.zeros((5, 25)))
    with pytest.raises(UsageError, match="not a clip"):
        model.logits(7)
    with pytest.raises(DataError):
        model.logits(np.ones((9, 17, 3), np.float32))
    with pytest.raises(UsageError, match="Unknown option 'batchsize'"):
        stgcn.load("best.pth", batchsize=3)


def test_the_network_is_a_plain_module_that_torch_traces_and_exports(folder):
    network, x = stgcn.load("best.pth", device="cpu").network, torch.randn(2, 3, 8, 25, 1)
    with torch.no_grad():
        wanted = network(x)
        for made in (torch.jit.trace(network, (x,)), torch.export.export(network, (x,)).module()):
            torch.testing.assert_close(made(x), wanted)


def test_a_table_of_several_clips_gives_the_logits_of_each(folder):
    model, table = stgcn.load(folder / "best.pth", "cpu"), pd.read_csv("clips.csv")
    other = table.assign(clip="b", x=table["x"] + 0.5)
    found = model.predict(pd.concat([table, other]), top_k=1)
    assert [each.name.rsplit("/", 1)[-1] for each in found] == ["a", "b"] and len(found[0].top) == 1
    expected = np.concatenate([model.logits(table), model.logits(other)])
    np.testing.assert_allclose(model.logits(pd.concat([table, other])), expected, atol=1e-5)


def test_options_of_the_commands_are_understood(folder, monkeypatch):
    from stgcn_cli.training import run

    asked = []
    monkeypatch.setattr(run, "run", lambda options, reporter: asked.append(options) or options)
    stgcn.train(
        "ntu60-xsub-3d", epochs=3, lr=0.2, batch_size=8, stream="bone", test_best=True, checkpoint_minutes=1, seed=4
    )
    options, recipe = asked[0], asked[0].preset
    assert (recipe.train.epochs, recipe.optim.lr, recipe.train.batch_size, recipe.data.stream) == (3, 0.2, 8, "bone")
    assert (options.test, options.save_minutes, options.seed) == (("best",), 1, 4)
    with pytest.raises(UsageError, match="Unknown option 'epoch'"):
        stgcn.train("ntu60-xsub-3d", epoch=3)


def test_the_page_runs_as_it_stands(folder):
    write_small_data(folder / "data")
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as noise:
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(block, names)
    assert noise.getvalue() == "" and len(said.getvalue().splitlines()) == 8
    assert "(1, 3)" in said.getvalue() and "not found" in said.getvalue()
    assert names["result"].metrics["top1_acc"] >= 0 and names["features"].shape == (3, 256)
