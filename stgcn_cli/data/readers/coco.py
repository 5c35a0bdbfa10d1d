"""COCO keypoints: {"images", "annotations"}, or a results list as pose estimators (AlphaPose, too) write it.

A file is one clip, or one for each video where images name theirs; a results list has only image_id, whose number is the frame.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.readers.parsing import Options, dicts_in, frame_span, load_json, triples
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of

# COCO's list of images -> the clips in it: one for each video they name, its images in order.
#
# The order is that of frame_id, else of the numbers in file names; a frame_id that is missing is an image without anybody.

NUMBER = re.compile(r"\d+")


def clips_of(value: dict[str, Any], stem: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """For each clip the ids of its images, and what is known of it: img_shape, frame_dir where there are videos.

    `stem` is the file's name, for videos without one. Raises ValueError.
    """
    videos: dict[str | None, list[dict[str, Any]]] = {}
    for image in dicts_in(value["images"], "images"):
        video = image.get("video_id", image.get("vid_id"))
        videos.setdefault(None if video is None else str(video), []).append(image)
    listed = value.get("videos") if isinstance(value.get("videos"), list) else []
    names = {str(video.get("id")): str(video.get("name")) for video in dicts_in(listed, "videos") if video.get("name")}
    for key, images in videos.items():
        named = {} if key is None else {"frame_dir": names.get(key, f"{stem}_{key}")}
        yield [str(image.get("id")) for image in _in_order(images)], _size(images) | named


def _in_order(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if all(isinstance(image.get("frame_id"), int) for image in images):
        placed = {image["frame_id"]: image for image in images}
        return [placed.get(frame, {"id": None}) for frame in frame_span(placed)]
    return sorted(images, key=lambda image: [int(n) for n in NUMBER.findall(str(image.get("file_name", "")))])


def _size(images: list[dict[str, Any]]) -> dict[str, Any]:
    """img_shape where all images are of one size."""
    sizes = [(image.get("height"), image.get("width")) for image in images]
    alike = sizes.count(sizes[0]) == len(sizes)
    return {"img_shape": sizes[0]} if alike and all(isinstance(n, int) and n > 0 for n in sizes[0]) else {}


_JOINTS = 17  # of a clip with nobody in it
_VISIBILITY = (0.0, 1.0, 2.0)  # not labelled, hidden, seen


def fits(head: bytes) -> bool:
    """Whether a text begins like COCO's."""
    return any(word in head for word in (b'"annotations"', b'"images"', b'"image_id"'))


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    value = load_json(path)
    if isinstance(value, dict) and value.get("images") is not None:
        people = _grouped(value.get("annotations", []), str)
        for images, about in clips_of(value, path.stem):
            yield clip_of([_seen(people.get(image, ())) for image in images], options, _JOINTS) | about
    else:
        people = _grouped(value.get("annotations") if isinstance(value, dict) else value, _frame_number)
        yield clip_of([_seen(people.get(frame, ())) for frame in frame_span(people)], options, _JOINTS)


def _grouped(value: Any, key: Callable[[Any], Any]) -> dict[Any, list[dict[str, Any]]]:
    """The annotations of each image, by what `key` makes of its id."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for annotation in dicts_in(value, "annotations"):
        found.setdefault(key(annotation.get("image_id")), []).append(annotation)
    return found


def _frame_number(image_id: Any) -> int:
    """12 of 12, "12.jpg" or "video_000012.jpg"."""
    if isinstance(image_id, int):
        return image_id
    found = NUMBER.findall(str(image_id))
    if not found:
        raise ValueError(f"image_id is {image_id!r:.60}: no frame number, and there is no list of images")
    return int(found[-1])


def _seen(annotations: Sequence[dict[str, Any]]) -> list[Detection]:
    """The persons of a frame. Joints not labelled (visibility 0) become zeros; the mark of the others a score of 1."""
    found = []
    for annotation in annotations:
        if annotation.get("keypoints"):
            joints = triples(annotation["keypoints"], 3, "keypoints")
            xy, scores = joints[:, :2], joints[:, 2]
            if np.isin(scores, _VISIBILITY).all():
                xy, scores = xy * (scores > 0)[:, None], np.minimum(scores, 1)
            found.append(Detection(xy, scores, track_of(annotation.get("track_id", annotation.get("idx")))))
    return found
