"""Numpy files as clips: one array with its labels beside it, arrays by name, plain values as scripts save them.

Nothing in a file is executed.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.archives import check_packed
from stgcn_cli.data.readers import array_labels, arrays
from stgcn_cli.data.readers.array_labels import ONE_A_CLIP, Labels
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.person_frames import clips_of, rows_of
from stgcn_cli.errors import DataError
from stgcn_cli.io import foreign, safe_pickle
from stgcn_cli.io.pickle_values import Refused
from stgcn_cli.io.text import natural, printable, shown

_MAX_BYTES = 8 << 30  # of one named array, unpacked
_MAX_OBJECTS = 1 << 30  # bytes of a file of Python objects
_DOCUMENTED = {3: "TVC", 4: "MTVC", 5: "NMTVC"}  # of `keypoint` in a .npz
_SAVE = "Save the joints alone: numpy.save(FILE, joints) with T V C or M T V C"


def read_npy(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clip or clips of one array, labelled by a file beside it, as ST-GCN's and 2s-AGCN's feeders have them."""
    with arrays.numpy_errors():
        value = _load(path)
    if isinstance(value, np.ndarray) and value.dtype != object:
        meant = "N" if array_labels.label_file(path) else ""
        yield from arrays.clips_in(value, options, path.stem, lambda count: array_labels.beside(path, count), meant)
    else:
        yield from clips_in_value(value, options, path.stem.removesuffix(".skeleton"))


def _load(path: Path) -> Any:
    """The array, left in the file; or the plain value of a file of Python objects, in which no code is executed."""
    with open(path, "rb") as stream:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = array_labels.read_header(stream, version)
        if not dtype.hasobject:
            return np.load(path, mmap_mode="r", allow_pickle=False) if 0 not in shape else np.zeros(shape, dtype)
        if path.stat().st_size > _MAX_OBJECTS:
            raise ValueError(f"it holds more than {_MAX_OBJECTS >> 30} GB of Python objects. {_SAVE}")
        try:
            value = safe_pickle.load(stream, path.stat().st_size)
        except Refused as error:
            raise ValueError(f"it holds Python objects, among them {printable(error)}: not loaded. {_SAVE}") from error
        except Exception as error:  # a damaged pickle can make Python raise anything
            raise ValueError(f"it holds Python objects that cannot be read: {safe_pickle.cause(error)}") from error
    return value


def clips_in_value(value: Any, options: Options, name: str) -> Iterator[dict[str, Any]]:
    """The clips of plain values as scripts save them: an array, a list of arrays, with labels or without, or a dict of arrays.

    Raises ValueError, DataError.
    """
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.item() if value.shape == () else list(value.flat)
    match value:
        case np.ndarray():
            yield from arrays.clips_in(value, options, name)
        case dict():
            yield from _of_dict({str(key): each for key, each in value.items()}, options, name)
        case [np.ndarray() as clip, str() | int() as label]:
            yield from (record | {"label": label} for record in arrays.clips_in(clip, options, name))
        case [list() | tuple() as clips, labels] if np.ndim(labels) == 1 and len(labels) == len(clips):
            for index, (clip, label) in enumerate(zip(clips, labels, strict=True)):
                for record in clips_in_value(clip, options, name):
                    yield record | {"frame_dir": f"{name}_{index:05d}", "label": array_labels.plain(label)}
        case [_, *_] if rows := rows_of(value):
            yield from clips_of(rows, options, name, "the frame")
        case [np.ndarray(), *_] if all(isinstance(each, np.ndarray) and each.dtype != object for each in value):
            are_frames = len({each.shape for each in value}) == 1 and value[0].shape[1:] in ((2,), (3,), (4,))
            for index, clip in enumerate([np.stack(value)] if are_frames else value):
                called = {} if are_frames else {"frame_dir": f"{name}_{index:05d}"}
                yield from (record | called for record in arrays.clips_in(clip, options, name))
        case _:
            raise ValueError(f"it holds Python objects ({shown(value)[:80]}), not an array of numbers. {_SAVE}")


def _is_clip(value: Any) -> bool:
    """Whether an array has several frames: (T, V, C) or (T, VC), not (V, C)."""
    return isinstance(value, np.ndarray) and (value.ndim > 2 or (value.ndim == 2 and value.shape[1] > 4))


