"""docs/own-data.md says what the program does."""

import re

import pytest

from stgcn_cli.config.skeletons import read_layout
from stgcn_cli.data.findings import EXPECTED
from stgcn_cli.data.readers import FORMATS
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import NAMES
from tests.cli.runner import ROOT


@pytest.fixture(scope="module")
def page():
    path = ROOT / "docs" / "own-data.md"
    if not path.is_file():
        pytest.skip("the documentation is not here")
    return path.read_text("utf-8")


def block(page, language):
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1]


def test_the_csv_and_the_skeleton_shown_can_be_read(page, tmp_path):
    (tmp_path / "a.csv").write_text(block(page, "csv"))
    (found,) = read_inputs([str(tmp_path / "a.csv")])
    assert found.record["keypoint"].shape == (1, 2, 2, 2) and not found.record["keypoint"][0, 1].any()
    (tmp_path / "hand.toml").write_text(block(page, "toml"))
    assert len(read_layout(tmp_path / "hand.toml").bones) == 4


def test_every_format_column_and_key_is_described(page):
    assert all(f"| `{name}` |" in page for name in FORMATS)
    by_looks = page.partition("## Your file is")[2].partition("## ")[0]
    assert set(re.findall(r"\(`(\w+)`\) \|", by_looks)) == FORMATS.keys()
    assert all(f"`{key}`" in page for key in EXPECTED.keys() - {"record", "split"})
    header = "clip,frame,person,joint,x,y[,z][,score][,label][,subject]"
    assert f"\n{header}\n" in page and set(re.findall(r"\w+", header)) <= NAMES["columns"].keys()
