"""The published result beside the measured one."""

import dataclasses

import pytest

from stgcn_cli.config import presets
from stgcn_cli.evaluation import compare

NTU, WFL = presets.load("ntu60-xsub-3d"), presets.load("babel60-wfl")


@pytest.mark.parametrize(
    ("top1", "verdict"),
    [(0.8461, "within"), (0.8511, "within"), (0.8512, "above"), (0.8411, "within"), (0.841, "below")],
)
def test_the_verdict_has_a_tolerance_of_half_a_point(top1, verdict):
    found = compare.with_published(NTU, "xsub_val", 16_487, 60, {"top1_acc": top1, "top5_acc": 1.0})
    (one,) = found.metrics
    assert (one.verdict, one.published, found.differs) == (verdict, 0.8461, ())


def test_both_published_metrics_are_compared():
    found = compare.with_published(WFL, "val", 100, 60, {"top1_acc": 0.4031, "mean_class_accuracy": 0.2})
    assert [(m.metric, m.verdict) for m in found.metrics] == [("top1_acc", "within"), ("mean_class_accuracy", "below")]


def test_differences_from_the_published_run_are_reported():
    changed = dataclasses.replace(NTU, optim=dataclasses.replace(NTU.optim, lr=0.05))
    said = compare.with_published(changed, "xsub_val", 33, 5, {}).differs
    assert said == (
        "33 labelled clips, officially 16,487", "5 classes have clips, of 60", "optim.lr = 0.05, published 0.1",
    )  # fmt: skip
    (said,) = compare.with_published(NTU, "xview_val", 33, 60, {}).differs
    assert said == "the split is xview_val, published on xsub_val"
    counted = dataclasses.replace(WFL, loss=dataclasses.replace(WFL.loss, class_counts=(1,) * 60))
    (said,) = compare.with_published(counted, "val", 9, 60, {}).differs
    assert said.startswith("loss.class_counts = (1, 1") and "published (518, 1993" in said


def test_a_preset_of_ones_own_has_nothing_to_be_compared_with():
    assert compare.with_published(presets.load("demo"), "xsub_val", 9, 5, {"top1_acc": 1.0}) is None
