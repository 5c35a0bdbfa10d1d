"""Devices, precision, processes and memory of a run."""

from typing import Literal, get_args

DEVICES = ("auto", "cpu", "cuda")
PrecisionName = Literal["auto", "float32", "tf32", "bf16", "float64"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
