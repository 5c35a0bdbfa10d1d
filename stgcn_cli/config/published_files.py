"""What is published, in a cache folder: weights, training logs and 2-D annotations; found, fetched, verified."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.config import catalog
from stgcn_cli.config.catalog import Annotations, Published
from stgcn_cli.errors import NetworkError, UsageError
from stgcn_cli.io.download import PAUSES_S, Wanted, fetch, problem
from stgcn_cli.io.own_files import cache_folder
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import nearest
from stgcn_cli.io.web import NotThere, checked_base

_MIB = 1 << 20
_MOST = {"weights": 1024 * _MIB, "log": 64 * _MIB, "annotations": 65_536 * _MIB}  # far above what is published


@dataclass(frozen=True)
class Item:
    """One published file. `kind` is "weights", "log" or "annotations"; `paths` lie below the base, likelier first."""

    kind: str
    name: str  # of the preset, or of the annotations
    paths: tuple[str, ...]
    sha256_prefix: str = ""
    base: str = catalog.BASE_URL
    file: str = ""  # its name in the cache, where that of the path is not its own

    def places(self, cache: Path) -> list[Path]:
        """Where it may lie in the cache."""
        folder = cache / (self.kind if self.kind != "log" else "logs")
        return list(dict.fromkeys(folder / (self.file or Path(path).name) for path in self.paths))

    def found(self, cache: Path) -> Path | None:
        """Where it lies in the cache, or None."""
        return next((place for place in self.places(cache) if place.is_file()), None)

    def wanted(self, path: str, cache: Path, base: str) -> Wanted:
        """One of its paths as something to fetch."""
        target = self.places(cache)[0].with_name(self.file or Path(path).name)
        is_pickle = self.kind == "annotations"
        return Wanted(f"{base}/{path}", target, _MOST[self.kind], self.sha256_prefix, is_pickle)


def weights_of(entry: Published) -> Item:
    """The checkpoint of a published system."""
    return Item("weights", entry.label, (entry.weights,), entry.sha256_prefix, entry.base, entry.file)


def log_of(entry: Published) -> Item | None:
    """The training log of a published system; None where it is not published."""
    return Item("log", entry.preset, entry.logs, base=entry.base) if entry.logs else None


def annotations_of(entry: Annotations) -> Item:
    """A published annotation pickle."""
    return Item("annotations", entry.name, (entry.path,))


def choose(names: Sequence[str], everything: bool, logs: bool, annotations: bool) -> list[Item]:
    """The files meant: of each system its weights, on request its log and its data set's 2-D annotations.

    The name of an annotation pickle means just that. Raises UsageError for an unknown name.
    """
    chosen: list[Item] = []
    for name in [entry.label for entry in catalog.PUBLISHED + catalog.PYSKL] if everything else names:
        entry, pickles = catalog.find(name), catalog.find_annotations(name)
        if not entry and not pickles:
            refuse_retired(name)
            if name in ("ntu60", "ntu120"):
                hint = f"`stgcn prepare {name}` says where to ask. Weights: stgcn download --list"
                raise UsageError(f"The data set {name} is not published: its owners give it away on request.", hint)
            known = [each.preset for each in catalog.PUBLISHED] + [each.name for each in catalog.ANNOTATIONS]
            raise UsageError(
                f"Nothing called {name!r} is published.{nearest(name, known)}", "See stgcn download --list"
            )
        if entry:
            log = log_of(entry) if logs else None
            chosen += [weights_of(entry), *([log] if log else [])]
        if annotations and not pickles and not everything:
            raise UsageError(
                f"The annotations of {name} are not published: its owners give the data away on request.",
                "`stgcn prepare` says where to ask.",
            )
        if pickles and (annotations or not entry):
            chosen += [annotations_of(each) for each in pickles]
    return list(dict.fromkeys(chosen))


def refuse_retired(name: str) -> None:
    """Raise UsageError when `name` is that of weights whose network is not built here, saying why."""
    if reason := catalog.RETIRED.get(name.removesuffix(".pth")):
        present = catalog.find(name.rpartition("-")[0])
        hint = f"The present ones: stgcn download {present.preset}" if present else ""
        raise UsageError(reason[0].upper() + reason[1:] + ".", hint)


def everything() -> list[Item]:
    """All published files this program knows of."""
    systems = [
        item for entry in catalog.PUBLISHED + catalog.PYSKL for item in (weights_of(entry), log_of(entry)) if item
    ]
    return systems + [annotations_of(entry) for entry in catalog.ANNOTATIONS]


def fetch_item(
    item: Item, cache: Path, base_url: str | None, reporter: Reporter, pauses: Sequence[float] = PAUSES_S
) -> Path:
    """The file in the cache, fetched where it is absent or damaged.

    Raises NetworkError, RunError (it cannot be written), or UsageError (an impossible `base_url`).
    """
    base, there = checked_base(base_url or item.base), item.found(cache)
    for path in item.paths:
        wanted = item.wanted(path, cache, base)
        if there and there != wanted.target:
            continue
        try:
            return fetch(wanted, reporter, pauses)
        except NotThere as error:
            absent = error
    raise absent


def fetch_all(
    items: Iterable[Item], cache: Path, base_url: str | None, reporter: Reporter
) -> tuple[list[tuple[Item, Path]], list[NetworkError]]:
    """Fetch one after the other; one that fails does not stop the others. Returns what is there and what went wrong."""
    fetched, failed = [], []
    for item in items:
        try:
            fetched.append((item, fetch_item(item, cache, base_url, reporter)))
        except NetworkError as error:
            failed.append(error)
    return fetched, failed


def cached_log(name: str, cache: Path | None = None) -> Path | None:
    """The published training log of a preset when it is in the cache, else None."""
    entry = catalog.find(name)
    log = log_of(entry) if entry else None
    return log.found(cache or cache_folder()) if log else None


def verdict(item: Item, cache: Path) -> tuple[bool, str]:
    """Whether the file in the cache is right, as far as is known, and in words how."""
    path = item.found(cache)
    if path is None:
        return True, "not in the cache"
    wrong = problem(path, item.wanted(path.name, cache, ""))
    if wrong:
        return False, wrong
    if item.sha256_prefix:
        return True, f"sha256 {item.sha256_prefix}… as published"
    return True, "not verifiable: no published hash"
