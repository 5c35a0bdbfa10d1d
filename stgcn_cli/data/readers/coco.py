"""COCO keypoints: {"images", "annotations"}, or a results list as pose estimators (AlphaPose, too) write it.

A file is one clip, or one for each video: that of video_id, else what names of images have beside the number of the frame.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.readers import frames, named_joints
from stgcn_cli.data.readers.parsing import Options, dicts_in, frame_span, load_json, triples
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of

_JOINTS = 17  # of a clip without a person
_VISIBILITY = (0.0, 1.0, 2.0)  # not labelled, hidden, seen
_FRAME_KEYS = ("frame_id", "frame_index", "frame_number", "frame")
Annotations = dict[str, list[dict[str, Any]]]  # by image


def fits(head: bytes) -> bool:
    """Whether a text begins like COCO's."""
    return any(word in head for word in (b'"annotations"', b'"images"', b'"image_id"'))


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    value = load_json(path)
    listed = value if isinstance(value, dict) else {}
    annotations = dicts_in(listed.get("annotations", []) if isinstance(value, dict) else value, "annotations")
    people: Annotations = {}
    for annotation in annotations:
        people.setdefault(str(annotation.get("image_id")), []).append(annotation)
    if listed.get("images") is not None:
        yield from _of_images(listed, people, options, path.stem)
    else:
        yield from _of_results(annotations, people, options, path.stem)


def _of_images(value: dict[str, Any], people: Annotations, options: Options, stem: str) -> Iterator[dict[str, Any]]:
    """The clips of a list of images: one for each video they name or their names tell."""
    layout = _layout(value.get("categories"))
    named = {} if layout is None else {"layout": layout}
    images = dicts_in(value["images"], "images")
    if key := next((key for key in frames.VIDEO_KEYS if any(image.get(key) is not None for image in images)), None):
        yield from (clip | named for clip in _by_video(images, key, value, people, options, stem))
        return
    names = [str(image.get("file_name") or image.get("id")) for image in images]
    if _frame_key(images):  # of one video; names of frames need not tell
        videos = frames.videos_of(list(dict.fromkeys(names))) if len(set(names)) == len(names) else []
    else:
        videos = frames.video_of(names, "file_name")
    several = len(videos) > 1
    for video in videos or [frames.Video("", (), tuple(range(len(images))))]:
        chosen = [images[item] for item in video.items]
        clip = _clip(chosen, video.numbers, people, options, strict=True) | _called(video, stem, several) | named
        yield clip | {"notes": frames.note_on(videos, stem)}
    if not images:
        yield clip_of([], options, _JOINTS)


def _by_video(
    images: list[dict[str, Any]], key: str, value: dict[str, Any], people: Annotations, options: Options, stem: str
) -> Iterator[dict[str, Any]]:
    videos: dict[str, list[dict[str, Any]]] = {}
    for image in images:
        if image.get(key) is None:
            raise ValueError(f"image {image.get('id')!r:.40} has no {key}, others have one")
        videos.setdefault(str(image[key]), []).append(image)
    listed = value.get("videos") if isinstance(value.get("videos"), list) else []
    names = {str(video.get("id")): str(video.get("name")) for video in dicts_in(listed, "videos") if video.get("name")}
    for video, its in videos.items():
        yield _clip(its, (), people, options, strict=False) | {"frame_dir": names.get(video, f"{stem}_{video}")}


def _clip(
    images: list[dict[str, Any]], numbers: Sequence[int], people: Annotations, options: Options, strict: bool
) -> dict[str, Any]:
    """The clip of the images of one video: in the order of frame_id, else of the numbers in their names."""
    if key := _frame_key(images):
        numbers = [image[key] for image in images]
    elif not numbers:
        names = [str(image.get("file_name") or image.get("id")) for image in images]
        videos = frames.videos_of(names) if len(set(names)) == len(names) else []
        if len(videos) != 1:  # the video is known, its order is not: as listed
            return _of_frames([str(image.get("id")) for image in images], people, options) | _size(images, strict)
        images, numbers = [images[item] for item in videos[0].items], range(len(images))
    placed = {number: str(image.get("id")) for number, image in zip(numbers, images, strict=True)}
    return _of_frames([placed.get(number) for number in frame_span(placed)], people, options) | _size(images, strict)


