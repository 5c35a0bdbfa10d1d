"""COCO's list of images -> the clips in it: one for each video they name, its images in order.

The order is that of frame_id, else of the numbers in file names; a frame_id that is missing is an image without anybody.
"""

import re
from collections.abc import Iterator
from typing import Any

from stgcn_cli.data.formats.reading import dicts_in, frame_span

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
