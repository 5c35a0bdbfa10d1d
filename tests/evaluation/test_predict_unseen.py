"""Clips unlike those a model was trained on: a word on each, and pictures of any size taken by the same rule."""

import functools

import numpy as np
import pytest

from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.evaluation import predict
from stgcn_cli.runs.resolve import EvalOptions
from tests.conftest import make_records
from tests.factories.bodies import KINECT_POSE
from tests.factories.checkpoints import SMALL, WHOLE, evaluated, loaded, made, predicted, two_d, write


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """asked(preset, settings) is a Predictor that was trained on small clips of its kind; made once."""

    @functools.cache
    def load(preset, settings):
        folder = tmp_path_factory.mktemp("asked")
        seen = people(12) if preset == "ntu60-xsub-3d" else two_d()
        read = [given.record for given in read_inputs([str(write(folder / "x.pkl", seen))])]
        path = made(folder / "x.pth", preset, settings, trained_on=write(folder / "seen.pkl", read))
        return loaded(path)

    return load


def answered(predictor, data):
    """Logits and warnings."""
    scores, facts = predictor.answer(list(read_inputs([str(data)])))
    return scores, predictor.oddities(facts)


def people(clips):
    """Records whose joints lie as a body's do."""
    records = make_records(clips)
    for record in records:
        record["keypoint"] = record["keypoint"] * 0.2 + KINECT_POSE
    return records


def edited(change, clips=3):
    records = people(clips)
    for record in records:
        change(record)
    return records


def longer(record):
    record["keypoint"] = np.repeat(record["keypoint"], 5, axis=1)
    record["total_frames"] = record["keypoint"].shape[1]


def shorter(record):
    record["total_frames"] = 2


def millimetres(record):
    record["keypoint"] = record["keypoint"] * 1000


def nobody(record):
    record["keypoint"] = record["keypoint"] * 0


def crowd(record):
    record["keypoint"] = np.repeat(record["keypoint"], 3, axis=0)


def scores(record):
    record["keypoint_score"] = np.ones(record["keypoint"].shape[:3], np.float32)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: None, []),
        (longer, ["3 clips (clip000, …) are longer than 8 frames: only the first 8 are seen"]),
        (shorter, ["have 2 frames; the model was trained on clips of 9 to 13"]),
        (millimetres, ["Are these millimetres, and was the model trained on metres?"]),
        (nobody, ["have no person in any frame"]),
        (crowd, ["have more than one person; the others are dropped"]),
        (scores, ["have scores, which the model does not use"]),
    ],
)
def test_what_the_model_has_never_seen_is_reported_once(tmp_path, asked, change, told):
    settings = SMALL if change is longer else WHOLE
    _, found = answered(asked("ntu60-xsub-3d", settings), write(tmp_path / "x.pkl", edited(change)))
    assert len(found) == len(told), found
    assert all(text in line for text, line in zip(told, found, strict=True)), found


def half(records):
    for record in records:
        record["keypoint"] = (record["keypoint"] / 2).astype(np.float32)
        record["img_shape"] = (540, 960)
    return records


def without_size(records, factor=1.0):
    for record in records:
        record["keypoint"] = (record["keypoint"] * factor).astype(np.float32)
        del record["img_shape"]
    return records


def without_score(records):
    for record in records:
        del record["keypoint_score"]
    return records


def in_one_array(records):
    for record in records:
        record["keypoint"] = np.concatenate([record["keypoint"], record.pop("keypoint_score")[..., None]], axis=-1)
    return records


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda records: records, []),
        (half, []),  # by its own size it is the same picture
        (without_size, ["do not state the image size: 1920 x 1080"]),
        (lambda records: without_size(records, 3.0), ["outside of an image of 1920 x 1080"]),
        (lambda records: without_size(records, 0.001), ["look divided by an image size already"]),
        (without_score, ["have no scores; they count as 1"]),
        (in_one_array, ["taken as x, y and score"]),
    ],
)
def test_pictures_of_another_size_are_normalised_by_their_own(tmp_path, asked, change, told):
    predictor = asked("ntu60-xsub-2d", WHOLE)
    scores, found = answered(predictor, write(tmp_path / "x.pkl", change(two_d())))
    found = [line for line in found if "bodies of another size" not in line]
    assert len(found) == len(told) and all(text in line for text, line in zip(told, found, strict=True)), found
    if not told or change in (in_one_array, without_size):
        wanted = predictor.answer(list(read_inputs([str(write(tmp_path / "same.pkl", two_d()))])))[0]
        np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-4)


def test_a_model_that_divided_by_the_reference_whatever_the_picture_still_does(tmp_path):
    """Trained on other pictures with image_size = "reference": prediction and evaluation stay one rule."""
    data = write(tmp_path / "val.pkl", half(two_d()))
    path = made(tmp_path / "x.pth", "ntu60-xsub-2d", WHOLE, trained_on=data)
    said = predicted(path, data)
    np.testing.assert_array_equal(said.scores, evaluated(path, data))
    assert said.warnings == []
    other = two_d(size=(480, 640), scale=0.3)
    assert "come from images of 640 x 480 pixels" in "".join(predicted(path, write(tmp_path / "x.pkl", other)).warnings)


def test_one_input_and_its_warnings_for_other_rooms(tmp_path):
    """What `view` asks for."""
    path = made(tmp_path / "x.pth", trained_on=write(tmp_path / "train.pkl", make_records(6)))
    predictor = loaded(path)
    np.save(tmp_path / "clip.npy", make_records(1)[0]["keypoint"] * 1000)
    inputs = list(read_inputs([str(tmp_path / "clip.npy")]))
    assert predictor.answer(inputs)[0].shape == (1, 3) and len(predictor.classes) == 3
    assert any("clip has bodies of another size" in line for line in predictor.oddities(predictor.answer(inputs)[1]))


def test_images_of_unknown_size_are_taken_for_those_of_training_or_as_the_user_says(tmp_path):
    sized = two_d(size=(720, 1280), scale=0.5)
    settings = (*WHOLE, "data.image_size=record")
    path = made(tmp_path / "x.pth", "ntu60-xsub-2d", settings, trained_on=write(tmp_path / "train.pkl", sized))
    data = write(tmp_path / "x.pkl", without_size(two_d(size=(720, 1280), scale=0.5)))
    wanted = loaded(path).answer(list(read_inputs([str(tmp_path / "train.pkl")])))[0]
    scores, found = answered(loaded(path), data)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert any("1280 x 720 pixels are assumed" in line and "--image-size" in line for line in found)
    told = EvalOptions(checkpoint=str(path), device="cpu", image_size=(1440, 2560))
    scores, found = answered(predict.load(told), data)
    assert not any("assumed" in line for line in found) and not np.allclose(scores, wanted, atol=1e-5)
