"""`stgcn data`: one's own data, from files of any kind to an annotation pickle that trains."""

import typer

from stgcn_cli.commands.data_convert import convert, merge
from stgcn_cli.commands.data_inspect import inspect
from stgcn_cli.commands.data_validate import validate

data = typer.Typer(
    help="Your own skeletons: inspect, check, convert, merge.\n\nExample: stgcn data convert clips/ --classes folders --out own.pkl",
    no_args_is_help=True,
)
data.command("inspect")(inspect)
data.command("validate")(validate)
data.command("convert")(convert)
data.command("merge")(merge)
