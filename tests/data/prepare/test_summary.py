import json

import pytest

from stgcn_cli.data.prepare.options import PrepareSummary
from stgcn_cli.errors import DataError


@pytest.fixture
def summary(tmp_path):
    return PrepareSummary(
        dataset="x", official={"train": 3}, members={"train": [], "val": []}, outputs=["x.pkl"],
        report=str(tmp_path / "x.report.json"), found_sizes={"train": 0, "val": 0},
    )  # fmt: skip


def test_records_are_counted_once_and_entered_in_every_split(summary):
    summary.keep("a", 2, ["train"], frames=5, empty=False)
    summary.keep("a", 1, ["train"], frames=7, empty=True)
    summary.keep("b", None, ["val"], frames=1, empty=False)
    summary.enter("b", ["train"])
    assert (summary.clips, summary.frames, summary.census.classes, summary.census.labels[-1]) == (3, 13, 2, 1)
    assert summary.members == {"train": ["a", "a", "b"], "val": ["b"]} and summary.empty_clips == ["a"]
    assert summary.census.several_labels == {"a": [1, 2]}


def test_bad_clips_count_as_found_but_not_as_kept(summary):
    summary.keep("a", 0, ["train"], frames=1, empty=False)
    summary.drop("b", "damaged", ["train"])
    assert summary.split_sizes["train"] == 1 and summary.found_sizes["train"] == 2
    assert any("train has 2 clips, officially 3" in warning for warning in summary.warnings)


def test_too_many_bad_clips_are_refused_and_only_the_report_is_written(summary, tmp_path):
    summary.keep("a", 0, ["train"], frames=1, empty=False)
    summary.drop("b", "damaged")
    summary.check_bad([tmp_path], 0.5)
    with pytest.raises(DataError, match=r"1 of 2 records are bad.*The first: b: damaged"):
        summary.check_bad([tmp_path], 0.49)
    report = json.loads((tmp_path / "x.report.json").read_text())
    assert report["outputs"] == [] and report["set_aside"] == [["b", "damaged"]]
