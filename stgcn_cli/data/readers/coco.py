"""COCO keypoints: {"images", "annotations"}, or a results list as pose estimators (AlphaPose, too) write it.

A file is one clip, or one for each video: that of video_id, else what names of images have beside the number of the frame.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.readers import frames, named_joints
from stgcn_cli.data.readers.parsing import Options, dicts_in, frame_span, load_json, triples
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of

_JOINTS = 17  # of a clip without a person
_VISIBILITY = (0.0, 1.0, 2.0)  # not labelled, hidden, seen
_FRAME_KEYS = ("frame_id", "frame_index", "frame_number", "frame")
Dicts = list[dict[str, Any]]


def fits(head: bytes) -> bool:
    """Whether a text begins like COCO's."""
    return any(word in head for word in (b'"annotations"', b'"images"', b'"image_id"'))


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    value = load_json(path)
    listed = value if isinstance(value, dict) else {}
    annotations = dicts_in(listed.get("annotations", []) if isinstance(value, dict) else value, "annotations")
    if listed.get("images") is None:
        yield from _of_results(annotations, options, path.stem)
        return
    images, (category, *others) = dicts_in(listed["images"], "images"), _categories(listed.get("categories"))
    unlike = [each.get("id") for each in others if each["keypoints"] != category["keypoints"]]
    kept = [each for each in annotations if each.get("category_id") not in unlike]
    lost = len(annotations) - len(kept)
    kind = category.get("name") or category.get("id")
    notes = (
        (f"{path.stem}: {lost:,} of {len(annotations):,} annotations have other keypoints than {kind}: left out.",)
        if lost
        else ()
    )
    names, links = category.get("keypoints"), category.get("skeleton")
    ends = [end for link in links if isinstance(link, list) for end in link] if isinstance(links, list) else []
    first = 0 if any(type(end) is int and end == 0 for end in ends) else 1  # links count from 1
    for clip in _of_images(images, listed, _by(kept, "image_id"), options, path.stem):
        clip["notes"] = (*clip.get("notes", ()), *notes)
        yield named_joints.described(clip, names, links, category.get("name"), options.layout, first)


def _by(items: Dicts, key: str) -> dict[str, Dicts]:
    """The items by what they have under a key, as a text."""
    found: dict[str, Dicts] = {}
    for item in items:
        found.setdefault(str(item.get(key)), []).append(item)
    return found


def _of_images(
    images: Dicts, listed: dict[str, Any], people: dict[str, Dicts], options: Options, stem: str
) -> Iterator[dict[str, Any]]:
    """The clips of a list of images: one for each video they name or their names tell."""
    if key := _video_key(images):
        if odd := next((image for image in images if image.get(key) is None), None):
            raise ValueError(f"image {odd.get('id')!r:.40} has no {key}, others have one")
        videos = listed["videos"] if isinstance(listed.get("videos"), list) else []
        called = {str(video.get("id")): str(video["name"]) for video in dicts_in(videos, "videos") if video.get("name")}
        for word, its in _by(images, key).items():
            yield _clip(_in_order(its), people, options, False) | {"frame_dir": called.get(word, f"{stem}_{word}")}
        return
    names = [str(image.get("file_name") or image.get("id")) for image in images]
    if not _frame_key(images):
        found = frames.video_of(names, "file_name")
    else:  # of one video; names of frames need not tell
        found = frames.videos_of(names) if len(set(names)) == len(names) else []
    for video in found or [frames.Video("", (), tuple(range(len(images))))]:
        its = [images[item] for item in video.items]
        ordered = _in_order(its) if _frame_key(images) else dict(zip(video.numbers, its, strict=True))
        clip = _clip(ordered, people, options, True) | _called(video.name, stem, len(found) > 1)
        yield clip | {"notes": frames.note_on(found, stem)}


def _in_order(images: Dicts) -> dict[int, dict[str, Any]]:
    """The images of one video by frame: by frame_id, else in the order of the numbers in their names, else as listed."""
    if key := _frame_key(images):
        return {image[key]: image for image in images}
    names = [str(image.get("file_name") or image.get("id")) for image in images]
    videos = frames.videos_of(names) if len(set(names)) == len(names) else []
    return dict(enumerate([images[item] for item in videos[0].items] if len(videos) == 1 else images))


def _clip(
    images: dict[int, dict[str, Any]], people: dict[str, Dicts], options: Options, strict: bool
) -> dict[str, Any]:
    """The clip of the images of one video, by frame."""
    persons = {number: people.get(str(image.get("id")), []) for number, image in images.items()}
    return _of_frames(persons, options) | _size(list(images.values()), strict)


def _of_frames(people: dict[int, Dicts], options: Options) -> dict[str, Any]:
    """The clip of annotations by frame; of none one frame without a person."""
    return clip_of([_seen(people.get(number, ())) for number in frame_span(people)], options, _JOINTS)


def _frame_key(images: Dicts) -> str | None:
    """The key under which every image tells a number of its own among those of its video."""
    for key in _FRAME_KEYS:
        numbers = [image.get(key) for image in images]
        if images and all(type(number) is int for number in numbers):
            return key if len(set(numbers)) == len(numbers) else None
    return None


def _video_key(items: Dicts) -> str | None:
    return next((key for key in frames.VIDEO_KEYS if any(item.get(key) is not None for item in items)), None)


def _of_results(annotations: Dicts, options: Options, stem: str) -> Iterator[dict[str, Any]]:
    """The clips of a results list, whose image_id is a number or a name."""
    key = _video_key(annotations)
    videos = _by(annotations, key) if key else {"": annotations}
    for word, its in videos.items():
        people = _by(its, "image_id")
        names = list(people)
        found = frames.video_of(names, "image_id")
        for video in found or [frames.Video("", (), ())]:
            numbered = zip(video.numbers, video.items, strict=True)
            clip = _of_frames({number: people[names[item]] for number, item in numbered}, options)
            name = f"{word}_{video.name}".strip("_") if word else video.name
            clip |= _called(name, stem, len(found) > 1 or len(videos) > 1)
            yield clip | {"notes": frames.note_on(found, stem)}


def _called(name: str, stem: str, several: bool) -> dict[str, Any]:
    """The name of one of several clips; the only one of a file is called as the file."""
    if not several:
        return {}
    last = name.rpartition("/")[2]
    return {"frame_dir": last if parse_name(last) else f"{stem}/{name}".rstrip("/")}


def _size(images: Dicts, strict: bool) -> dict[str, Any]:
    """img_shape where all images are of one size. Raises ValueError for others where `strict`."""
    sides = [[image.get("height"), image.get("width")] for image in images]
    sizes = list(dict.fromkeys(tuple(n if type(n) is int and n > 0 else None for n in size) for size in sides))
    whole = [size for size in sizes if None not in size]
    if len(sizes) == 1 and whole:
        return {"img_shape": sizes[0]}
    if strict and len(whole) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sorted(whole)[:3])
        raise ValueError(f"its images have different sizes ({listed}): no frames of a video, unless video_id says so")
    return {}


def _categories(listed: Any) -> list[dict[str, Any]]:
    """The categories with keypoints; an empty one where there are none."""
    found = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict)]
    return [each for each in found if isinstance(each.get("keypoints"), list)] or [{}]


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
