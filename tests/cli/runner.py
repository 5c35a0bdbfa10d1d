"""Run the program as a user would: `run_stgcn(folder, "eval", "x.pth")` returns exit code, stdout and stderr.

A call is a fork of the test process, which has imported the program's libraries once: a process of its own in a twentieth of
the time, and so are the ranks that it starts. `process=True` starts a new interpreter instead, and so do they then: for
signals, start-up time, and other settings of Python.
"""

import contextlib
import functools
import gc
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

ROOT = Path(__file__).parent.parent.parent
_PRELOADED = ("stgcn_cli.cli.app", "stgcn_cli.training.run", "stgcn_cli.evaluation.predict", "stgcn_cli.viz.report",
              "stgcn_cli.data.convert.convert", "matplotlib.figure", "pandas", "rich.console", "torch.distributed.launcher.api")  # fmt: skip
_WITH_OPTIMIZER = ("train", "bench", "demo")  # it imports torch._dynamo, which takes a second
# A fork must not collect what its parent left: the destructor of a TCPStore waits for a thread that is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Result:
    """What a user sees of one call of the program."""

    code: int
    out: str
    err: str


def run_stgcn(
    folder: Path,
    *words: object,
    env: dict[str, str] | None = None,
    timeout: float = 300,
    process: bool = False,
    encoding: str = "utf-8",
    before: Callable[[], object] = lambda: None,
) -> Result:
    """Run the program in `folder`; fails when it prints a traceback.

    Only in a fork: `encoding` of its streams, and `before`, which is called there first.
    """
    argv, variables = list(map(str, words)), environment(folder) | (env or {})
    if process or "PYTHONPATH" in (env or {}) or not hasattr(os, "fork"):
        done = subprocess.run(
            [sys.executable, "-m", "stgcn_cli", *argv],
            capture_output=True, text=True, timeout=timeout, cwd=folder, env=variables, check=False,
        )  # fmt: skip
        result = Result(done.returncode, done.stdout, done.stderr)
    else:
        result = _forked(folder, argv, variables, timeout, encoding, before)
    assert "Traceback" not in result.err, result.err
    return result


def environment(folder: Path) -> dict[str, str]:
    """The environment of the tests: no settings of the user's, a cache of its own, one thread."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("STGCN_", "SLURM_"))}
    return kept | {"STGCN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def _forked(
    folder: Path, argv: list[str], variables: dict[str, str], timeout: float, encoding: str, before: Callable
) -> Result:
    command = preload(*argv[:1])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _become_the_program(command, folder, argv, variables, out.fileno(), err.fileno(), encoding, before)
        status, end = None, time.monotonic() + timeout
        while status is None:
            found, waited = os.waitpid(pid, os.WNOHANG)
            if found:
                status = os.waitstatus_to_exitcode(waited)
            elif time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise TimeoutError(f"stgcn {' '.join(argv)} took more than {timeout:g} s")
            else:
                time.sleep(0.005)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "backslashreplace").replace("\r\n", "\n"))
    return Result(status, *texts)


@functools.cache
def preload(verb: str = "") -> object:
    """Import what this command needs, and return the program's command: building it takes as long as many a command."""
    for name in (*_PRELOADED, *(("torch._dynamo",) if verb in _WITH_OPTIMIZER else ())):
        importlib.import_module(name)
    from typer.main import get_command

    from stgcn_cli.cli.app import app

    return get_command(app)


def fork_ranks(patch: Callable[[object, str, object], None] = setattr) -> None:
    """From now on ranks are forks of the process that launches them: they need not import torch again."""
    from torch.distributed.launcher import api

    patch(api, "LaunchConfig", functools.partial(api.LaunchConfig, start_method="fork"))


def _become_the_program(
    command: object,
    folder: Path,
    argv: list[str],
    variables: dict[str, str],
    out: int,
    err: int,
    encoding: str,
    before: Callable,
) -> NoReturn:
    """Never returns: what happens in here must not reach the test runner."""
    code = 70
    try:
        for number, handle in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
            os.dup2(handle, number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, encoding=encoding) for n, mode in enumerate("rww"))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = ["stgcn", *argv]
        sys.modules["__main__"] = ModuleType("__main__")  # ranks would import that of the tests
        sys.unraisablehook = sys.__unraisablehook__
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.resetwarnings()
        warnings.simplefilter("default")
        import typer.main

        from stgcn_cli.cli import console
        from stgcn_cli.cli.app import main

        if not any("COMPLETE" in name for name in variables):  # completion is built by what stands in the environment
            typer.main.get_command = lambda app: command
        fork_ranks()
        console.open_streams()
        before()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
