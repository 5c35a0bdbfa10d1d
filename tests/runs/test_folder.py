"""Folders of new runs."""

import pytest

from stgcn_cli.errors import RunError, UsageError
from stgcn_cli.runs.folder import held, new_folder


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


@pytest.mark.parametrize("name", ["best.pth", "learning_curve.png", "best.confusion.csv"])
def test_a_run_writes_through_no_link(tmp_path, name):
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(UsageError, match="is a symbolic link"), held(tmp_path):
        pass
