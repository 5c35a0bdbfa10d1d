"""`stgcn report`: a run or results as one page."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from stgcn_cli.cli import console
from stgcn_cli.errors import UsageError


def report(
    sources: Annotated[
        list[Path], Argument(help="A run folder, or result files that describe themselves (eval --out X.npz).")
    ],
    out: Annotated[
        Path | None, Option(help="Default: report.html in the run folder, else beside the first result.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        Option("--data", metavar="PATH", help="Annotations to take example clips from; repeatable. Default: as then."),
    ] = None,
    open_it: Annotated[bool, Option("--open", help="Show it in the browser.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and the page's name.")] = False,
) -> None:
    """Make one page of a run: curves, confusions, clips.

    Example: stgcn report stgcn-demo/run
    """
    console.set_quiet(quiet)
    folders = [path for path in sources if path.is_dir()]
    if folders and len(sources) > 1:
        raise UsageError("A run folder makes a report by itself.", f"Type: stgcn report {folders[0]}")
    from stgcn_cli.evaluation import results
    from stgcn_cli.viz import report as reporting

    target = out or (folders[0] / "report.html" if folders else sources[0].with_suffix(".report.html"))
    if target.suffix not in (".html", ".htm"):
        raise UsageError(f"--out {target}: a report is a page.", f"For example: --out {target.with_suffix('.html')}")
    if folders:
        made = reporting.of_run(folders[0], data or (), console.reporter())
    else:
        made = reporting.of_results(
            [(path.stem, results.read(path)) for path in sources], data or (), console.reporter()
        )
    reporting.write(made, target)
    for remark in made.remarks:
        console.warn(remark)
    console.say(str(target))
    if open_it:
        import webbrowser

        webbrowser.open(target.resolve().as_uri())
