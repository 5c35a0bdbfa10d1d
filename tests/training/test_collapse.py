from dataclasses import replace

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.training.monitor import CollapseWarning

PRESET = presets.load("ntu60-xsub-3d", ["model.num_classes=3", 'data.classes=["a","b","c"]'])
LABELS = np.arange(30) % 3


def result(answers):
    return EvalResult(PRESET, "val", np.eye(3, dtype=np.float32)[answers], LABELS, list(map(str, range(30))), {})


def warnings(*validations):
    said = []
    watch = CollapseWarning(said.append)
    for each in validations:
        watch.look_at(each)
    return said


def test_three_validations_on_one_class_are_warned_about_once():
    stuck = result(np.full(30, 1))
    assert len(warnings(*[stuck] * 5)) == 1 and "'b'" in warnings(*[stuck] * 3)[0]


def test_a_working_run_is_not_warned_about():
    stuck, moved, works = result(np.full(30, 1)), result(np.full(30, 2)), result(LABELS)
    assert not warnings(stuck, stuck, works, stuck, stuck)
    assert not warnings(stuck, moved, stuck, moved)
    hidden = replace(stuck, labels=np.full(30, -1))
    assert not warnings(hidden, hidden, hidden)
    one = replace(stuck, labels=np.full(30, 1))
    assert not warnings(one, one, one)
