"""The law of formats: a model gives the same scores to a file and to the pickle that `convert` makes of it."""

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.convert.convert import ConvertOptions, Rules, convert
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers import FORMATS
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.evaluation.predict import Predictor
from stgcn_cli.models import build_model
from tests.factories import weights
from tests.factories.examples import EXAMPLES

SIZED = [(name, (720, 1280)) for name in ("npz", "csv", "openpose")]  # files that do not tell the size of the image


@pytest.mark.parametrize(("format", "size"), [*((name, None) for name in FORMATS), *SIZED])
def test_a_file_and_its_conversion_get_the_same_scores(format, size, tmp_path):
    for index in range(4):
        folder = tmp_path / "in" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        EXAMPLES[format](folder / f"c{index}", index)
    options = Options(image_size=size)
    rules = Rules(from_folders=True, options=options)
    result = convert(ConvertOptions(inputs=[str(tmp_path / "in")], target=Target(tmp_path / "own.pkl"), rules=rules))
    preset = presets.load(str(tmp_path / "own.toml"))
    model = build_model(preset)
    weights.fill(model, "B")
    sized = {"image_size": size} if size else {}
    predictor = Predictor(model.eval(), preset, ["a", "b"], {}, torch.device("cpu"), **sized)

    def scores(path, read_as):
        clips = list(read_inputs([str(path)], options=read_as))
        return dict(zip([clip.name for clip in clips], predictor.answer(clips)[0], strict=True))

    original, converted = scores(tmp_path / "in", predictor.reading(options)), scores(tmp_path / "own.pkl", Options())
    assert result.clips == 4 and original.keys() == converted.keys()
    for name, wanted in converted.items():
        np.testing.assert_allclose(original[name], wanted, atol=1e-5)
    assert not np.allclose(*list(converted.values())[:2], rtol=0, atol=1e-4)  # the scores depend on the clip
