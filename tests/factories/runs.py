"""Two runs compared: all tensors of all checkpoints to the bit, the log in all but time, speed and memory."""

import json
from pathlib import Path

import torch

from stgcn_cli.runs import history

_MAY_DIFFER = ("time", "data_time", "memory")


def state_of(folder: Path) -> tuple[dict[str, object], list[dict]]:
    """The checkpoints (but the history) and the log of a run, without what may differ."""
    names = [path.name for path in sorted(folder.glob("*.pth")) if path.name not in history.KEPT[1:]]
    checkpoints = {name: torch.load(folder / name, weights_only=True) for name in names}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{k: v for k, v in line.items() if k not in _MAY_DIFFER} for line in lines if line["mode"] != "resumed"]
    return checkpoints, log


def assert_equal(calm: Path, shaken: Path, by_signals: bool = False) -> None:
    """Fails, naming the first difference.

    `by_signals`: the run was stopped by signals, which add a record to the log at the step where they stop, so that the next
    record covers fewer steps: epochs and validations are compared, and that no interval is lost.
    """
    (ours, our_log), (theirs, their_log) = state_of(calm), state_of(shaken)
    assert list(ours) == list(theirs)
    for name in ours:
        _assert_same(ours[name], theirs[name], name)
    if by_signals:
        assert {_place(line) for line in our_log} <= {_place(line) for line in their_log}
        our_log, their_log = ([line for line in log if line["mode"] != "train"] for log in (our_log, their_log))
    assert our_log == their_log


def _place(line: dict) -> tuple:
    return line["mode"], line["epoch"], line.get("iter")


def _assert_same(one: object, two: object, where: str) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            _assert_same(one[key], two[key], f"{where} {key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            _assert_same(a, b, f"{where}[{index}]")
    else:
        assert one == two, where
