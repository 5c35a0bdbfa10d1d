"""Laws over all commands: outputs never replace what they did not make; whatever a path is, one clear message answers."""

import json
import os
import shutil

import pytest

from tests.cli.runner import Result, run_stgcn
from tests.reliability.commands import COMMANDS, FILES, OUT, give_up_rights, setting

CODES = {2, 3, 4, 5, 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return setting(tmp_path_factory.mktemp("all"), run_stgcn)


@pytest.fixture
def place(made, tmp_path):
    """A copy of the inputs for one test."""
    shutil.copytree(made, tmp_path / "x", dirs_exist_ok=True)
    return tmp_path / "x"


def state(folder):
    """Every file below a folder with its content, links as links; but caches and stores."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if "cache" not in path.parts and not path.is_dir():
            files[str(path.relative_to(folder))] = os.readlink(path) if path.is_symlink() else path.stat().st_size and path.is_file() and path.read_bytes()  # fmt: skip
    return files


def is_refused(said: Result, codes=frozenset(CODES)) -> str:
    """One message, a documented code; returns the message."""
    assert said.code in codes, said
    assert said.err.count("Error: ") == 1 and "Unexpected" not in said.err and "defect" not in said.err, said.err
    return said.err


def test_every_command_is_in_the_table():
    from typer.main import get_command

    from stgcn_cli.cli.app import app
    from tests.reliability.commands import NO_PATHS

    top = get_command(app)
    names = {f"{name} {sub}" if hasattr(command, "commands") else name
             for name, command in top.commands.items() for sub in getattr(command, "commands", [""])}  # fmt: skip
    typed = {" ".join(command.words[:2]) if " ".join(command.words[:2]) in names else command.words[0] for command in COMMANDS.values()}  # fmt: skip
    assert typed | set(NO_PATHS) == names


@pytest.mark.parametrize("name", FILES)
def test_an_output_is_no_input_folder_device_or_file_of_the_user(place, name):
    command = COMMANDS[name]
    mine, folder, pipe = (place / f"{word}{command.suffix}" for word in ("mine", "folder", "pipe"))
    mine.write_text("years of work")
    folder.mkdir()
    os.mkfifo(pipe)
    refused = {mine: "exists", folder: "folder", pipe: "regular file", "/dev/zero": ""}
    for number, word in enumerate(path for path in command.inputs if (place / path).is_file()):
        for kind, link in (("soft", os.symlink), ("hard", os.link)):
            alias = place / f"{kind}{number}{command.suffix}"
            link(place / word, alias)
            refused[alias] = "input"
    before = state(place)
    for out, cause in refused.items():
        assert cause in is_refused(run_stgcn(place, *command.typed({OUT: out})), {2}), out
        if cause == "input":
            is_refused(run_stgcn(place, *command.typed({OUT: out}), "--force"), {2})
    assert state(place) == before


def test_prepare_replaces_its_own_annotations_only(place):
    for out in ("made.pkl", "merged.pkl"):
        words = COMMANDS["data merge" if out == "merged.pkl" else "data convert"].typed({OUT: out})
        assert run_stgcn(place, *words).code == 0
        assert "not made by" in is_refused(run_stgcn(place, *COMMANDS["prepare"].typed({OUT: out})), {2})
    for _ in range(2):
        assert run_stgcn(place, *COMMANDS["prepare"].typed({OUT: "lists"}), "--format", "list").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_links_are_followed_own_files_replaced_and_streams_written(place, name):
    command = COMMANDS[name]
    out, link, real = (place / f"{word}{command.suffix}" for word in ("out", "link", "real"))
    assert run_stgcn(place, *command.typed({OUT: out})).code == 0
    first = out.read_bytes()
    again = run_stgcn(place, *command.typed({OUT: out}))
    if name.startswith(("data", "checkpoint", "export")):
        assert "already exists" in is_refused(again, {2})
    else:
        assert again.code == 0, again.err
    link.symlink_to(real)
    assert run_stgcn(place, *command.typed({OUT: link})).code == 0 and link.is_symlink() and real.stat().st_size
    real.write_text("years of work")
    is_refused(run_stgcn(place, *command.typed({OUT: link})), {2})
    assert run_stgcn(place, *command.typed({OUT: link}), "--force").code == 0
    assert link.is_symlink() and real.read_bytes()[:20] == first[:20]
    files = set(state(place))
    nowhere, stdout = (run_stgcn(place, *command.typed({OUT: word})) for word in ("/dev/null", "-"))
    assert (nowhere.code, stdout.code) == (0, 0), nowhere.err + stdout.err
    assert set(state(place)) == files and len(stdout.out) > 50 and not os.path.isfile("/dev/null")
    assert stdout.out.startswith(('{"made_by"', '{\n  "made_by"', "<!doctype", "\\x80", "PK")), stdout.out[:80]


def paths_of(command):
    """The words that are paths, and the output."""
    return [*command.inputs, *([OUT] if command.suffix else [])]


def suffixed(command, word):
    return command.suffix.replace("/", "") if word == OUT else os.path.splitext(word)[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_names_that_are_too_long_are_answered(place, name):
    command = COMMANDS[name]
    for word in paths_of(command):
        long = "n" * 300 + suffixed(command, word)
        changes = {OUT: f"out{command.suffix}".rstrip("/"), word: long}
        said = run_stgcn(place, *command.typed(changes))
        if name in ("download",) and said.code == 5:
            continue
        assert "nnnn" in is_refused(said), (word, said.err)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="gives up the rights of root, on Linux")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_may_not_be_read_or_written_is_answered(place, name):
    command = COMMANDS[name]
    closed = place / "closed"
    closed.mkdir()
    for word in command.inputs:
        if (place / word).is_file():
            shutil.copy(place / word, closed)
    os.chmod(closed, 0)
    try:
        for word in paths_of(command):
            inside = closed / (f"out{command.suffix}".rstrip("/") if word == OUT else os.path.basename(word))
            changes = {OUT: f"out{command.suffix}".rstrip("/"), word: inside}
            said = run_stgcn(place, *command.typed(changes), before=give_up_rights)
            assert "closed" in is_refused(said), (word, said.err)
    finally:
        os.chmod(closed, 0o700)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if not command.slow and name != "download"]
)
def test_names_that_are_not_utf_8_and_streams_of_ascii_are_no_reason_to_fail(place, name):
    command = COMMANDS[name]
    changes = {OUT: os.fsdecode(b"out\xff\xe4" + command.suffix.encode())}
    for word in command.inputs:
        changes[word] = os.fsdecode(b"in\xff\xe4" + os.path.splitext(word)[1].encode())
        (shutil.copytree if (place / word).is_dir() else shutil.copy)(place / word, place / changes[word])
    own = len(name.split())  # words of the command itself: "data" is also a folder
    words = [*command.words[:own], *(changes.get(word, word) for word in command.words[own:])]
    for encoding in ("utf-8", "ascii"):
        said = run_stgcn(place, *words, *(["--force"] if command.suffix else []), encoding=encoding)
        allowed = (0, 3) if name == "data convert" else (0,)  # a clip of such a name is refused in words
        assert said.code in allowed and "Glyph" not in said.err, said.err


@pytest.mark.parametrize("name", ["eval", "presets show"])
def test_a_working_directory_that_is_gone_is_answered(place, name):
    def leave():
        os.mkdir(place / "gone")
        os.chdir(place / "gone")
        os.rmdir(place / "gone")

    said = run_stgcn(place, *COMMANDS[name].typed({OUT: "out"}), before=leave)
    assert "working directory does not exist" in is_refused(said, {2})


@pytest.mark.parametrize("name", ["eval", "data inspect", "export"])
def test_an_empty_word_is_answered(place, name):
    """As of a variable of the shell that is not set; as a path it would be the working directory."""
    for word in paths_of(COMMANDS[name]):
        assert "empty" in is_refused(run_stgcn(place, *COMMANDS[name].typed({word: ""})), {2})
    assert "empty" in is_refused(run_stgcn(place, *COMMANDS[name].words, "--set="), {2})


def test_numbers_of_thousands_of_digits_and_odd_logs_are_answered(place):
    (place / "p.toml").write_text("x = " + "9" * 100_000)
    for words in (("presets", "show", "./p.toml"), ("view", "--layout", "p.toml")):
        assert "p.toml is not valid TOML" in is_refused(run_stgcn(place, *words), {2})
    assert "name" in is_refused(
        run_stgcn(place, "presets", "show", "ntu60-xsub-3d", "--set", "name=" + "9" * 9999), {2}
    )
    records = (
        {"mode": "val", "epoch": 1, "top1_acc": odd} for odd in ("x", {"a": 1}, [1], 1e308, float("nan"), "\ud800")
    )
    (place / "run" / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for words in (("runs", "run"), ("report", "run", "--data", "data/ntu60.pkl")):
        assert run_stgcn(place, *words).code == 0
    is_refused(run_stgcn(place, "eval", "best.pth", env={"RANK": "0", "WORLD_SIZE": "x"}), {2})
