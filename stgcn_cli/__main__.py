"""``python -m stgcn_cli`` is the same program as ``stgcn``."""

from stgcn_cli.cli.app import main

main()
