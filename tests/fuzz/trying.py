"""Inputs made and tried in this process, one after the other, up to a finding; those that reach something new are kept."""

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import guard
from tests.fuzz.target import Target, kind_of

_TRACED = 16  # one input in so many is looked at for new branches
_POOL = 400  # inputs that mutations start from, at most


class Hang(BaseException):
    """An input took more of the processor's time than it may."""


def try_inputs(target: Target, first: int, inputs: int, seed: int, folder: Path, note: Path) -> None:
    """Try inputs from `first` on, up to `inputs` or a finding: `note` tells what became of them, `input` in `folder` is the last."""

    def ring(signum, frame):
        raise Hang

    signal.signal(signal.SIGPROF, ring)
    seeds = target.seeds()
    pool, known, counts = list(seeds), set(), Counter()
    for each in seeds[:2]:  # what is imported when it is needed is imported now
        target.attempt(each, folder)
    guard.watch(folder, target.network)
    part = {"inputs": first, "early": 0, "kept": 0, "slowest_s": 0.0, "peak_mb": 0, "finding": ""}
    start_mb = _peak_mb()
    count, latest = (os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("count", "input"))
    for index in range(first, inputs):
        rng = random.Random(f"{target.name} {seed} {index}")
        data = target.mutate(rng, rng.choice(pool), seeds)
        if index % 64 == 0 or index == first:
            os.pwrite(count, f"{index:12d}".encode(), 0)
        os.pwrite(latest, data, 0)
        os.ftruncate(latest, len(data))
        began, edges = time.perf_counter(), set()
        traced = bool(target.guided_by) and index % _TRACED == 0
        signal.setitimer(signal.ITIMER_PROF, target.hang_s * (5 if traced else 1))
        try:
            if traced and sys.gettrace() is None:
                sys.settrace(_tracer(target.guided_by, edges))
            outcome = target.attempt(data, folder)
        except Hang:
            part["finding"] = f"a hang of {target.hang_s:g} s"
        except BaseException as error:  # whatever it is, it is a finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            part["finding"] = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:300]}"
        finally:
            if traced and edges:
                sys.settrace(None)
            signal.setitimer(signal.ITIMER_PROF, 0)
        part["inputs"] = index + 1
        part["slowest_s"] = max(part["slowest_s"], time.perf_counter() - began)
        part["peak_mb"] = max(part["peak_mb"], _peak_mb() - start_mb)
        if part["finding"]:
            break
        counts[kind_of(outcome)] += 1
        part["early"] += target.early(outcome)
        if edges - known and not target.early(outcome):
            known |= edges
            part["kept"] += 1
            pool.append(data) if len(pool) < _POOL else pool.__setitem__(rng.randrange(len(seeds), _POOL), data)
    note.write_text(json.dumps({**part, "outcomes": dict(counts)}), "utf-8")


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _tracer(files: tuple[str, ...], edges: set) -> Callable:
    """Notes each step from line to line in `files`: new ones are branches that no input has taken before."""

    def inside(frame, event, arg):
        if event == "line":
            key, line = frame.f_code, frame.f_lineno
            edges.add((key.co_name, before.get(id(frame), 0), line))
            before[id(frame)] = line
        return inside

    before: dict[int, int] = {}

    def entering(frame, event, arg):
        if frame.f_code.co_filename.endswith(files):
            before[id(frame)] = 0
            return inside
        return None

    return entering
