"""Names of clips that differ in folders and suffixes."""

import pytest

from stgcn_cli.data.name_index import NameIndex


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("v0", "v0"), ("v0.npy", "v0"), ("clips/v0.npy", "v0"), (r"D:\data\clips\v0.npy", "v0"), ("./v0.skeleton", "v0"),
        ("wave/v1.npy", "wave/v1"), ("own/wave/v1", "wave/v1"), ("v1", None), ("run/v1", None), ("v2", None), ("", None),
        ("a.b.mp4", "a.b"), ("v0.npy.npy", "v0"), ("1.5", "1.5"), ("x.2", None),
    ],
)  # fmt: skip
def test_a_name_is_found_when_folders_or_suffix_are_the_only_difference(name, found):
    index = NameIndex(["v0", "wave/v1", "kick/v1", "a.b", "1.5", "x.1"])
    assert index.find(name) == found
