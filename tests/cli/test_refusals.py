"""What `train` and `eval` cannot do is told before anything is built, with the command that works."""

import pytest

from tests.conftest import SMALL

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--gpus", "3"), 2, "Use --gpus 2, or change the recipe"),
        (("--gpus", "8", "--device", "cuda"), 2, "CUDA GPU"),
        (("--gpus", "0"), 2, "--gpus 1"),
        (("--device", "tpu"), 2, "auto, cpu or cuda"),
        (("--precision", "int8"), 2, "bf16"),
        (("--data", "nowhere.pkl"), 3, "nowhere.pkl not found"),
        (("--set", "data.train=xview_train"), 3, "It has xsub_train, xsub_val"),
        (("--set", "model.num_classes=2"), 3, "--set model.num_classes=3"),
        (("--set", "data.clip_len=none"), 3, "--set data.clip_len="),
        (("--load-from", "nowhere.pth"), 4, "Checkpoint nowhere.pth not found"),
        (("--resume-from", "data/ntu60.pkl"), 4, "data/ntu60.pkl"),
        (("--nnodes", "2"), 2, "--rdzv-endpoint"),
        (("--preset", "ntu60-xsub-2d", "--set", "data.dataset=ntu60"), 3, "2-D/3-D mix-up"),
        (("--test-best", "--no-validate"), 2, "--test-best"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_built(stgcn, small_data, tmp_path, words, code, told):
    said = stgcn(*TRAIN, *words)
    assert (said.code, told in said.err) == (code, True), said.err
    assert not list(tmp_path.glob("runs/*/*.pth"))


def test_eight_gpus_that_are_not_there_are_refused_with_the_command_that_works(stgcn):
    said = stgcn("train", "--preset", "babel60-wfl", "--gpus", "8", env={"CUDA_VISIBLE_DEVICES": ""})
    assert said.code == 2 and "this machine has no CUDA GPU" in said.err
    assert "--gpus 8 --device cpu" in said.err


def test_a_missing_file_is_named_with_the_command_that_makes_it(stgcn):
    said = stgcn("train", "--preset", "ntu60-xsub-3d")
    assert said.code == 3 and "ntu60.pkl not found in data" in said.err and "stgcn prepare ntu60" in said.err
    said = stgcn("train", "--preset", "babel60-wfl", "--gpus", "8", "--device", "cpu")
    assert said.code == 3 and "babel60.pkl" in said.err and "babel.is.tue.mpg.de" in said.err


def test_the_mix_up_of_2d_and_3d_names_both_and_the_way_out(stgcn, small_data):
    said = stgcn("train", "--preset", "ntu60-xsub-2d", "--data", small_data / "ntu60.pkl", "--device", "cpu")
    assert said.code == 3
    assert "75" in said.err and "51" in said.err and "mix-up" in said.err
    assert "stgcn data convert" in said.err, "three classes fit no published preset"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere.pth",), 4, "Checkpoint nowhere.pth not found"),
        (("data/ntu60.pkl",), 3, "it is an annotation pickle"),
        (("babel60", "--out", "r.yaml"), 2, ".json"),
        (("runs/x.pth", "--metrics", "top_k"), 2, "Did you mean 'top_k_accuracy'"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_eval_cannot_use_is_refused(stgcn, small_data, words, code, told):
    said = stgcn("eval", *words)
    assert (said.code, told in said.err) == (code, True), said.err
