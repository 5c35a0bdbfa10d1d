"""Where new annotation pickles and their preset go, and that nothing is there yet."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.skeleton import Layout
from stgcn_cli.wording import nearest, one_line

DIALECTS = ("one", "list")
_SUFFIXES = (".pkl", ".pickle")
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # what may become a part of a file's name
_USUAL = ("train", "val")


@dataclass(frozen=True)
class Target:
    """Where the clips go."""

    out: Path
    dialect: str = "one"  # one file with all splits, or a list for each: OUT_train.pkl, OUT_val.pkl
    preset: bool = True
    force: bool = False
    layout: Layout | None = None

    @property
    def preset_path(self) -> Path:
        """OUT.toml beside OUT.pkl."""
        return self.out.with_suffix(".toml")

    def check(self, inputs: Sequence[Path]) -> None:
        """Raises UsageError when the output cannot go there, before anything is read."""
        if self.dialect not in DIALECTS:
            close = nearest(self.dialect, DIALECTS)
            raise UsageError(f"There is no --format {self.dialect!r}.{close}", f"Known: {', '.join(DIALECTS)}.")
        if self.out.is_dir():
            raise UsageError(f"{self.out} is a folder.", f"Give a file: --out {self.out / 'own.pkl'}")
        if self.out.suffix not in _SUFFIXES:
            raise UsageError(f"--out {self.out} is no .pkl file.", f"For example: --out {self.out.with_suffix('.pkl')}")
        read = {path.resolve() for path in inputs}
        for path in self.paths(_USUAL).values():
            if path.resolve() in read:
                raise UsageError(f"{path} is an input.", "Give another place with --out.")
        self._check_free([*self.paths(_USUAL).values(), *([self.preset_path] if self.preset else [])])

    def paths(self, splits: Iterable[str]) -> Mapping[str, Path]:
        """Where each split goes; "" for a file that holds them all. Raises DataError for one that no file can be called."""
        if self.dialect == "one":
            return {"": self.out}
        for split in splits:
            if not _SPLIT.fullmatch(split):
                said = f"The split {one_line(split)[:80]!r} cannot become a part of a file's name."
                raise DataError(said, "Keep one file: --format one")
        return {split: self.out.with_stem(f"{self.out.stem}_{split}") for split in splits}

    def checked_paths(self, splits: Iterable[str]) -> Mapping[str, Path]:
        """The same, none of which is there yet. Raises UsageError besides."""
        paths = self.paths(splits)
        self._check_free(paths.values())
        return paths

    def _check_free(self, paths: Iterable[Path]) -> None:
        if not self.force and (there := [str(path) for path in paths if path.exists()]):
            raise UsageError(f"{' and '.join(there)} would be written over.", "Choose another --out, or add --force.")
