"""Which of the listed files are clips of a data set, and what becomes of the others. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stgcn_cli.data.ntu_names import NTU, NtuDataset, missing_samples, parse_name
from stgcn_cli.data.sources import Entry, Listing
from stgcn_cli.errors import UsageError
from stgcn_cli.wording import nearest

_ALSO_KNOWN = {"xsetup": "xset", "cross-subject": "xsub", "cross-view": "xview", "cross-setup": "xset"}


@dataclass
class Plan:
    """The clips to read, in order, and what is not read. (file, reason) for what is set aside."""

    clips: list[Entry] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    bad: int = 0  # of those set aside, how many have an NTU name and count as bad
    missing_dropped: int = 0
    left_out: int = 0


def choose(dataset: str, benchmarks: Sequence[str] | None) -> NtuDataset:
    """The data set of that name with these benchmarks (None: all); raises UsageError with the nearest known name."""
    if dataset not in NTU:
        raise UsageError(f"There is no data set {dataset!r}.{nearest(dataset, list(NTU))}", f"Known: {', '.join(NTU)}.")
    kind = NTU[dataset]
    wanted = list(kind.benchmarks) if benchmarks is None else [_ALSO_KNOWN.get(name, name) for name in benchmarks]
    for name in wanted:
        if name not in kind.benchmarks:
            known = list(kind.benchmarks)
            raise UsageError(
                f"{dataset} has no benchmark {name!r}.{nearest(name, known)}", f"It has {', '.join(known)}."
            )
    if not wanted:
        raise UsageError("--splits names no benchmark.", f"{dataset} has {', '.join(kind.benchmarks)}.")
    return replace(kind, benchmarks={name: rule for name, rule in kind.benchmarks.items() if name in wanted})


def make_plan(kind: NtuDataset, listing: Listing) -> Plan:
    """Every listed file in its place. Setups beyond the data set's last are counted and left out."""
    plan = Plan(set_aside=[*listing.foreign, *listing.duplicates])
    for entry in listing.entries:
        name = parse_name(entry.name)
        if name is None:
            plan.set_aside.append((entry.place, "its name is not an NTU sample name like S001C002P003R002A013"))
        elif name.setup > kind.last_setup:
            plan.left_out += 1
        elif entry.name in missing_samples():
            plan.missing_dropped += 1
        elif not 1 <= name.action <= kind.classes:
            plan.set_aside.append((entry.place, f"action {name.action} is none of the {kind.classes} of {kind.name}"))
            plan.bad += 1
        else:
            plan.clips.append(entry)
    return plan
