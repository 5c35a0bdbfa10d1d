"""Command classes: short metavars in help, and answers to other programs' spellings of commands and options."""

import dataclasses
import re
from collections.abc import Sequence

from typer._click.exceptions import MissingParameter, NoSuchOption, UsageError
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from stgcn_cli.config.choices import METRICS
from stgcn_cli.io.text import nearest

_METAVARS = {  # of types in help
    "int": "N", "int range": "N", "float": "X", "float range": "X", "Path": "PATH", "path": "PATH", "file": "PATH",
    "str": "NAME", "list[Path]": "PATH", "list[path]": "PATH", "list[str]": "NAME",
}  # fmt: skip
_COMMANDS = {  # of other programs
    "test": "eval", "val": "eval", "evaluate": "eval", "validate": "data validate", "infer": "predict",
    "inference": "predict", "detect": "predict", "convert": "data convert", "inspect": "data inspect", "merge": "data merge",
    "visualize": "view", "show": "view", "plot": "report", "list": "presets", "benchmark": "bench", "version": "--version", "help": "--help",
}  # fmt: skip
_OPTIONS = {  # of other programs
    "--learning-rate": "--lr", "--num-epochs": "--epochs", "--max-epochs": "--epochs", "--bs": "--batch-size",
    "--batch": "--batch-size", "--config": "--preset", "--cfg": "--preset", "--model": "--preset",
    "--project": "--work-dir", "--output-dir": "--work-dir", "--save-dir": "--work-dir", "--amp": "--precision bf16",
    "--fp16": "--half or --precision bf16", "--half": "--precision bf16", "--cpu": "--device cpu", "--cuda": "--device cuda",
    "--ngpus": "--gpus", "--num-gpus": "--gpus", "--weights": "--load-from", "--pretrained": "--load-from",
    "--output": "--out", "--save": "--out", "--dataset": "--data", "--ann-file": "--data", "--topk": "--top-k",
    "--early-stopping": "--patience", "--imgsz": "--image-size", "--conf": "--min-score",
}  # fmt: skip
_WORDS = (  # of messages about values
    ("^Value error, ", ""), ("Input should be a valid integer.*", "expected a whole number"),
    ("Input should be a valid number.*", "expected a number"), ("Input should be greater than or equal to", "expected at least"),
    ("Input should be less than or equal to", "expected at most"),
)  # fmt: skip


class Command(TyperCommand):
    """A command whose unknown options are answered with what they are called here."""

    def parse_args(self, ctx, args):
        """Parse the words of the command line. Raises UsageError."""
        for parameter in self.params:
            if parameter.metavar is None:
                parameter.metavar = _metavar(parameter, ctx)
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            known = {name for parameter in self.params for name in parameter.opts}
            if not isinstance(error, NoSuchOption):
                error.message = _reworded(error, known, self.help or "")
            elif hint := option_hint(error.option_name, known):
                error.message, error.possibilities = f"{error.message}. {hint}", None
            raise

    def format_options(self, ctx, formatter):
        """Write the sections of the help; arguments without their types."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [each.get_help_record(ctx) for each in self.get_params(ctx) if each.param_type_name == kind]
            if rows := [
                (name.partition(" <")[0] if kind == "argument" else name, text) for name, text in filter(None, records)
            ]:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx):
        """The words of the usage line: required arguments without braces."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


def _reworded(error: UsageError, known: set[str], help_text: str) -> str:
    """The message with what was expected and what to type."""
    if isinstance(error, MissingParameter):
        example = re.search(r"Example: (stgcn .*(?:\n.+)*)", help_text)
        return f"For example: {' '.join(example[1].split())}" if example else error.message
    if found := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message):
        is_data = "--data" in known and found[1].endswith((".pkl", "/"))
        return f"Unexpected argument: {found[1]}" + (f". Use --data {found[1]}" if is_data else "")
    message = error.message
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    chosen = re.match(r"'(.*?)' is not one of (.*)\.$", message)
    return message + nearest(chosen[1], re.findall(r"'(.*?)'", chosen[2])) if chosen else message


def _metavar(parameter, ctx) -> str | None:
    """What stands for the value of a parameter: N, X, PATH, NAME or its choices; of an argument its name."""
    if isinstance(parameter, TyperArgument):
        name = parameter.name.upper()
        return name.removesuffix("S") if parameter.nargs != 1 else name
    if not isinstance(parameter, TyperOption) or parameter.is_flag:
        return None
    shown = parameter.display_type(ctx).strip("<>")
    return _METAVARS.get(shown, shown)


class Group(TyperGroup):
    """A group of commands that points from other programs' commands to its own."""

    def resolve_command(self, ctx, args):
        """Find the command. Raises UsageError."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if args and ctx.parent is None and args[0] in _COMMANDS:
                error.message = f"No such command '{args[0]}'. Use: stgcn {_COMMANDS[args[0]]}"
            elif ctx.info_name == "presets" and "Did you mean" not in error.message:
                use = "stgcn presets" if args[0] in ("list", "ls") else f"stgcn presets show {args[0]}"
                error.message = f"No such command '{args[0]}'. Use: {use}"
            raise


def option_hint(name: str, known: set[str]) -> str:
    """Return what an unknown option is called in a command with the options `known`; "" where that is not clear."""
    if name in ("--workers", "--num-workers"):
        return "It is not needed: batches are gathered from memory, without worker processes."
    ours = _OPTIONS.get(name, name).split(" or ")
    here = next((each for each in ours if each.split()[0] in known), ours[-1])
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


# The command line as users of the reference type it: several values after one option.

_METRIC_OPTIONS = ("--eval", "--metrics")
_SETTING_OPTIONS = ("--cfg-options", "--set")


def join_values(argv: Sequence[str]) -> list[str]:
    """`--eval a b` becomes `--eval a,b`, `--cfg-options k=1 l=2` becomes two options, a lone `--resume` gets an empty value.

    A word is taken for a further value only when it is a metric's name (after `--eval`, `--metrics`) or holds `=`
    and is no option (after `--cfg-options`, `--set`), so a checkpoint that follows is never swallowed.
    """
    joined: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        joined.append(word)
        if word == "--":
            return joined + words
        if word == "--resume" and (not words or words[0].startswith("-")):
            joined.append("")  # its value may be absent
        elif word in _METRIC_OPTIONS and words:
            joined.append(",".join([words.pop(0), *_take(words, lambda w: w in METRICS)]))
        elif word in _SETTING_OPTIONS and words:
            joined.append(words.pop(0))
            for value in _take(words, lambda w: "=" in w and not w.startswith("-")):
                joined += [word, value]
    return joined


def _take(words: list[str], belongs) -> list[str]:
    taken = []
    while words and belongs(words[0]):
        taken.append(words.pop(0))
    return taken
