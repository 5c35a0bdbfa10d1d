"""Every network can be recorded by torch's own tools: it then computes with plain operations, to the same logits."""

import pytest
import torch

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.models import MODELS
from tests.factories import weights


@pytest.mark.parametrize("name", MODELS)
def test_traced_and_exported_programs_give_the_same_logits(name):
    model = MODELS[name](LAYOUTS["coco"], 5).eval()
    weights.fill(model, "B")
    x = torch.randn(2, 3, 12, 17, 2)
    with torch.inference_mode(False), torch.no_grad():
        wanted = model(x)
        traced = torch.jit.trace(model, x)
        exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("clips")},)).module()
        for found in (traced(x), exported(x), exported(x[:1])):
            torch.testing.assert_close(found, wanted[: len(found)], rtol=1e-4, atol=3e-4 * float(wanted.abs().max()))
        torch.testing.assert_close(model.cls_head(model.features(x)), wanted)
