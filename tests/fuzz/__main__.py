"""`python -m tests.fuzz TARGET [--inputs N] [--seed S] [--save FOLDER] [--json]`: exit code 1 when something was found."""

import argparse
import sys
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.targets import NAMES, find


def main() -> int:
    """One campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one target.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, default=Path("fuzz-findings"), help="where inputs are saved that crash")
    parser.add_argument("--here", action="store_true", help="in this process: for coverage")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    report = campaign.run(
        find(chosen.target),
        chosen.inputs,
        chosen.seed,
        chosen.save,
        lambda line: print(line, file=sys.stderr),
        chosen.here,
    )
    print(campaign.as_json(report) if chosen.json else "\n".join(campaign.lines_of(report)))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
