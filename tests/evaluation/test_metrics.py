import numpy as np
import pytest

from stgcn_cli.evaluation import metrics

CASES = [
    "all_classes", "classes_never_in_labels_but_predicted", "classes_never_in_labels_never_predicted",
    "three_classes_k5", "one_sample", "nan_inf",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_metrics_equal_the_reference(golden, case):
    with np.load(golden / "metrics" / "metrics.npz") as arrays:
        scores, labels = arrays[f"{case}/scores"], arrays[f"{case}/labels"]
        top1, top5, mean_class = arrays[f"{case}/top1_top5_mean"]
    measured = metrics.measure(scores, labels, ("top_k_accuracy", "mean_class_accuracy"))
    assert measured == {
        "top1_acc": top1, "top5_acc": top5, "mean_class_accuracy": pytest.approx(mean_class, abs=1e-15)
    }  # fmt: skip


def test_a_class_predicted_but_never_labelled_counts_as_zero():
    scores, labels = np.eye(3)[[0, 0, 2]], np.array([0, 0, 1])
    matrix = metrics.confusion(scores.argmax(1), labels, 3)
    assert metrics.mean_class(matrix) == pytest.approx(1 / 3)
    assert metrics.mean_class_labelled(matrix) == pytest.approx(1 / 2)


def test_top_5_of_three_classes_is_all():
    assert metrics.top_k(np.eye(3), np.array([2, 1, 0]), 5) == 1.0


@pytest.mark.parametrize(("classes", "shown"), [(3, ["top1_acc"]), (5, ["top1_acc"]), (6, ["top1_acc", "top5_acc"])])
def test_metrics_that_cannot_differ_are_left_out(classes, shown):
    assert list(metrics.informative({"top1_acc": 0.5, "top5_acc": 1.0}, classes)) == shown


def test_averaged_probabilities_of_a_confusion_are_shown_as_they_are():
    shares = np.array([[0.9, 0.1], [0.2, 0.8]])
    labels = np.array([1, 1])
    assert metrics.most_confused(shares, labels, 1)[0].probability == pytest.approx(0.9)
    assert metrics.most_confused(np.log(shares), labels, 1)[0].probability == pytest.approx(0.9)
