"""Folders of new runs."""

import pytest

from stgcn_cli.errors import RunError
from stgcn_cli.runs.folder import new_folder


def test_a_new_run_takes_the_first_free_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(new_folder(None, "x")) for _ in range(2)] == ["runs/x", "runs/x-2"]
    (tmp_path / "runs" / "x-3").symlink_to("nowhere")
    assert new_folder(None, "x").name == "x-4"


def test_a_file_called_runs_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with pytest.raises(RunError, match=r"^runs cannot be written: File exists"):
        new_folder(None, "x")
