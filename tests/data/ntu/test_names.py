from collections import Counter

import pytest

from stgcn_cli.data.ntu.names import (
    NTU,
    NtuName,
    benchmark_folder,
    benchmark_name,
    missing_samples,
    parse_name,
    split_of,
)

BEFORE_DROPPING = {
    "ntu60": {"xsub_train": 40_320, "xsub_val": 16_560, "xview_train": 37_920, "xview_val": 18_960},
    "ntu120": {"xsub_train": 63_360, "xsub_val": 51_120, "xset_train": 54_720, "xset_val": 59_760},
}


def test_a_name_says_setup_camera_person_replication_and_action():
    assert parse_name("S017C003P020R002A060") == NtuName(setup=17, camera=3, person=20, replication=2, action=60)


@pytest.mark.parametrize("name", ["", "XS001C001P001R001A001", "S001C001P001R001A001x", "S01C001P001R001A001", ".DS_Store",
                                  "s001c001p001r001a001", "S٠٠١C001P001R001A001"])  # fmt: skip
def test_other_names_are_foreign(name):
    assert parse_name(name) is None


def test_every_missing_sample_is_a_sample_and_302_of_535_are_in_ntu60():
    setups = [parse_name(name).setup for name in missing_samples()]
    assert len(setups) == 535 and sum(setup <= 17 for setup in setups) == 302


@pytest.mark.parametrize("dataset", NTU)
def test_dropping_the_missing_samples_leaves_the_official_counts(dataset):
    kind = NTU[dataset]
    names = [name for name in map(parse_name, missing_samples()) if name.setup <= kind.last_setup]
    dropped = Counter(split_of(kind, benchmark, name) for name in names for benchmark in kind.benchmarks)
    assert {split: BEFORE_DROPPING[dataset][split] - dropped[split] for split in kind.splits} == {
        split: kind.official[split] for split in kind.splits
    }
    for benchmark in kind.benchmarks:
        assert kind.official[f"{benchmark}_train"] + kind.official[f"{benchmark}_val"] == kind.official["clips"]


def test_the_splits_are_the_published_ones():
    ntu60, ntu120 = NTU["ntu60"], NTU["ntu120"]
    name = NtuName(setup=2, camera=1, person=45, replication=1, action=1)
    assert [split_of(ntu120, benchmark, name) for benchmark in ntu120.benchmarks] == ["xsub_train", "xset_train"]
    assert [split_of(ntu60, benchmark, name) for benchmark in ntu60.benchmarks] == ["xsub_val", "xview_val"]


@pytest.mark.parametrize(
    ("name", "wanted"), [("xsetup", "xset"), ("cross-view", "xview"), ("xsub", "xsub"), ("x", "x")]
)
def test_benchmarks_are_known_by_their_other_names(name, wanted):
    assert benchmark_name(name) == wanted
    assert benchmark_name(benchmark_folder(wanted)) == wanted
