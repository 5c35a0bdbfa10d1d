"""Texts of strangers in tables."""

import csv
import io

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.evaluation import results
from stgcn_cli.evaluation.saved import read_saved
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.text import csv_cell, csv_text
from tests.factories.checkpoints import SMALL


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "  =1", "\t=1", "\r=1"])
def test_a_spreadsheet_computes_nothing(text):
    cell = csv_cell(text)
    assert cell[0] == "'" or cell[0] == "\N{REPLACEMENT CHARACTER}"
    assert not set(cell) & set("\r\n\t\x00\x1b")


def test_other_texts_stay():
    assert [csv_cell(text) for text in ("walk", "läuft, schnell", "a=b", "'x")] == [
        "walk",
        "läuft, schnell",
        "a=b",
        "'x",
    ]
    assert csv_text(csv_cell("=1")) == "=1" and csv_text("'x") == "'x"


def test_tables_of_results_hold_no_formula_and_are_read_back(tmp_path):
    preset = presets.load("ntu60-xsub-3d", (*SMALL, 'data.classes=["=cmd()", "b", "c"]'))
    scores = np.random.default_rng(0).normal(0, 1, (4, 3)).astype(np.float32)
    names = ["-x", "a\r=1", "c", "@d"]
    results.write(EvalResult(preset, "val", scores, np.array([0, 1, 2, -1]), names, {}), tmp_path / "r.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "r.csv").read_text("utf-8"))))
    texts = [cell for row in rows for cell in row if not cell.lstrip("-").replace(".", "").replace("e-", "").isdigit()]
    assert not [cell for cell in texts if cell.startswith(("=", "+", "-", "@"))]
    saved = read_saved(tmp_path / "r.csv")
    assert saved.names[0] == "-x" and saved.classes[0] == "=cmd()"
    np.testing.assert_allclose(saved.scores, scores, rtol=1e-5)
