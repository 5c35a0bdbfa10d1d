"""Numpy files of every order of axes, of arrays by name and of Python objects, and pickles of arrays, as `fuzz_clips` has the other formats."""

import io
import pickle
from dataclasses import replace

import numpy as np

from tests.factories import bodies
from tests.fuzz import fuzz_clips


def _saved(value: object, **named: np.ndarray) -> bytes:
    stream = io.BytesIO()
    if named:
        np.savez(stream, **named)
    else:
        np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


def _seeds() -> list[bytes]:
    """The first byte says the suffix."""
    x = np.stack([bodies.kinect(3, 2, seed) for seed in range(2)])
    rows = x.transpose(0, 2, 1, 3, 4).reshape(2, 3, 150)
    arrays = [x.transpose(0, 4, 2, 3, 1), x[0].transpose(3, 1, 2, 0), rows, rows[0], bodies.flat(3, 33), x[0, 0, 0]]
    arrays.append(np.array({"skel_body0": x[0, 0], "nbodys": [1, 1, 1]}, object))
    npy, npz = (bytes([fuzz_clips.KINDS.index(suffix)]) for suffix in (".npy", ".npz"))
    named = [{"x_train": rows, "y_train": np.eye(3)[:2]}, {"joints3d": x[0, 0], "fps": np.array(30)}]
    pickled = [
        x[0, 0],
        [x[0, 0], x[1, 0]],
        {"walk": x[0, 0], "run": x[1, 0]},
        {"data": [x[0, 0]], "labels": [3]},
        dict(enumerate(x[0, 0])),
    ]
    pickled += [
        [{"joints": x[0, 0], "label": 2}],
        {"wave": [x[0, 0]], "kick": [x[1, 0]]},
        [[x[0, 0, 0]]],
        (x[0, 0], "wave"),
    ]
    pkl = bytes([fuzz_clips.KINDS.index(".pkl")])
    return [
        *(pkl + pickle.dumps(each) for each in pickled),
        *(npy + _saved(array) for array in arrays),
        *(npz + _saved(None, **each) for each in named),
    ]


TARGET = replace(
    fuzz_clips.TARGET,
    name="arrays",
    seeds=_seeds,
    guided_by=(
        "arrays.py",
        "array_files.py",
        "annotation.py",
        "array_labels.py",
        "axes.py",
        "axis_evidence.py",
        "joint_values.py",
    ),
)
