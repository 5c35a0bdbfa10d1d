"""Annotation pickles made from small raw data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.data.prepare.babel import prepare_babel
from stgcn_cli.data.prepare.hrnet import prepare_hrnet
from stgcn_cli.data.prepare.ntu import prepare_ntu
from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary
from stgcn_cli.io.reporter import SILENT, Reporter


def prepare(
    dataset: str, sources: Sequence[Path], out: Path, reporter: Reporter = SILENT, **options: Any
) -> PrepareSummary:
    """What `stgcn prepare` does, as a function."""
    make = prepare_babel if dataset.startswith("babel") else prepare_hrnet if dataset.endswith("-2d") else prepare_ntu
    return make(PrepareOptions(dataset=dataset, sources=sources, out=out, **options), reporter)