def _of_dict(value: dict[str, Any], options: Options, name: str) -> Iterator[dict[str, Any]]:
    """The clips of a dict: bodies of one clip, lists of clips by class or beside their labels, or arrays by name."""
    found = {key: each for key, each in value.items() if isinstance(each, np.ndarray)}
    lists = {key: each for key, each in value.items() if isinstance(each, list) and each and _is_clip(each[0])}
    bodies = [found[key] for key in sorted(found, key=natural) if key.startswith("skel_body")]
    if bodies:  # NTU's texts as the scripts that convert them save them
        yield from arrays.clips_in(np.stack(bodies), options, name)
    elif lists and (pair := next((pair for pair in array_labels.pairs_in(value) if pair[0] in lists), None)):
        yield from clips_in_value((value[pair[0]], value[pair[1]]), options, name)
    elif lists and len(lists) == len(value):
        for label, clips in lists.items():
            yield from (clip | {"label": label} for clip in clips_in_value(clips, options, f"{name}/{label}"))
    else:
        scalars = {key: np.asarray(each) for key, each in value.items() if isinstance(each, str | int | float)}
        yield from clips_by_name({**found, **scalars}, options, name)


_OF_RESULT = {"scores", "labels", "names", "preset"}  # written by `stgcn eval --out`
_OF_WEIGHTS = re.compile(r"(^|[._/])(weights?|bias|kernel|gamma|running_mean)(_?\d+)?(:0)?$")
_OF_SMPL = re.compile("betas|dmpls|smpl_poses|root_orient|global_orient|body_pose|pose_body")  # AMASS, AIST++, SMPL-X
_SCORES = re.compile(r"score|conf|visib|likelihood|prob", re.IGNORECASE)
_BESIDE = re.compile(r"box|score|conf|visib|label|time|stamp|index|ids?$", re.IGNORECASE)  # arrays that are no joints
_COUNTS = re.compile(r"(frame|track|person|object)s?_?(id|idx|index|num|number|indice|indexe)?s?", re.IGNORECASE)
_NOT_CLIPS = re.compile(  # names of persons, parts, views and versions of one clip
    r"person|player|people|body|bodies|skel|joint|kp|keyp|pose|land|hand|face|left|right|pred|gt|truth|true|target|raw|filt|smooth"
    r"|interp|2d|3d|world|cam|view|x$|data|arr_", re.IGNORECASE,
)  # fmt: skip
_WANTED = {*ONE_A_CLIP, *ONE_A_CLIP.values(), "keypoint", "keypoint_score", "img_shape"}


