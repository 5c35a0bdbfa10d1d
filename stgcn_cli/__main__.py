"""The program: `stgcn` and `python -m stgcn_cli` start here."""

import sys


def main() -> None:
    """Run the program; Ctrl-C while its modules are imported is answered as later, without a traceback."""
    try:
        from stgcn_cli.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("Error: Interrupted. Everything completed is kept.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
