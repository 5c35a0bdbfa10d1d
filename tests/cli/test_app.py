"""The program as a whole: quick to answer, plain when piped, clear when it fails."""

import contextlib
import re
import resource
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from stgcn_cli import __main__, __version__
from stgcn_cli.cli import console
from stgcn_cli.cli.app import app
from tests.cli.runner import ROOT, environment
from tests.reliability.writing import COMMANDS, WRITE_NOTHING

HEAVY = {"torch", "numpy", "pandas", "matplotlib"}


def test_nothing_heavy_is_imported_for_help():
    code = "import stgcn_cli.cli.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_argument_mistakes_are_answered_without_torch():
    mistakes = (
        "train --preset nope", "train demo --set optim.lrr=3", "eval no.pth", "predict no.pth no.npy", "fuse a.pkl b.pkl",
        "report nope", "checkpoint inspect no.pth", "checkpoint convert no.pth out.pth", "bench --preset nope",
        "bench --export --preset nope", "view no.npy", "data convert no --out a.pkl", "data validate no.pkl", "prepare ntu61",
    )  # fmt: skip
    code = f"""
import sys
from stgcn_cli.cli.app import main
for words in {mistakes!r}:
    sys.argv = ["stgcn", *words.split()]
    try:
        main()
    except SystemExit as ended:
        print(words, ended.code in (2, 3, 4), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines() == [f"{words} True False" for words in mistakes], done.stderr


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("prepare", "--help"), ("eval", "--help")])
def test_help_has_an_example_and_answers_at_once(stgcn, words):
    said = stgcn(*words)
    assert said.code == 0
    assert "stgcn" in said.out


def test_help_takes_less_than_0_4_seconds(stgcn):
    """Processor time, the best of five: the machine may be busy, the program must not be slow."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(5):
        before = spent()
        stgcn("--help")
        times.append(spent() - before)
    assert min(times) < 0.4, times


def test_version(stgcn):
    assert stgcn("--version").out.strip() == f"stgcn {__version__}"


def test_an_unknown_command_is_reported(stgcn):
    said = stgcn("trian")
    assert said.code == 2 and "trian" in said.err


