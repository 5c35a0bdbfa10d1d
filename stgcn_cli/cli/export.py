"""`stgcn export`: a model for other programs, as ONNX or torch.export's .pt2."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from stgcn_cli.cli import console, options
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.text import size

if TYPE_CHECKING:
    from stgcn_cli.evaluation.export import Exported


def export(
    checkpoint: options.Checkpoint,
    out: Annotated[Path, Option(help="The file to write: .onnx, or .pt2 for torch.export.load.")],
    half: Annotated[bool, Option("--half", help="Weights and arithmetic in float16 (.onnx).")] = False,
    int8: Annotated[bool, Option("--int8", help="Weights in 8 bits, by dynamic quantisation (.onnx).")] = False,
    data: Annotated[
        list[Path] | None,
        Option("--data", help="Also compare on these clips, and measure the loss of accuracy."),
    ] = None,
    split: Annotated[
        str | None, Option(help="Split to compare on. Default: the validation split of the preset.")
    ] = None,
    preset: options.Preset = None,
    settings: options.Settings = None,
    base_url: options.BaseUrl = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model for ONNX Runtime or torch.export.

    Example: stgcn export stgcn-demo/run/best.pth --out model.onnx
    """
    from stgcn_cli.runs.resolve import EvalOptions, require

    require(checkpoint)
    from stgcn_cli.evaluation.export import ExportOptions, write

    model = EvalOptions(
        checkpoint=checkpoint, preset=preset, settings=tuple(settings or ()), data=tuple(data or ()), split=split,
        base_url=base_url, device="cpu",
    )  # fmt: skip
    console.set_results_aside(out)
    out = OutputRule(inputs=options.with_preset(checkpoint, preset, *(data or [])), force=force).place(out)
    written = write(ExportOptions(model=model, out=out, half=half, int8=int8), console.reporter())
    if as_json:
        console.print_json(written.as_dict())
    else:
        _render(written)


def _render(written: "Exported") -> None:
    rows: list[list[object]] = [["size", size(written.size)], ["weights", written.kind]]
    rows += [[f"input {name}", " ".join(map(str, shape))] for name, shape in written.inputs.items()]
    rows.append(["largest difference, random clips", f"{written.difference_random:.2g}"])
    if written.difference_real is not None:
        rows.append([f"largest difference, {written.real_clips:,} real clips", f"{written.difference_real:.2g}"])
    else:
        rows.append(["largest difference, real clips", "not measured: --data PATH"])
    if written.accuracy is not None and written.accuracy_torch is not None:
        lost = 100 * (written.accuracy_torch - written.accuracy)
        rows.append(["top-1 accuracy", f"{100 * written.accuracy:.2f} % (torch {100 * written.accuracy_torch:.2f} %)"])
        rows.append(["accuracy lost", f"{lost:.2f} points"])
    console.table(str(written.path), ["", ""], rows)
