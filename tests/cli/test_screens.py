"""What people see: in a terminal of 80 columns, without colour, quiet, and in a pipe."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from stgcn_cli.cli import console
from tests.cli.runner import ROOT, environment

COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[\d;]*m")
ESCAPE = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
UNREADABLE = re.compile(r"\x1b\[(?:[\d;]*;)?(?:30|33|37|9[0-7])m")  # on a light or on a dark ground


def terminal(folder, *words, columns=80, program=("-m", "stgcn_cli"), **env):
    """What the program writes to a terminal of so many columns, escape codes and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    wide = {key: value for key, value in environment(folder).items() if key not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, *program, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env=wide | {"TERM": "xterm-256color"} | env,
    ):  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    return said.decode()


def lines(text):
    return ESCAPE.sub("", text).replace("\r", "").splitlines()


def test_links_stay_whole_in_a_terminal(tmp_path):
    said = terminal(tmp_path, "presets")
    links = [line.split()[1] for line in lines(said) if "https://" in line]
    assert len(links) >= 17 and all(link.endswith((".pth", ".pt", ".log", ".json")) for link in links)
    assert all(len(line) <= 80 for line in lines(said) if "https://" not in line)
    assert not UNREADABLE.search(said)


@pytest.mark.parametrize("words", [("presets",), ("download", "--list"), ("doctor",), ("train", "--preset", "nix")])
def test_screens_fit_80_columns_and_have_no_colour_where_none_is_wanted(words, tmp_path):
    said = terminal(tmp_path, *words, NO_COLOR="1")
    place = str(tmp_path)  # may be long
    assert not COLOUR.search(said)
    assert not [line for line in lines(said) if len(line) > 80 and "https://" not in line and place not in line]


def test_a_share_stays_with_its_sign_where_a_class_name_is_broken(tmp_path):
    code = "from stgcn_cli.cli import console; console.table('clips', ['clip', '1.', '2.', '3.'], [['S001C001P001R001A001', "
    code += "*(f'{share:>7} inline lunge sideways' for share in ('100.0 %', '44.4 %', '9.1 %'))]])"
    said = terminal(ROOT, code, program=("-c",))
    assert all(share in said for share in ("100.0 %", "44.4 %", "9.1 %"))


def test_a_piped_table_without_headings_has_no_empty_line(capsys):
    console.table("clip", ["", ""], [["frames", 3], ["persons", 1]])
    console.gap()
    console.table("classes", ["name", "clips"], [["walk", 3]])
    assert capsys.readouterr().out == "clip\nframes   3\npersons  1\n\nclasses\nname  clips\nwalk  3\n"


@pytest.mark.parametrize(("total", "shown"), [(3, "1/3"), (None, "1/?")])
def test_a_bar_shows_the_time_left_where_it_is_known(total, shown):
    code = f"from stgcn_cli.cli import console\nwith console.progress('read', {total}) as advance: advance(1)"
    said = terminal(ROOT, code, program=("-c",))
    assert shown in said and ("left" in said) == (total is not None)


def test_a_line_printed_beside_a_bar_stands_in_a_line_of_its_own(tmp_path):
    code = "from stgcn_cli.cli import console\nwith console.progress('read', 3) as advance:\n advance(1); console.note('noted')"
    assert re.search(r"[\n\r]\S*noted\r\n", ESCAPE.sub("", terminal(ROOT, code, program=("-c",))))


def test_a_long_title_is_not_broken_to_the_width_of_its_table(tmp_path):
    code = "from stgcn_cli.cli import console; console.table('clips of the validation split', ['a', 'b'], [['c', 1]])"
    assert "clips of the validation split" in lines(terminal(ROOT, code, program=("-c",)))


def test_without_colour_nothing_is_bold_either(tmp_path):
    bold = re.compile(r"\x1b\[[\d;]*m")
    assert bold.search(terminal(tmp_path, "train", "nix")) and bold.search(terminal(tmp_path, "runs", "nix"))
    for words in (("train", "nix"), ("presets",)):
        assert not bold.search(terminal(tmp_path, *words, NO_COLOR="1"))


def test_a_table_too_wide_for_a_terminal_leaves_out_columns_and_breaks_no_words(tmp_path):
    for columns in (80, 120):
        said = lines(terminal(tmp_path, "presets", columns=columns))
        end = said.index("Names".ljust(len(said[0])).rstrip()) if "Names" in said else len(said)
        row = next(line for line in said if line.strip().startswith("ntu60-xsub-3d-agcn-bone "))
        assert "86.89" in row and said.index(row) < end, "in one line"
    narrow, wide = (" ".join(lines(terminal(tmp_path, "presets", columns=n))) for n in (80, 200))
    assert "Left out in 80 columns: AGCN mean class, AGCN top-1" in narrow and "Left out" not in wide
