import json
import shutil
from pathlib import Path

import pytest

from stgcn_cli.diagnostics import doctor, selftest
from stgcn_cli.io import text
from tests.cli.runner import ROOT


def test_a_report_names_versions_devices_data_and_a_working_self_test(stgcn, small_data):
    said = stgcn("doctor")
    assert said.code == 0, said.err
    for words in ("torch", "gloo", "threads", "memory", "ntu60-xsub-3d", "ntu60.pkl (", "off by", "1 + 2 = 3"):
        assert words in said.out, words
    assert "  warn  forward" not in said.out
    assert said.err == ""


def test_scripts_get_the_same_sections(stgcn):
    told = json.loads(stgcn("doctor", "--json").out)
    assert list(told) == ["warnings", *doctor.SECTIONS]
    everything = [each for title in doctor.SECTIONS for each in told[title]]
    assert told["warnings"] == sum(each["state"] == "warn" for each in everything)
    assert all((each["state"] == "warn") == bool(each["advice"]) for each in everything)


def test_no_password_and_no_home_folder_is_shown(stgcn, tmp_path):
    home = tmp_path / "home" / "somebody"
    secrets = {
        "HOME": str(home), "STGCN_CACHE": str(home / "cache"), "STGCN_DATA": str(home / "nowhere"),
        "HTTPS_PROXY": "http://somebody:s3cr/et@proxy.example:3128", "http_proxy": "somebody:s3cr@t@proxy.example:3128",
        "SLURM_JWT": "s3cret-token", "STGCN_TOKEN": "s3cret-token",
    }  # fmt: skip
    said = stgcn("doctor", env=secrets)
    assert said.code == 0
    assert "s3cr" not in said.out and "somebody" not in said.out
    assert "http://***@proxy.example:3128" in said.out and "***@proxy.example:3128" in said.out
    assert "~/cache" in said.out
    assert "warn  STGCN_DATA" in said.out and "STGCN_DATA: This folder does not exist." in said.out


def test_addresses_lose_their_user_and_words_stay():
    assert doctor.without_secrets("from https://a:b@c.example/x and you@c.example") == (
        "from https://***@c.example/x and you@c.example"
    )
    assert doctor.without_secrets(f"{Path.home()}/x {Path.home()}") == "~/x ~"
    assert doctor.without_secrets(f"{Path.home()}other") == f"{Path.home()}other"


def test_a_section_that_fails_says_so_and_the_others_are_there(stgcn, tmp_path):
    """A file where the cache folder should be, and a preset that cannot be read."""
    (tmp_path / "file").write_text("")
    copy = tmp_path / "copy"
    for name in ("stgcn_cli", "presets"):
        shutil.copytree(ROOT / name, copy / name)
    (copy / "presets" / "broken.toml").write_text("[[[")
    said = stgcn("doctor", env={"STGCN_CACHE": str(tmp_path / "file" / "cache"), "PYTHONPATH": str(copy)})
    assert said.code == 0, said.err
    assert "unknown" in said.out and "broken.toml" in said.out
    assert "1 + 2 = 3" in said.out


def test_wrong_figures_are_found(monkeypatch):
    """The self-test can fail: with a float32 network that computes something else."""
    true = selftest._figures
    monkeypatch.setattr(selftest, "_figures", lambda device, dtype: [x * (1 if x.itemsize == 8 else 1.01) for x in true(device, dtype)])  # fmt: skip
    assert selftest._computes("cpu").state == "warn"


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (25.3e9, "25.3 GB"), (4.2e15, "4,200 TB")])
def test_bytes_for_people(count, words):
    assert text.size(count) == words
