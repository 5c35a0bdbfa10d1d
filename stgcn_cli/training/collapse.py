"""A run that has collapsed: whatever is shown, the answer is one class."""

from collections.abc import Callable

import numpy as np

from stgcn_cli.config import class_names
from stgcn_cli.evaluation.score import EvalResult

_SHARE, _VALIDATIONS = 0.95, 3  # of the predictions; in a row


class CollapseWarning:
    """Warn once when validations in a row stay on one class, though the clips have several."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn, self.answer, self.count = warn, -1, 0

    def look_at(self, result: EvalResult) -> None:
        """Count a validation."""
        known = result.labelled
        if not len(known.labels):
            return
        answer, share = _commonest(known.scores.argmax(1))
        if share < _SHARE or _commonest(known.labels)[1] >= _SHARE:
            self.count = 0
            return
        self.count = self.count + 1 if answer == self.answer else 1
        self.answer = answer
        if self.count == _VALIDATIONS:
            name = class_names.class_names(result.preset)[answer]
            self.warn(
                f"{100 * share:.0f} % of the validation clips have been classified as {name!r} in {self.count} validations: the "
                "training may have collapsed. A lower rate often helps: --lr, or optim.warmup_epochs."
            )


def _commonest(classes: np.ndarray) -> tuple[int, float]:
    """The most frequent class, and its share."""
    counts = np.bincount(classes)
    return int(counts.argmax()), float(counts.max() / len(classes))
