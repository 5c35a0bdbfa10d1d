"""Pictures show names as they stand in the file, whatever stands there."""

import warnings

import numpy as np
import pytest

from stgcn_cli.viz import plots


def drawn(tmp_path, name: str) -> bytes:
    """The confusion matrix of one class of this name, as PNG; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(plots.confusion_matrix(np.array([[3]]), [name], "a title"), tmp_path / "x.png")
    return (tmp_path / "x.png").read_bytes()


def test_a_dollar_sign_is_no_formula(tmp_path):
    assert drawn(tmp_path, r"hand $\frac$ out")  # as a formula it would be an error
    assert len({drawn(tmp_path, name) for name in ("pay 1", "pay $1$", r"pay \$1\$")}) == 3


def test_what_no_font_has_is_replaced(tmp_path):
    assert drawn(tmp_path, "a\x1b[31m\x07\u202eb\nc") == drawn(tmp_path, "a\ufffd[31m\ufffd\ufffdb\ufffdc")


@pytest.mark.parametrize(("rates", "marked"), [([0.1] * 4 + [0.01] * 4, 1), (list(np.linspace(0.1, 0, 8)), 0)])
def test_steps_of_the_learning_rate_are_marked_and_a_cosine_is_not(rates, marked):
    records = [{"mode": "epoch", "epoch": e, "lr": r, "loss": 1.0, "top1_acc": 0.5} for e, r in enumerate(rates, 1)]
    texts = [text.get_text() for axis in plots.curves(records, "").axes for text in axis.texts]
    assert sum("learning rate" in text for text in texts) == marked
