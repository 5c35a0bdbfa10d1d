"""Pictures show names as they stand in the file, whatever stands there."""

import warnings

import numpy as np

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
