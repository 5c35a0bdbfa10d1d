"""Checkpoint files are read as torch's own loader reads them, and not at all when a part is missing."""

import collections

import numpy as np
import pytest
import torch

from stgcn_cli.errors import CheckpointError
from stgcn_cli.runs import archive


def contents() -> dict:
    base, weights = torch.arange(12.0).reshape(3, 4), torch.nn.Linear(3, 2).state_dict()
    state = {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 3)}}
    return {
        "state_dict": weights, "optimizer": {"state": state, "param_groups": [{"lr": 0.1, "params": [0]}]}, "views": [base.t(), base[1:], base[:, ::2]],
        "empty": torch.empty(0, 5), "bool": torch.tensor([True, False]), "half": torch.ones(3, dtype=torch.bfloat16),
        "number": torch.tensor(5), "meta": {"epoch": 3, "words": ("a", None, 0.5)},
    }  # fmt: skip


def is_same(ours: object, theirs: object) -> bool:
    """Equal in type, order, shape and every bit."""
    if isinstance(theirs, torch.Tensor):
        return isinstance(ours, torch.Tensor) and ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(is_same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list | tuple):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize("as_zip", [True, False])
def test_it_reads_what_torch_reads(tmp_path, as_zip):
    torch.save(contents(), tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
    assert is_same(archive.read(tmp_path / "x.pth"), torch.load(tmp_path / "x.pth", weights_only=True))


def test_arrays_and_parameters_become_plain_values(tmp_path):
    value = {"array": np.arange(3.0), "weight": torch.nn.Parameter(torch.ones(2)), "counts": collections.Counter("aab")}
    torch.save(value, tmp_path / "x.pth")
    read = archive.read(tmp_path / "x.pth")
    assert (
        read["array"].tolist() == [0, 1, 2]
        and type(read["weight"]) is torch.Tensor
        and read["counts"] == {"a": 2, "b": 1}
    )


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_file_that_was_cut_anywhere_is_damaged(tmp_path, as_zip):
    torch.save(contents(), tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
    whole = (tmp_path / "x.pth").read_bytes()
    for size in (*range(1, len(whole), 97), len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            archive.read(tmp_path / "cut.pth")
