"""`stgcn doctor`: report about installation and machine."""

import dataclasses
from typing import Annotated

from typer import Option

from stgcn_cli.cli import console, options


def doctor(
    as_json: options.Json = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only problems.")] = False,
) -> None:
    """Check this installation and machine, for a bug report.

    Example: stgcn doctor
    """
    from stgcn_cli.diagnostics.doctor import examine

    found = dict(examine() if as_json or quiet else _shown(examine()))
    warnings = [finding for findings in found.values() for finding in findings if finding.advice]
    if as_json:
        report = {
            title: [dataclasses.asdict(each) | {"state": each.state} for each in findings]
            for title, findings in found.items()
        }
        console.print_json({"warnings": len(warnings)} | report)
        return
    if not quiet:
        console.gap()
    console.say("No problems found." if not warnings else f"{len(warnings)} problem{'s' * (len(warnings) > 1)}:")
    for finding in warnings:
        console.say(f"  {finding.name}: {finding.advice}")


def _shown(sections):
    """Print each section as soon as it is complete."""
    for title, findings in sections:
        console.say(title)
        width = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            console.say(f"  {finding.state:4}  {finding.name.ljust(width)}  {finding.value}")
        yield title, findings