def read_npz(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in the order of the arrays."""
    with arrays.numpy_errors():
        with zipfile.ZipFile(path) as archive:
            large = [member.filename for member in archive.infolist() if member.file_size > _MAX_BYTES]
        if large:
            raise ValueError(f"{large[0]} has more than {_MAX_BYTES >> 30} GB unpacked")
        check_packed(path)
        headers = array_labels.headers(path)
        if headers.keys() >= _OF_RESULT:
            foreign.refuse(path, foreign.head_of(path), "clips")
        wanted = _WANTED if "keypoint" in headers else headers.keys()
        with np.load(path, allow_pickle=False) as packed:
            objects = [name for name in packed.files if name in wanted and headers[name][1].hasobject]
            found = {name: packed[name] for name in packed.files if name in wanted and name not in objects}
    if objects and (not found or "keypoint" in objects):
        raise ValueError(f"it holds Python objects in {', '.join(objects)[:80]}, which are not loaded. {_SAVE}")
    yield from clips_by_name(found, options, path.stem)


def clips_by_name(found: Mapping[str, np.ndarray], options: Options, name: str) -> Iterator[dict[str, Any]]:
    """The clips of arrays by name. Raises ValueError listing them where none or several can be clips."""
    if any(map(_OF_SMPL.fullmatch, found)) and not re.search("joint|key", " ".join(found)):
        raise ValueError(f"it holds {', '.join(found)[:80]}: rotations of SMPL. Save the joints of the body model")
    if "keypoint" in found:
        yield from _documented(dict(found), options, name)
    elif pairs := [p for p in array_labels.pairs_in(found) if found[p[1]].size > 1 or found[p[0]].shape[:1] == (1,)]:
        for data, labels, split in pairs:
            known = Labels.from_array(found[labels], len(found[data]), labels).labels
            own = _called_as_documented(found, data) | {"label": np.array(known, object)}
            for record in _documented(own, options, f"{name}_{split}" if split else name, "lengths" not in own):
                used = slice(record.pop("total_frames", None))
                record |= {key: record[key][:, used] for key in ("keypoint", "keypoint_score") if key in record}
                yield record | ({"splits": (split,)} if split else {})
    else:
        names = _joints_in(found, options)
        note = f"{name}: each of its {len(names)} arrays is taken for a clip: {', '.join(map(printable, names))[:80]}."
        for called in names if len(names) > 1 else ():
            clips = arrays.clips_in(found[called], options, called)
            yield from ({"frame_dir": called} | clip | {"notes": (note,)} for clip in clips)
        if len(names) == 1:
            yield from _documented(_called_as_documented(found, names[0]), options, name, "lengths" not in found)


def _called_as_documented(found: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The array `name` as `keypoint`, its scores, and what else is one value or one a clip."""
    keypoint = found[name]
    arrays = {
        key: a for key, a in found.items() if key in _WANTED and (a.size == 1 or a.shape[:1] == keypoint.shape[:1])
    }
    arrays |= {key: a for key, a in found.items() if _COUNTS.fullmatch(key) and a.shape == keypoint.shape[:1]}
    scores = [key for key, a in found.items() if _SCORES.search(key) and a.shape == keypoint.shape[:-1]]
    if len(scores) == 1 and keypoint.shape[-1] in (2, 3):
        arrays["keypoint_score"] = found[scores[0]]
    return arrays | {"keypoint": keypoint}


def _joints_in(found: Mapping[str, np.ndarray], options: Options) -> list[str]:
    """The name of the only array that can be joints; of all, where each is a clip, and none a person, a view or a version."""
    fitting, causes = [], {}
    for name, array in found.items():
        try:
            arrays.check_numbers(array)
            reading = arrays.understand(array, options.axes, options, array_labels.meant(found, array))
            if reading.order not in ("VC", "(VC)") or len(found) == 1:
                fitting.append(name)
        except (DataError, ValueError) as error:
            causes[name] = str(error)
    is_one_each = 0 < len(fitting) == len(found) and not any(map(_NOT_CLIPS.search, found))
    fitting = [name for name in fitting if not _BESIDE.search(name)] or fitting
    if len(fitting) == 1 or is_one_each:
        return fitting
    if len(found) == 1:
        raise ValueError("".join(f"its array {name}: {cause}" for name, cause in causes.items()))
    listed = ", ".join(f"{name} {array.shape}" for name, array in found.items()) or "no arrays of numbers"
    if any(map(_OF_WEIGHTS.search, found)):
        raise ValueError(f"it holds {listed[:200]}, …: the weights of a network, not clips")
    said = f"{' and '.join(fitting)} can all be joints" if fitting else "none can be joints (T V C or M T V C)"
    raise ValueError(f"it holds {listed[:400]}: {said}. Call the one that is meant keypoint")


def _documented(
    found: dict[str, np.ndarray], options: Options, name: str, padded: bool = False
) -> Iterator[dict[str, Any]]:
    """The clips of `keypoint` and the arrays beside it."""
    keypoint, score = found.pop("keypoint"), found.pop("keypoint_score", None)
    arrays.check_numbers(keypoint)
    order, meant = options.axes, array_labels.meant(found, keypoint)
    if (
        order is None
        and not meant
        and keypoint.ndim in _DOCUMENTED
        and keypoint.shape[-1] in (2, 3)
        and score is not None
    ):
        order = _DOCUMENTED[keypoint.ndim]
    reading = arrays.understand(keypoint, order, options, meant)
    several = "N" in reading.order
    for key, each in found.items() if reading.order[0] == "T" else ():
        if _COUNTS.fullmatch(key) and len(set(np.diff(np.nan_to_num(arrays.floats_in(each))))) > 1:
            raise ValueError(
                f"{key} in it is not in even steps: write a frame below the other, zeros for one without a person"
            )
    options = options if score is None else replace(options, score_last=False)
    for index, record in enumerate(arrays.clips_read(keypoint, reading, options, name, padded=padded)):
        yield record | _beside(record["keypoint"], score, found, index if several else None)


def _beside(
    keypoint: np.ndarray, score: np.ndarray | None, found: Mapping[str, np.ndarray], index: int | None
) -> dict[str, Any]:
    """What the other arrays say of the clip `index`, of the only one where it is None."""
    record: dict[str, Any] = {}
    try:
        if score is not None:
            floats = arrays.floats_in(score if index is None else score[index])
            record["keypoint_score"] = floats.reshape(keypoint.shape[:3])
        for key, also in ONE_A_CLIP.items():
            array = found.get(key, found.get(also))
            if array is not None:
                record[key] = array_labels.plain(array if index is None else array[index])
        if "img_shape" in found:
            record["img_shape"] = tuple(int(n) for n in found["img_shape"].ravel()[-2:])
    except (IndexError, ValueError, TypeError) as error:
        raise ValueError(f"its arrays do not go together: {error}") from error
    return record
