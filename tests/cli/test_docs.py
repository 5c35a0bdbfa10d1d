"""The pages say what the program does: every block of commands is run by a test, or marked with what it needs.

The mark stands in a comment on the line before the block, which no reader sees: `run` (here, on small files), `test: FILE`
(by that test), or `needs: …` (data, machines or minutes that a test does not have: its commands are parsed).
"""

import re
import shlex
import shutil

import numpy as np
import pytest
import typer
from typer._click.exceptions import ClickException, MissingParameter

from stgcn_cli.cli import app
from stgcn_cli.cli.commands import join_values
from tests.cli.runner import ROOT, run_stgcn
from tests.conftest import SMALL, make_records, write_small_data
from tests.factories import checkpoints, skeletons

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """(mark, text) of the blocks of commands; those of other languages have tests of their own."""
    found = BLOCK.findall(page)
    return [(mark, text) for mark, kind, text in found if kind in ("bash", "sh") or (not kind and "stgcn " in text)]


BLOCKS = [
    pytest.param(*block, id=f"{page.name}:{index}")
    for page in PAGES
    for index, block in enumerate(blocks(page.read_text("utf-8")), 1)
]


def commands(text):
    """The words of each `stgcn …` in a block or a line, without `stgcn`, redirections and what comes after."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.findall(r"(?:^|[|;] *|do |srun |&& \S*)stgcn (.*)", line.strip()):
            part = re.sub(r"\$\w+", "1", part)  # variables of a shell
            words = shlex.split(re.split(r"[;|>](?= |$)|&&", part)[0], comments=True)
            yield words


def parse(words):
    """Parse the words as the program does. Raises ClickException."""
    command, words = typer.main.get_command(app.app), join_values(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        _, command, words = command.resolve_command(command.make_context("stgcn", [], resilient_parsing=True), words)
    command.make_context("stgcn", words)


@pytest.mark.parametrize(("mark", "text"), BLOCKS)
def test_every_block_has_its_mark_and_its_commands_have_their_options(mark, text):
    kind, _, rest = mark.partition(": ")
    assert kind in ("run", "tests") or (kind in ("test", "needs") and rest), "mark the block: see above"
    if kind == "test":
        assert (ROOT / rest).is_file()
    for words in commands(text):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_and_tables_can_be_typed(page):
    wrong = []
    for text in re.findall(r"`stgcn ([^`\n]+)`", BLOCK.sub("", page.read_text("utf-8"))):
        if not re.search(r"[…\[|]", text) and not text.startswith("--"):  # --install-completion would install
            words = shlex.split(text.replace("RUN RUN", "RUN"))
            try:
                parse(words)
            except (MissingParameter, typer.Exit):  # `stgcn prepare` by itself names the command
                pass
            except ClickException as error:
                wrong.append(f"stgcn {text}: {error.message}")
    assert not wrong, wrong


def test_a_block_without_a_mark_is_found():
    (found,) = blocks("Text.\n\n```bash\nstgcn train --nonsense\n```\n")
    with pytest.raises(AssertionError, match="mark the block"):
        test_every_block_has_its_mark_and_its_commands_have_their_options(*found)
    with pytest.raises(ClickException, match="nonsense"):
        parse(["train", "--nonsense"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with small files under the names that the pages use."""
    folder = tmp_path_factory.mktemp("pages")
    data = write_small_data(folder / "data") / "ntu60.pkl"
    pickle = checkpoints.pickle
    known = pickle.loads(data.read_bytes())
    splits = {"xview_train": known["split"]["xsub_train"], "xview_val": known["split"]["xsub_val"]}
    checkpoints.write(folder / "other.pkl", known | {"split": splits})
    for name in ("ntu60.pkl", "a.pkl"):
        shutil.copy(data, folder / name)
    others = [record | {"frame_dir": f"b-{record['frame_dir']}"} for record in known["annotations"]]
    renamed = {split: [f"b-{name}" for name in names] for split, names in known["split"].items()}
    checkpoints.write(folder / "b.pkl", {"split": renamed, "annotations": others})
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("wave\nkick\njump\n")
    (folder / "clips").mkdir()
    record = make_records(1)[0]["keypoint"]
    for name in ("clips/one.npy", "clips/two.npy"):
        np.save(folder / name, record)
    np.save(folder / "long.npy", np.tile(record, (1, 9, 1, 1)))
    (folder / "clip.skeleton").write_bytes(skeletons.text([1] * 9))
    run = folder / "runs" / "ntu60-xsub-3d"
    done = run_stgcn(folder, "train", "ntu60-xsub-3d", *SMALL, "--work-dir", run, "--set", "train.validate_every=1")
    assert done.code == 0, done.err
    for name in ("joint", "bone"):
        shutil.copytree(run, folder / "runs" / name)
    shutil.copy(run / "best.pth", folder / "best.pth")
    for name in ("j.pkl", "joint.npz"):
        assert run_stgcn(folder, "eval", "best.pth", "--out", name, "--no-report").code == 0
    for name in ("jm", "bm", "result"):
        shutil.copy(folder / "j.pkl", folder / f"{name}.pkl")
    shutil.copy(folder / "joint.npz", folder / "bone.npz")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("text", [pytest.param(p.values[1], id=p.id) for p in BLOCKS if p.values[0] == "run"])
def test_blocks_marked_run_work_word_for_word(place, text, tmp_path):
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    if "b.pkl jm.pkl" in text:  # a result here, annotations in another block
        shutil.copy(tmp_path / "j.pkl", tmp_path / "b.pkl")
    for words in commands(text):
        said = run_stgcn(tmp_path, *words)
        assert said.code == 0, f"stgcn {shlex.join(words)}\n{said.out}{said.err}"
