"""The size of the image: understood in every spelling, missed where joints lie outside, assumed with a word."""

import numpy as np
import pytest

from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.records import image_size_of
from tests.factories import bodies

SPELLINGS = [(720, 1280), [720, 1280], (720, 1280, 3), (3, 720, 1280), np.array([720, 1280]), np.array([720, 1280, 3]),
             (720.0, 1280.0), np.array([720.0, 1280.0]), (np.int64(720), np.float32(1280))]  # fmt: skip
WRONG = [
    None,
    720,
    "720x1280",
    (720,),
    (720, 1280, 5),
    (720.5, 1280),
    (-720, 1280),
    (0, 0),
    [[720, 1280]],
    (float("nan"), 3),
    {},
]


@pytest.mark.parametrize("shape", SPELLINGS, ids=str)
def test_every_spelling_is_height_and_width(shape):
    assert image_size_of({"img_shape": shape}) == (720, 1280)


@pytest.mark.parametrize("shape", WRONG, ids=str)
def test_what_is_no_size_is_none(shape):
    assert image_size_of({"img_shape": shape}) == (0, 0)


@pytest.mark.parametrize(
    ("shape", "scale", "words"),
    [
        ((720, 1280), 1, ""),
        ((1280, 720), 1, "is img_shape (width, height)?"),
        ((720, 1280), 3, "outside of an image 1280 wide and 720 high"),
        (None, 1, "missing"),
        ("large", 1, "1920 x 1080 pixels are assumed"),
    ],
)
def test_joints_outside_of_the_image_are_reported(shape, scale, words):
    checker = RecordChecker(Findings("a.pkl"), labelled=False)
    checker.look_at({"frame_dir": "a", "keypoint": bodies.flat()[None] * (1.3, 1) * scale, "img_shape": shape})
    found = [each.found for each in checker.finish().found if each.key == "img_shape"]
    assert len(found) == bool(words) and all(words in each for each in found)
