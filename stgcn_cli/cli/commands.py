"""Command classes: short metavars in help, and answers to other programs' spellings of commands and options."""

import dataclasses

from typer._click.exceptions import NoSuchOption, UsageError
from typer.core import TyperCommand, TyperGroup, TyperOption

_METAVARS = {
    "<int>": "N", "<int range>": "N", "<float>": "X", "<float range>": "X", "<path>": "PATH", "<file>": "PATH",
    "<str>": "NAME", "<list[path]>": "PATH", "<list[str]>": "NAME",
}  # fmt: skip
_COMMANDS = {  # of other programs
    "test": "eval", "val": "eval", "evaluate": "eval", "validate": "data validate", "infer": "predict",
    "inference": "predict", "detect": "predict", "convert": "data convert", "inspect": "data inspect", "merge": "data merge",
    "visualize": "view", "show": "view", "plot": "report", "list": "presets", "benchmark": "bench", "version": "--version",
}  # fmt: skip
_OPTIONS = {  # of other programs
    "--learning-rate": "--lr", "--num-epochs": "--epochs", "--max-epochs": "--epochs", "--bs": "--batch-size",
    "--batch": "--batch-size", "--config": "--preset", "--cfg": "--preset", "--model": "--preset",
    "--project": "--work-dir", "--output-dir": "--work-dir", "--save-dir": "--work-dir", "--amp": "--precision bf16",
    "--fp16": "--precision bf16", "--half": "--precision bf16", "--cpu": "--device cpu", "--cuda": "--device cuda",
    "--ngpus": "--gpus", "--num-gpus": "--gpus", "--weights": "--load-from", "--pretrained": "--load-from",
    "--output": "--out", "--save": "--out", "--dataset": "--data", "--ann-file": "--data", "--topk": "--top-k",
    "--early-stopping": "--patience", "--imgsz": "--image-size", "--conf": "--min-score",
}  # fmt: skip


class Command(TyperCommand):
    """A command whose unknown options are answered with what they are called here."""

    def parse_args(self, ctx, args):
        """Parse the words of the command line. Raises UsageError."""
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.metavar is None and not parameter.is_flag:
                parameter.metavar = _METAVARS.get(parameter.display_type(ctx))
        try:
            return super().parse_args(ctx, args)
        except NoSuchOption as error:
            known = {name for parameter in self.params for name in parameter.opts}
            if hint := option_hint(error.option_name, known):
                error.message, error.possibilities = f"{error.message}. {hint}", None
            raise


class Group(TyperGroup):
    """A group of commands that points from other programs' commands to its own."""

    def resolve_command(self, ctx, args):
        """Find the command. Raises UsageError."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if args and ctx.parent is None and args[0] in _COMMANDS:
                error.message = f"No such command '{args[0]}'. Use: stgcn {_COMMANDS[args[0]]}"
            raise


def option_hint(name: str, known: set[str]) -> str:
    """Return what an unknown option is called in a command with the options `known`; "" where that is not clear."""
    if name in ("--workers", "--num-workers"):
        return "It is not needed: batches are gathered from memory, without worker processes."
    here = _OPTIONS.get(name, name)
    if here.split()[0] in known and here != name:
        return f"Use {here}"
    if "--set" not in known:
        return ""
    word = (here if here != name else name).lstrip("-").replace("-", "_")
    return " or ".join(f"Use --set {key}=VALUE" for key in _preset_keys() if key.partition(".")[2] == word)


def _preset_keys() -> list[str]:
    from stgcn_cli.config.schema import Preset

    sections = {field.name: field.type for field in dataclasses.fields(Preset) if dataclasses.is_dataclass(field.type)}
    return [f"{name}.{field.name}" for name, section in sections.items() for field in dataclasses.fields(section)]  # type: ignore[arg-type]