def test_completion_is_there(stgcn):
    said = stgcn("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert said.code == 0 and "complete -o default -F" in said.out


@pytest.mark.parametrize(("typed", "offered"), [
    ("stgcn tr", ["train"]), ("stgcn train --preset ntu60-xsub-2d-s", ["ntu60-xsub-2d-stgcnpp"]),
    ("stgcn prepare babel", ["babel60", "babel120"]), ("stgcn train --device c", ["cpu", "cuda"]),
    ("stgcn view --layout o", ["openpose-18", "openpose-25"]), ("stgcn data convert --from n", ["npy", "npz"]),
    ("stgcn eval babel120-w", ["babel120-wfl", "babel120-wfl-agcn"]),
    ("stgcn eval ", []), ("stgcn train --preset my", []),  # the shell offers files
])  # fmt: skip
def test_the_shell_completes_names_the_program_knows(stgcn, typed, offered):
    words = {
        "_STGCN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed.replace(" ", "\n"),
        "COMP_CWORD": str(typed.count(" ")),
    }
    assert stgcn(env=words).out.split() == offered


def test_no_control_characters_of_a_file_reach_the_terminal(stgcn, tmp_path):
    demo = (ROOT / "presets" / "demo.toml").read_text()
    (tmp_path / "x.toml").write_text(demo.replace("clip_len", '"\\u001b[31mred"'))
    said = stgcn("presets", "show", "x.toml")
    assert said.code == 2 and "red" in said.err and "\x1b" not in said.err


def test_the_version_stands_in_one_place_and_constraints_pin_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in pins and all("==" in pin for pin in pins if pin and not pin.startswith("#"))


def test_constraints_pin_all_that_an_installation_brings():
    """What stgcn and its extras ask for, what that asks for, and so on, by the metadata of what is installed."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {plain(line.partition("==")[0]) for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    seen = {"stgcn"}
    while todo:
        asked = Requirement(todo.pop())
        if plain(asked.name) in seen or (asked.marker and not asked.marker.evaluate({"extra": ""})):
            continue
        seen.add(plain(asked.name))
        with contextlib.suppress(PackageNotFoundError):  # an extra that is not installed
            todo += distribution(asked.name).requires or []
    seen.remove("stgcn")
    cuda = {
        name for name in seen if name.startswith(("nvidia-", "cuda-", "triton"))
    }  # chosen by the torch wheel itself
    assert len(seen) > 20 and seen - cuda <= pinned, seen - cuda - pinned


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_readme_lists_every_preset_and_flag_it_should(stgcn):
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    from stgcn_cli.config import presets

    assert not [name for name in presets.names() if f"`{name}`" not in pages]


def test_the_pages_link_to_files_that_exist():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
        assert not [link for link in links if not (page.parent / link).exists()], page


def test_the_readme_can_be_read_in_ten_minutes():
    shown = re.sub(r"<!--.*?-->", "", (ROOT / "README.md").read_text("utf-8"))
    assert len(shown.split()) <= 1200


def test_a_line_break_in_a_name_does_not_make_a_row(capsys):
    console.table("classes", ["name", "clips"], [["walk\nsit  99", 1], ["run\tfast", 2]])
    assert len(capsys.readouterr().out.splitlines()) == 4


LOST = """
import os, signal, sys, time
from stgcn_cli import errors
from stgcn_cli.cli import app
class Held:
    def __del__(self):
        os.kill(os.getpid(), {signum})
        time.sleep(0.2)  # the signal's exception is raised in here, where Python drops it
signal.signal(signal.SIGTERM, app._terminate)
sys.unraisablehook = app._insist
held = Held()
try:
    del held
    time.sleep(20)
except (errors.Terminated, KeyboardInterrupt) as stop:
    sys.exit(f"stopped by {{type(stop).__name__}}")
"""


@pytest.mark.parametrize(("signum", "kind"), [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")])
def test_a_signal_that_python_drops_comes_again(signum, kind):
    """Exceptions in destructors and when a process forks are dropped: so SIGTERM was, and prepare went on."""
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(signum=int(signum))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.strip() == f"stopped by {kind}"


def test_ctrl_c_while_the_program_is_imported_is_no_traceback(monkeypatch, capsys):
    class Interrupted:
        @property
        def main(self):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "stgcn_cli.cli.app", Interrupted())
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 130 and "Error: Interrupted" in capsys.readouterr().err


def test_no_command_that_writes_is_left_out_of_the_tests_of_disks():
    known = {command.words[0] for command in COMMANDS.values()} | set(WRITE_NOTHING)
    there = {each.name for each in (*app.registered_commands, *app.registered_groups)}
    assert there == known, "new commands: a line in tests/reliability/writing.py"


@pytest.mark.parametrize("words", [
    ("--help",), ("train", "--preset", "nope"), ("train", "--preset", "demo", "--set", "optim.lrr=3"),
    ("train", "--preset", "demo", "--data", "nowhere.pkl"), ("eval", "nowhere.pth"), ("predict", "nowhere.pth", "nowhere.npy"),
    ("view", "nowhere.npy"), ("presets", "show", "nope"), ("data", "convert", "nowhere", "--out", "x.pkl"),
])  # fmt: skip
def test_mistakes_are_answered_without_torch(tmp_path, words):
    code = (
        "import sys; sys.argv = ['stgcn', *sys.argv[1:]]\n"
        "from stgcn_cli.cli.app import main\n"
        "try: main()\n"
        "finally: print('imported' if 'torch' in sys.modules else 'spared', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    assert done.stderr.splitlines()[-1] == "spared", done.stderr


def test_the_library_of_presets_is_imported_by_commands_that_need_it():
    """pydantic takes longer to import than all else that `stgcn --help` needs."""
    code = "import stgcn_cli.cli.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"pydantic", "requests", "rich", "stgcn_cli.config.presets"} & set(done.stdout.split())
