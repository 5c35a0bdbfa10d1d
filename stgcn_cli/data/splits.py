"""The clips of a named split, out of one or several stores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.data.store import Store, open_store
from stgcn_cli.errors import DataError
from stgcn_cli.io.own_files import cache_folder
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest


@dataclass(frozen=True)
class Split:
    """The clips of a named split: indices into a store, in file order."""

    name: str
    store: Store
    indices: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(N,) class of each clip, -1 where hidden."""
        return self.store.labels[self.indices]

    def names(self, clips: Sequence[int]) -> list[str]:
        """Return the frame_dir of clips, given by their positions in the split."""
        return [self.store.names[self.indices[clip]] for clip in clips]


def open_stores(pickles: Iterable[Path], reporter: Reporter = SILENT, *, verify: bool = False) -> list[Store]:
    """Return the stores of the pickles, building those that do not exist; see `open_store`. Raises DataError, RunError."""
    with reporter.progress("verify the store" if verify else "read the annotations", None) as advance:
        return [open_store(path, cache_folder(), advance, note=reporter.warn, verify=verify) for path in pickles]


def find_split(stores: Sequence[Store], name: str, whole_lists: bool = False) -> Split:
    """Return the split `name`; with `whole_lists`, all clips of a single file of the list dialect.

    Raises DataError when the split is missing or empty.
    """
    for store in stores:
        indices = store.indices(name)
        if indices is None and whole_lists and len(stores) == 1 and not store.has_splits:
            indices = np.arange(len(store))
        if indices is not None:
            if len(indices) == 0:
                raise DataError(f"{store.source}: the split {name!r} has no clips.")
            return Split(name, store, indices)
    raise _no_split(stores, name)


def _no_split(stores: Sequence[Store], name: str) -> DataError:
    files = ", ".join(str(store.source) for store in stores)
    known = [split for store in stores for split in store.splits]
    if known:
        hint = (
            f"It has {', '.join(known)}.{nearest(name, known)} Choose one with --set data.train=NAME --set data.val=NAME; "
            "for eval: --split NAME"
        )
        return DataError(f"{files}: split {name!r} not found.", hint)
    hint = (
        "A list of records is one split, named in the file's name: give a file with train and one with val in its name."
    )
    return DataError(f"{files}: split {name!r} cannot be identified.", hint)
