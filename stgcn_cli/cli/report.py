"""`stgcn report`: a run or results as one page."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import DataError
from stgcn_cli.io.files import is_stream
from stgcn_cli.io.outputs import OutputRule, expect_suffix


def report(
    sources: Annotated[list[Path], Argument(help="A run folder or a result (eval --out X.npz); several are compared.")],
    out: Annotated[
        Path | None, Option(help="Default: report.html in the run folder, beside a result, or comparison.html.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        Option("--data", help="Annotations to take example clips from; repeatable. Default: the data of the run."),
    ] = None,
    format: Annotated[
        Literal["png", "svg", "pdf"] | None,
        Option("--format", help="Also write learning curve and confusion matrices as figures beside the page."),
    ] = None,
    open_it: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page about a run, or one that compares runs.

    Example: stgcn report stgcn-demo/run
    """
    options.check_there(DataError, sources, "Give a run folder, or a result: stgcn eval CHECKPOINT --out FILE")
    folders = [path for path in sources if path.is_dir()]
    if len(sources) > 1:
        target = out or Path("comparison.html")
    else:
        target = out or (folders[0] / "report.html" if folders else sources[0].with_suffix(".report.html"))
    expect_suffix(target, (".html", ".htm"))
    console.set_results_aside(out)
    inputs = [*(path for path in sources if path.is_file()), *(path for path in data or () if path.is_file())]
    rule = OutputRule(inputs=inputs, command="report", force=force)
    target = rule.place(target)
    from stgcn_cli.evaluation.results import read
    from stgcn_cli.viz import plots
    from stgcn_cli.viz.figures import report_figures
    from stgcn_cli.viz.html.page import write_page
    from stgcn_cli.viz.html.report import report_page
    from stgcn_cli.viz.report import of_results, of_run, of_several

    if len(sources) > 1:
        content = of_several(sources, data or (), console.reporter())
    elif folders:
        content = of_run(folders[0], data or (), console.reporter())
    else:
        content = of_results([(sources[0].stem, read(sources[0]))], data or (), console.reporter())
    folder = Path() if is_stream(target) else target.parent
    figures = report_figures(content, folder, format) if format else {}
    rule.check(*figures)
    write_page(target, report_page(content))
    for path, figure in figures.items():
        plots.save(figure, path, "stgcn report")
        console.note(f"Wrote {path}")
    for remark in content.remarks:
        console.warn(remark)
    console.say(str(target))
    if open_it:
        console.open_in_browser(target)