def _of_frames(ids: Sequence[str | None], people: Annotations, options: Options) -> dict[str, Any]:
    return clip_of([_seen(people.get(image, ()) if image is not None else ()) for image in ids], options, _JOINTS)


def _frame_key(images: list[dict[str, Any]]) -> str | None:
    """The key under which every image tells a number of its own among those of its video."""
    for key in _FRAME_KEYS:
        numbers = [image.get(key) for image in images]
        if images and all(type(number) is int for number in numbers):
            return key if len(set(numbers)) == len(numbers) else None
    return None


def _of_results(
    annotations: list[dict[str, Any]], people: Annotations, options: Options, stem: str
) -> Iterator[dict[str, Any]]:
    """The clips of a results list, whose image_id is a number or a name."""
    if key := next((key for key in frames.VIDEO_KEYS if any(each.get(key) is not None for each in annotations)), None):
        videos: dict[str, list[dict[str, Any]]] = {}
        for annotation in annotations:
            videos.setdefault(str(annotation.get(key)), []).append(annotation)
    else:
        videos = {"": annotations}
    for word, its in videos.items():
        own: Annotations = {}
        for annotation in its:
            own.setdefault(str(annotation.get("image_id")), []).append(annotation)
        names = list(own)
        if not names:
            yield clip_of([], options, _JOINTS)
        found = frames.video_of(names, "image_id")
        several = len(found) > 1 or len(videos) > 1
        for video in found:
            placed = {number: names[item] for number, item in zip(video.numbers, video.items, strict=True)}
            clip = _of_frames([placed.get(number) for number in frame_span(placed)], own, options)
            named = f"{word}_{video.name}".strip("_") if word else video.name
            yield clip | _called(frames.Video(named, (), ()), stem, several) | {"notes": frames.note_on(found, stem)}


def _called(video: frames.Video, stem: str, several: bool) -> dict[str, Any]:
    """The name of one of several clips; the only one of a file is called as the file."""
    if not several:
        return {}
    last = video.name.rpartition("/")[2]
    return {"frame_dir": last if parse_name(last) else f"{stem}/{video.name}" if video.name else stem}


def _size(images: list[dict[str, Any]], strict: bool) -> dict[str, Any]:
    """img_shape where all images are of one size. Raises ValueError for others where `strict`."""
    sizes = [(image.get("height"), image.get("width")) for image in images]
    alike = sizes.count(sizes[0]) == len(sizes)
    if alike and all(type(n) is int and n > 0 for n in sizes[0]):
        return {"img_shape": sizes[0]}
    told = {size for size in sizes if all(type(n) is int for n in size)}
    if strict and len(told) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sorted(told)[:3])
        raise ValueError(
            f"its images have different sizes ({listed}): unrelated pictures, not frames of a video. video_id says which images "
            "belong to one video"
        )
    return {}


def _layout(categories: Any) -> Layout | None:
    """The skeleton that the first category with keypoints describes; links count from 1."""
    for category in categories if isinstance(categories, list) else ():
        if isinstance(category, dict) and isinstance(names := category.get("keypoints"), list):
            links = category.get("skeleton")
            ends = [end for link in links if isinstance(link, list) for end in link] if isinstance(links, list) else []
            first = 0 if any(type(end) is int and end == 0 for end in ends) else 1
            return named_joints.layout_of(names, links, str(category.get("name") or "own"), first=first)
    return None


def _seen(annotations: Sequence[dict[str, Any]]) -> list[Detection]:
    """The persons of a frame. Joints not labelled (visibility 0) become zeros; the mark of the others a score of 1."""
    found = []
    for annotation in annotations:
        if annotation.get("keypoints"):
            joints = triples(annotation["keypoints"], 3, "keypoints")
            found.append(scored(joints, track_of(annotation.get("track_id", annotation.get("idx")))))
    return found


def scored(joints: np.ndarray, track: int | str | None) -> Detection:
    """A person of x, y and score or visibility (V, 3)."""
    xy, scores = joints[:, :2], joints[:, 2]
    if np.isin(scores, _VISIBILITY).all():
        xy, scores = xy * (scores > 0)[:, None], np.minimum(scores, 1)
    return Detection(xy, scores, track)
