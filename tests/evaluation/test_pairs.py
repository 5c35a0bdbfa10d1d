"""Two results of the same clips, against counts made by hand and the binomial distribution summed in fractions."""

from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation.pairs import mcnemar, pair
from stgcn_cli.evaluation.score import EvalResult


def result_of(predicted: str, labels: str, names: str) -> EvalResult:
    """A result of three classes from digits: one clip for each, a label - is hidden."""
    preset = presets.load("demo", ["model.num_classes=3"])
    scores = np.eye(3, dtype=np.float32)[[int(each) for each in predicted]]
    known = np.array([-1 if each == "-" else int(each) for each in labels])
    return EvalResult(preset, "val", scores, known, list(names), {})


def test_clips_are_joined_by_name_and_flips_are_counted():
    first = result_of("00112", "01012", "abcde")
    second = result_of("21120", "2110-", "edbaf")  # in another order, f without a label
    both = pair(first, second)
    assert both.names == ("a", "b", "d", "e") and both.only_one == 1
    assert [both.names[i] for i in both.gained] == ["b"] and [both.names[i] for i in both.lost] == ["a"]
    np.testing.assert_array_equal(both.class_changes(), [[1, 0], [0.5, 1], [1, 1]])


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (12, 3), (40, 61), (0, 30), (610, 700)])
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    flipped = gained + lost
    tail = sum(Fraction(comb(flipped, k), 2**flipped) for k in range(min(gained, lost) + 1))
    assert mcnemar(gained, lost) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-9)


def test_what_does_not_belong_together_is_refused():
    first = result_of("01", "01", "ab")
    with pytest.raises(DataError, match="no labelled clip in common"):
        pair(first, result_of("01", "01", "cd"))
    with pytest.raises(DataError, match="a is labelled 0 in one result and 1"):
        pair(first, result_of("01", "11", "ab"))
    with pytest.raises(DataError, match="3 and 2 classes"):
        pair(first, replace(first, scores=first.scores[:, :2]))
