"""What the names mean, where files lie, and the command, over a real local server."""

import json
import pickle

import pytest

from stgcn_cli.config import catalog, published_files
from stgcn_cli.errors import UsageError
from stgcn_cli.io.reporter import SILENT
from tests.factories.http_server import Served, running

QUICK = (0.0, 0.01, 0.02)
LOG = "/skeleton/stgcn/stgcn_80e_babel60/stgcn_80e_babel60.log"


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        yield server


@pytest.mark.parametrize("url", ["file:///etc", "ftp://a/b", "example.org", "http://", "http://u:p@h/", "http://h:x/", "http://h/?q", "http://h/ x"])  # fmt: skip
def test_an_impossible_base_is_refused(tmp_path, url):
    with pytest.raises(UsageError, match="--base-url"):
        published_files.fetch_item(published_files.weights_of(catalog.find("babel60")), tmp_path, url, SILENT)


def test_names_mean_what_a_user_expects():
    def kinds(*words, everything=False, logs=False, annotations=False):
        return [(item.kind, item.name) for item in published_files.choose(words, everything, logs, annotations)]

    assert kinds("babel60") == kinds("stgcn_80e_babel60") == kinds("stgcn_80e_babel60-3d206418.pth")
    assert kinds("babel60", logs=True) == [("weights", "babel60"), ("log", "babel60")]
    lists = [("annotations", "ntu60_xsub_train"), ("annotations", "ntu60_xsub_val")]
    assert kinds("ntu60-xsub-2d", annotations=True) == [("weights", "ntu60-xsub-2d"), *lists]
    assert kinds("babel60-agcn", logs=True) == [("weights", "babel60-agcn")]  # no log is published
    assert kinds("ntu60-2d") == lists and kinds("ntu60_hrnet.pkl") == [("annotations", "ntu60_hrnet")]
    weights = [("weights", entry.preset) for entry in catalog.PUBLISHED]
    assert {name for kind, name in kinds(everything=True)} >= {"babel60", "ntu60-xsub-3d-agcn"}
    assert len(kinds(everything=True)) >= len(weights)
    assert {kind for kind, _ in kinds(everything=True, logs=True, annotations=True)} == {
        "weights",
        "log",
        "annotations",
    }
    with pytest.raises(UsageError, match="babel60-wfl"):
        kinds("babel60-wlf")
    with pytest.raises(UsageError, match="on request"):
        kinds("babel60", annotations=True)


def test_a_log_is_looked_for_at_both_addresses(mirror, tmp_path):
    entry = catalog.find("babel120-wfl")
    mirror.files["/" + entry.logs[1]] = Served(b'{"mode": "train"}\n')
    path = published_files.fetch_item(published_files.log_of(entry), tmp_path, mirror.base, SILENT, QUICK)
    assert (
        path == tmp_path / "logs" / "stgcn_80e_babel120_wfl.log" == published_files.cached_log("babel120-wfl", tmp_path)
    )
    assert [asked for asked, _ in mirror.asked] == ["/" + address for address in entry.logs]
    published_files.fetch_item(published_files.log_of(entry), tmp_path, mirror.base, SILENT, QUICK)
    assert len(mirror.asked) == 2


def test_one_that_fails_does_not_stop_the_others(mirror, tmp_path):
    names = ["babel60", "babel60-wfl"]
    mirror.files[LOG] = Served(b"a log\n")
    items = [published_files.log_of(catalog.find(name)) for name in names]
    fetched, failed = published_files.fetch_all(items, tmp_path, mirror.base, SILENT)
    assert [item.name for item, _ in fetched] == ["babel60"] and "babel60_wfl" in str(failed[0])


def test_annotations_lie_below_posec3d(mirror, tmp_path):
    mirror.files["/posec3d/ntu60_xsub_val.pkl"] = Served(pickle.dumps([1]))
    path = published_files.fetch_item(
        published_files.annotations_of(*catalog.find_annotations("ntu60_xsub_val")), tmp_path, mirror.base + "/", SILENT
    )
    assert pickle.loads(path.read_bytes()) == [1]


def test_the_command_downloads_lists_and_verifies(mirror, stgcn, tmp_path):
    offline = {"no_proxy": "127.0.0.1"}
    mirror.files["/posec3d/ntu60_xsub_val.pkl"] = Served(pickle.dumps([1]))
    said = stgcn("download", "ntu60_xsub_val", "--base-url", mirror.base, "--cache-dir", "here", env=offline)
    assert said.code == 0 and "no published hash" in said.out
    assert (tmp_path / "here" / "annotations" / "ntu60_xsub_val.pkl").exists()
    entries = json.loads(stgcn("download", "--list", "--json", "--cache-dir", "here").out)["files"]
    assert [e["name"] for e in entries if e["path"]] == ["ntu60_xsub_val"] and len(entries) > 28
    assert stgcn("download", "--verify", "--cache-dir", "here").code == 0
    weights = tmp_path / "here" / "weights" / "stgcn_80e_babel60-3d206418.pth"
    weights.parent.mkdir()
    weights.write_bytes(b"other bytes")
    said = stgcn("download", "--verify", "--cache-dir", "here")
    assert said.code == 4 and "DAMAGED" in said.out and "stgcn download babel60" in said.err


def test_the_command_says_what_went_wrong(mirror, stgcn, tmp_path):
    mirror.files["/skeleton/stgcn/stgcn_80e_babel60/stgcn_80e_babel60-3d206418.pth"] = Served(b"other bytes")
    mirror.files[LOG] = Served(b"a log\n")
    said = stgcn("download", "babel60", "--logs", "--base-url", mirror.base, "--json", env={"no_proxy": "127.0.0.1"})
    assert said.code == 5 and "sha256" in said.err and "Nothing was kept" in said.err
    assert [file["kind"] for file in json.loads(said.out)["files"]] == ["log"]
    assert not list((tmp_path / "cache" / "weights").iterdir())
    assert stgcn("download").code == 2 and stgcn("download", "babel61").code == 2


def test_sizes_are_known_before_a_download(stgcn):
    """Those of the networks that this program builds, within 4 %."""
    import torch

    from stgcn_cli.config import catalog, presets
    from stgcn_cli.models import build_model

    for entry in [
        *catalog.PUBLISHED[:1],
        *catalog.PUBLISHED[8:9],
        *(e for e in catalog.PYSKL if e.preset.endswith("3d-stgcnpp")),
    ][:3]:
        with torch.device("meta"):
            tensors = build_model(presets.load(entry.preset)).state_dict().values()
        assert sum(t.numel() * t.element_size() for t in tensors) == pytest.approx(1e6 * entry.megabytes, rel=0.04)
    listed = stgcn("download", "--list").out
    assert "about 12.4 MB" in listed and "about 13.9 MB" in listed and "about 5.7 MB" in listed
