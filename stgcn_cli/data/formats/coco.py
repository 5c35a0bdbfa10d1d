"""COCO keypoints: {"images", "annotations"}, or a results list as pose estimators (AlphaPose, too) write it.

A file is one clip, or one for each video where images name theirs (video_id). Frames are in the order of frame_id, else of
file names; a results list has only image_id, whose number is the frame.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.persons import Seen, clip_of, track_of
from stgcn_cli.data.formats.reading import Options, dicts_in, frame_span, load_json, triples

_JOINTS = 17  # of a clip with nobody in it
_NUMBER = re.compile(r"\d+")
_VISIBILITY = (0.0, 1.0, 2.0)  # not labelled, hidden, seen

Frames = list[list[dict[str, Any]]]


def fits(head: bytes) -> bool:
    """Whether a text begins like COCO's."""
    return any(word in head for word in (b'"annotations"', b'"images"', b'"image_id"'))


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    value = load_json(path)
    if isinstance(value, dict) and value.get("images") is not None:
        yield from _read_images(value, path, options)
        return
    listed = dicts_in(value.get("annotations") if isinstance(value, dict) else value, "annotations")
    by_frame: dict[int, list[dict[str, Any]]] = {}
    for annotation in listed:
        by_frame.setdefault(_frame_number(annotation.get("image_id")), []).append(annotation)
    yield _clip([by_frame.get(frame, []) for frame in frame_span(by_frame)], options)


def _read_images(value: dict[str, Any], path: Path, options: Options) -> Iterator[dict[str, Any]]:
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in dicts_in(value.get("annotations", []), "annotations"):
        by_image.setdefault(str(annotation.get("image_id")), []).append(annotation)
    videos: dict[str | None, list[dict[str, Any]]] = {}
    for image in dicts_in(value["images"], "images"):
        video = image.get("video_id", image.get("vid_id"))
        videos.setdefault(None if video is None else str(video), []).append(image)
    listed = value.get("videos") if isinstance(value.get("videos"), list) else []
    names = {str(video.get("id")): str(video.get("name")) for video in dicts_in(listed, "videos") if video.get("name")}
    for key, images in videos.items():
        record = _clip([by_image.get(str(image.get("id")), []) for image in _in_order(images)], options)
        record |= _size(images)
        yield record | ({} if key is None else {"frame_dir": names.get(key, f"{path.stem}_{key}")})


def _size(images: list[dict[str, Any]]) -> dict[str, Any]:
    """img_shape where all images are of one size."""
    sizes = [(image.get("height"), image.get("width")) for image in images]
    alike = sizes.count(sizes[0]) == len(sizes)
    return {"img_shape": sizes[0]} if alike and all(isinstance(n, int) and n > 0 for n in sizes[0]) else {}


def _in_order(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images by frame number, those that are missing between them as empty ones; else by file name."""
    if all(isinstance(image.get("frame_id"), int) for image in images):
        placed = {image["frame_id"]: image for image in images}
        return [placed.get(frame, {"id": None}) for frame in frame_span(placed)]
    return sorted(images, key=lambda image: [int(n) for n in _NUMBER.findall(str(image.get("file_name", "")))])


def _frame_number(image_id: Any) -> int:
    """12 of 12, "12.jpg" or "video_000012.jpg"."""
    if isinstance(image_id, int):
        return image_id
    found = _NUMBER.findall(str(image_id))
    if not found:
        raise ValueError(f"image_id is {image_id!r:.60}: no frame number, and there is no list of images")
    return int(found[-1])


def _clip(frames: Frames, options: Options) -> dict[str, Any]:
    return clip_of([[_seen(a) for a in frame if a.get("keypoints")] for frame in frames], options, _JOINTS)


def _seen(annotation: dict[str, Any]) -> Seen:
    """Joints that are not labelled (visibility 0) become zeros; the mark of the others becomes a score of 1."""
    joints = triples(annotation["keypoints"], 3, "keypoints")
    xy, scores = joints[:, :2], joints[:, 2]
    if np.isin(scores, _VISIBILITY).all():
        xy, scores = xy * (scores > 0)[:, None], np.minimum(scores, 1)
    return Seen(xy, scores, track_of(annotation.get("track_id", annotation.get("idx"))))
