"""A recogniser as a program of its own: ONNX, or torch.export's .pt2, from keypoints to logits and features.

Shapes: N clips, M persons, T frames, V joints, C values of a joint.
What is tensor arithmetic is part of the program: division by the image size, stream, looping to the clip length. Uniform
sampling and the ways of normalising that look at a whole clip first are not; `steps_outside` describes them in the metadata.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stgcn_cli import __version__
from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import streams
from stgcn_cli.data.prenormalize import normalised
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.errors import UsageError

INSTALL = 'pip install "stgcn[onnx]"'
OPSET = 18
INPUT, SIZE, OUTPUTS = "keypoints", "image_size", ("logits", "features")
_INSIDE = ("none", "image")  # data.normalize that needs nothing but the frame itself


def is_whole(preset: Preset) -> bool:
    """Whether the program takes clips as they are stored; else those that the loader prepared."""
    return preset.data.normalize in _INSIDE and preset.data.sampling == "loop"


def takes_size(preset: Preset) -> bool:
    """Whether the program asks for the image size (N, 2) of each clip."""
    return is_whole(preset) and preset.data.normalize == "image" and preset.data.image_size == "record"


def steps_outside(preset: Preset) -> list[str]:
    """What has to be done to keypoints before the program, in this order, in words."""
    data, steps = preset.data, []
    if data.pre_normalize == "ntu":
        steps.append(
            "raw NTU skeletons: keep the two bodies that move most, subtract the middle of the spine of the first frame, turn "
            "the spine upright and the shoulders level (stgcn_cli.data.ntu.normalize)"
        )
    if not is_whole(preset):
        steps += [
            f"normalise: {data.normalize}", f"stream: {data.stream}",
            f"sample {data.clip_len} frames: {data.sampling}; average probabilities over samples",
        ]  # fmt: skip
    return steps


def metadata(preset: Preset, classes: Sequence[str], trained_on: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of the file needs to know: texts, the structured ones as JSON."""
    layout, data = presets.layout_of(preset), preset.data
    values = {
        "classes": list(classes),
        "layout": {"name": layout.name, "joints": list(layout.joints), "bones": [list(bone) for bone in layout.bones]},
        "input": {
            "axes": "N M T V C: clips, persons, frames, joints, values of a joint", "values": list(data.channels),
            "persons": data.num_person, "frames": data.clip_len or "any", "prepared": not is_whole(preset),
            "image_size": "N 2: height, width in pixels" if takes_size(preset) else None, "before": steps_outside(preset),
        },
        "trained_on": dict(trained_on),
    }  # fmt: skip
    return {
        "stgcn": __version__,
        "preset": presets.to_toml(preset),
        **{key: json.dumps(value, ensure_ascii=False) for key, value in values.items()},
    }


class Program(nn.Module):
    """Keypoints (N, M, T, V, C), any T unless prepared, to logits (N, classes) and features (N, 256).

    `image_size` (N, 2) is height and width in pixels, where the preset divides by each record's own.
    """

    parent: Tensor

    def __init__(self, network: nn.Module, preset: Preset) -> None:
        super().__init__()
        data = preset.data
        self.network: Any = network
        self.whole, self.data = is_whole(preset), data
        self.register_buffer("parent", torch.tensor(streams.parents(presets.layout_of(preset))), persistent=False)

    def forward(self, keypoints: Tensor, image_size: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        x = self.prepare(keypoints, image_size) if self.whole else keypoints
        features = self.network.features(x.permute(0, 4, 2, 3, 1))
        return self.network.cls_head(features).float(), features.float()

    def prepare(self, x: Tensor, image_size: Tensor | None) -> Tensor:
        """What the loader does to clips of one length."""
        data = self.data
        if data.normalize == "image":
            size = torch.tensor([REFERENCE_SIZE], dtype=x.dtype) if image_size is None else image_size
            x = normalised(x, size)
        if data.stream != "joint":
            after = torch.cat([x[:, :, 1:], x[:, :, -1:]], 2)
            last = torch.arange(x.shape[2]) + 1 == x.shape[2]
            x = streams.stream_of(data.stream, x, after, last, self.parent, data.channels == "xys")
        if data.clip_len is None:
            return x
        frames = torch.full((1,), x.shape[2], dtype=torch.int64)  # a tensor: ONNX has no remainder of plain numbers
        return x[:, :, torch.arange(data.clip_len) % frames]


def example(preset: Preset, clips: int = 2, frames: int = 24, seed: int = 0) -> tuple[Tensor, ...]:
    """Drawn inputs of a program: in the units of the preset, the last person of every other clip absent."""
    data, generator = preset.data, torch.Generator().manual_seed(seed)
    frames = frames if is_whole(preset) else data.clip_len or frames
    shape = (clips, data.num_person, frames, len(presets.layout_of(preset).joints), len(data.channels))
    x = torch.randn(shape, generator=generator)
    if is_whole(preset) and data.channels != "xyz":
        x[..., :2] = 500 + 100 * x[..., :2]  # pixels
        x[..., 2:] = x[..., 2:].abs().clamp(max=1)
    if data.num_person > 1:
        x[::2, -1] = 0
    size = torch.tensor([[1080.0, 1920.0], [480.0, 640.0]]).repeat(clips, 1)[:clips]
    return (x, size) if takes_size(preset) else (x,)


def exported(program: Program, preset: Preset) -> "torch.export.ExportedProgram":
    """The program as torch.export records it: any number of clips, any number of frames where the graph takes any."""
    clips = torch.export.Dim("clips")
    axes: dict[int, Any] = {0: clips}
    if is_whole(preset):
        axes[2] = (
            torch.export.Dim("frames", min=8, max=1_000_000)
            if preset.data.clip_len is None
            else torch.export.Dim.DYNAMIC
        )
    shapes = (axes, {0: clips}) if takes_size(preset) else (axes,)
    with _quiet(), torch.no_grad():
        return torch.export.export(program.eval(), example(preset), dynamic_shapes=shapes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings of torch's exporters, which name packages that are not needed. May be nested."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def pt2(program: Program, preset: Preset, about: Mapping[str, str]) -> bytes:
    """The bytes of a .pt2 file, for torch.export.load; the metadata are its extra file "stgcn.json"."""
    stream = io.BytesIO()
    torch.export.save(exported(program, preset), stream, extra_files={"stgcn.json": json.dumps(about)})
    return stream.getvalue()


def onnx(program: Program, preset: Preset, about: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file. Raises UsageError where the packages for it are missing."""
    require_packages()
    inputs = [INPUT, SIZE] if takes_size(preset) else [INPUT]
    with _quiet():
        written = torch.onnx.export(
            exported(program, preset), dynamo=True, opset_version=OPSET, input_names=inputs, output_names=list(OUTPUTS),
            verbose=False,
        )  # fmt: skip
    assert written is not None
    return with_metadata(written.model_proto, about)


def with_metadata(model: Any, about: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX model with these metadata instead of its own."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "stgcn", __version__
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


def int8(model: bytes, about: Mapping[str, str]) -> bytes:
    """An ONNX model with weights in 8 bits and activations quantised as they come (dynamic quantisation)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = f"{folder}/model.onnx"
        quantize_dynamic(onnx.load_from_string(model), out, per_channel=True, weight_type=QuantType.QInt8)
        return with_metadata(onnx.load(out), about)


def require_packages() -> None:
    """Raise UsageError, saying what to install, where ONNX files cannot be written."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f"ONNX files need a package that is not installed: {error.name}.", INSTALL) from error
