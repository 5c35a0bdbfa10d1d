"""The preset for own data: what it says of streams, views and mirrors follows from the clips."""

import tomllib

import pytest

from stgcn_cli.config.presets import from_text
from stgcn_cli.config.skeletons import layout_for
from stgcn_cli.data.convert.preset_template import Facts, preset_text


def facts(shape, names=None, pre_normalize="none"):
    return Facts("own", [71] * 9, [1] * 9, True, shape, layout_for(shape), "train", "val", 3, names, pre_normalize, 400)


@pytest.mark.parametrize(
    ("given", "rotate"),
    [
        (facts((25, 3, False), pre_normalize="ntu"), 0.3),  # turned by convert
        (facts((25, 3, False)), 0.3),  # turned by normalize = "body"
        (facts((22, 3, False)), (0.3, 1.0, 0.3)),  # nothing turns it
        (facts((17, 2, True)), 0.3),
    ],
)
def test_skeletons_that_nothing_turns_are_rotated_around_the_vertical(given, rotate):
    preset = from_text(preset_text(given).encode(), "own.toml", "preset")
    assert preset.augment.rotate == rotate
    assert preset.data.stream == "bone" and preset.data.sampling == "uniform"
    assert preset.data.augment == ("mirror", "rotate", "scale")


def test_no_mirror_where_classes_have_sides():
    text = preset_text(facts((25, 3, False), names=["wave left", "wave right", "sit"]))
    assert tomllib.loads(text)["data"]["augment"] == ["rotate", "scale"]
