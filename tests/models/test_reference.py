"""The fast path is the plain one: on random graphs, lengths, persons and batches, gradients included."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.models.stgcn import STGCN
from stgcn_cli.models.temporal_conv import convolve, weight_gradient
from tests.factories.network_input import drawn_input, drawn_weights


@st.composite
def layouts(draw) -> Layout:
    """Any tree of joints: each but the first hangs on one before it."""
    joints = draw(st.integers(2, 9))
    bones = tuple((joint, draw(st.integers(0, joint - 1))) for joint in range(1, joints))
    return Layout("drawn", tuple(f"j{joint}" for joint in range(joints)), bones, draw(st.integers(0, joints - 1)))


@st.composite
def cases(draw):
    """A network and clips for it, some of whose persons are empty."""
    partition = draw(st.sampled_from(["spatial", "spatial-corrected", "uniform", "distance", "agcn"]))
    clips, persons = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    channels, frames = draw(st.integers(2, 3)), draw(st.integers(1, 21))
    layout, seed = draw(layouts()), draw(st.integers(0, 2**31))
    torch.manual_seed(seed)
    model = STGCN(layout, draw(st.integers(1, 5)), channels, partition)
    model.load_state_dict(drawn_weights(model))
    x = torch.randn(clips, channels, frames, len(layout.joints), persons)
    empty = torch.tensor([[draw(st.booleans()) for _ in range(persons)] for _ in range(clips)])
    x.permute(0, 4, 1, 2, 3)[empty] = draw(st.sampled_from([0.0, -0.5]))
    return model, x


@settings(max_examples=20, deadline=None)
@given(cases(), st.booleans())
def test_fast_equals_plain_in_float64(case, training):
    # BatchNorm has no variance of one value; where nobody is there at all, it makes rounding 300 times as large each time.
    assume(not training or (case[1][:, 0, :, 0].numel() > 1 and len(case[1].unique()) > 2))
    fast, x = case[0].double().train(training), case[1].double()
    plain = copy.deepcopy(fast)
    outputs = fast(x), plain.plain(x)
    torch.testing.assert_close(*outputs, rtol=1e-8, atol=1e-10)
    weights = torch.randn_like(outputs[0])
    for logits in outputs:
        (logits * weights).sum().backward()
    most = max(float(p.grad.abs().max()) for p in plain.parameters())
    for (name, p), q in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-6, atol=1e-9 * most, msg=name)
    for p, q in zip(fast.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)


@settings(max_examples=10, deadline=None)
@given(cases())
def test_fast_evaluation_stays_near_plain_in_float32(case):
    model, x = case[0].eval(), case[1]
    with torch.inference_mode():
        plain = model.plain(x)
        for _ in range(2):  # the second time with the features of an empty person that were kept
            assert (model(x) - plain).abs().max() <= 1e-5 * max(1.0, float(plain.abs().max()))


@pytest.mark.parametrize("name", ["ntu60-3d", "ntu60-2d", "babel60"])
def test_the_plain_path_is_the_references(golden, name):
    figures = np.load(golden / "forward" / f"{name}.npz")
    model = STGCN("coco" if figures["input_shape"][3] == 17 else "ntu", 60)
    model.load_state_dict(drawn_weights(model))
    with torch.no_grad():
        logits = model.double().eval().plain(drawn_input(tuple(figures["input_shape"])).double())
    np.testing.assert_allclose(logits, figures["logits_f64"], rtol=0, atol=1e-9 * abs(figures["logits_f64"]).max())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 17), st.integers(1, 5), st.integers(1, 5),
       st.sampled_from([(9, 1), (9, 2), (5, 3), (3, 1)]))  # fmt: skip
def test_own_weight_gradients_are_those_of_torch(bodies, joints, frames, c_in, c_out, kernel):
    (taps, stride), padding = kernel, kernel[0] // 2
    x = torch.randn(bodies, joints, frames, c_in, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(c_out, c_in, 1, taps, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(c_out, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), weight, bias, (1, stride), (0, padding))
    dy = torch.randn_like(y)
    wanted = torch.autograd.grad(y, (x, weight, bias), dy)
    own = convolve(x.permute(0, 3, 1, 2), weight, bias, stride, padding)
    torch.testing.assert_close(own, y)
    for a, b in zip(torch.autograd.grad(own, (x, weight, bias), dy), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    alone = weight_gradient(x.detach(), dy.permute(0, 2, 3, 1), taps, stride, padding)
    torch.testing.assert_close(alone, wanted[1], rtol=1e-9, atol=1e-10)
