"""A CUDA device that computes nothing, in a CPU build of torch: the program's own code runs on fake tensors.

Devices, shapes, types and strides are propagated, mixing devices raises, and a wait of the host for the device shows: it is
an op whose result the host needs (`item`, `nonzero`) or a copy between devices from memory that is not pinned.
"""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HERE = Path(__file__).parent
_PACKAGE = "stgcn_cli"
_ASKS = ("aten._local_scalar_dense", "aten.item", "aten.nonzero", "aten.equal")
_VIEWS = ("view", "alias", "detach", "expand", "permute", "transpose", "slice", "select", "unsqueeze", "squeeze", "split",
          "unbind", "as_strided", "t.default", "chunk", "diagonal", "unfold", "lift_fresh", "_reshape_alias", "prim.")  # fmt: skip
_NO_KERNEL = ("empty", "new_empty", "is_pinned", "_pin_memory", "resize_")


@functools.cache
def library() -> Path | None:
    """The stub that makes torch believe in a CUDA device; None where it cannot be built."""
    name = f"fake_cuda_{torch.__version__}_{os.getuid() if hasattr(os, 'getuid') else 0}.so"
    built = Path(tempfile.gettempdir()) / name
    source, torch_folder = HERE / "guard.cpp", Path(torch.__file__).parent
    if torch.cuda.is_available() or torch.version.cuda is not None or sys.platform != "linux":
        return None
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    part = built.with_suffix(f".{os.getpid()}")
    include = torch_folder / "include"
    command = [
        "g++", "-shared", "-fPIC", "-O1", "-std=c++20", str(source), "-o", str(part), f"-I{include}",
        f"-I{include / 'torch/csrc/api/include'}", f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-lc10",
    ]  # fmt: skip
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(command, check=True, capture_output=True)
        return part.replace(built)
    return None


@dataclass(frozen=True)
class Op:
    """An op on the device: its name, where the program asked for it, and the bytes that it reads and writes."""

    name: str
    where: str
    bytes: int


@dataclass
class Recording:
    """Ops that start a kernel, the waits of the host, and the bodies that were computed."""

    ops: list[Op] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    bodies: int = 0

    @property
    def gigabytes(self) -> float:
        """Bytes read and written by all ops."""
        return sum(op.bytes for op in self.ops) / 1e9


def _place() -> str:
    """File and line of the program that asks for an op."""
    frame = sys._getframe()
    while frame is not None:
        if f"/{_PACKAGE}/" in frame.f_code.co_filename:
            return f"{frame.f_code.co_filename.split(f'/{_PACKAGE}/')[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return "autograd"


def _bytes(tensors: list[Tensor]) -> int:
    """Bytes in memory: values that a view shows several times count once."""
    total = 0
    for each in tensors:
        spread = [size for size, stride in zip(each.shape, each.stride(), strict=True) if stride != 0]
        total += int(torch.Size(spread).numel()) * each.element_size()
    return total


class Recorder(TorchDispatchMode):
    """Records ops on the device and answers what the host may not ask."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, str(func)
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        on_device = any(each.device.type == "cuda" for each in given)
        if name.startswith(_ASKS) and on_device:
            self.recording.waits.append(f"{name} at {_place()}")
            if not name.startswith(("aten._local", "aten.item")):
                raise AssertionError(self.recording.waits[-1])
            return 1 if not given[0].is_floating_point() else 1.0
        if name.startswith("aten._pin_memory"):  # the stub has no pinned memory
            assert not on_device, f"only memory of the host can be pinned, at {_place()}"
            pinned = args[0].clone()
            pinned.is_pinned_here = True
            return pinned
        if name.startswith("aten.empty") and kwargs.get("pin_memory"):
            pinned = func(*args, **kwargs | {"pin_memory": False})
            pinned.is_pinned_here = True
            return pinned
        if name.startswith("aten.is_pinned"):
            return getattr(args[0], "is_pinned_here", False)
        if torch.is_inference_mode_enabled() and not name.startswith("prim"):  # composite ops come whole here
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = _on_host(func, args, kwargs) if _is_of_host(given, args, kwargs) else _answered(func, name, args, kwargs)
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        self._record(name, given, made, kwargs)
        return out

    def _record(self, name: str, given: list[Tensor], made: list[Tensor], kwargs: dict[str, Any]) -> None:
        kinds = {each.device.type for each in given + made if each.dim()} | {each.device.type for each in made}
        if "cuda" not in kinds:
            return
        if len(kinds) > 1 and name.startswith(("aten._to_copy", "aten.copy_")):
            is_pinned = any(getattr(each, "is_pinned_here", False) for each in given) and kwargs.get("non_blocking")
            if not is_pinned:
                self.recording.waits.append(f"{name} at {_place()}")
        short = name.removeprefix("aten.")
        if short.startswith(_VIEWS) or short.startswith(_NO_KERNEL):
            return
        results = [each for each in made if not any(each is other for other in given)]
        in_place = [each for each in given if any(each is other for other in made)]
        if "gather_stats" in short:  # its first argument tells a type only
            given = given[1:]
        self.recording.ops.append(Op(short, _place(), _bytes(given) + _bytes(results) + _bytes(in_place)))


def _is_of_host(given: list[Tensor], args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether an op concerns nothing but numbers that the host has."""
    devices = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.device)]
    return all(each.type == "cpu" for each in devices) and not any(isinstance(each, FakeTensor) for each in given)


def _on_host(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The true result: else the host would count absent persons in memory that nothing was written to."""
    with unset_fake_temporarily():
        return func(*args, **kwargs)


def _answered(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """The result of an op, for those that know no fake tensors too."""
    if name.startswith("aten.batch_norm_"):
        x, channels = args[0], args[0].shape[1]
        if "elemt" in name:
            return torch.empty_like(x)
        count = 4 if "backward_reduce" in name else 2
        return tuple(x.new_empty(channels, dtype=torch.float32) for _ in range(count))
    if "batch_norm_update_stats" in name:
        return tuple(args[0].new_empty(args[0].shape[1], dtype=torch.float32) for _ in range(2))
    if "_fused_sgd_" in name or "_fused_adam" in name:
        return None
    return func(*args, **kwargs)


def _numpy(tensor: Tensor, of_torch: Any = Tensor.numpy) -> Any:
    """The numbers of a tensor of the host; those of a fake one would be whatever its memory holds."""
    assert not isinstance(tensor, FakeTensor), f"numbers that are not there, at {_place()}"
    return of_torch(tensor)


@contextlib.contextmanager
def fake_cuda() -> Iterator[FakeTensorMode]:
    """A block in which the device "cuda:0" exists and computes nothing."""
    torch.ops.load_library(str(library()))
    with mock.patch.object(Tensor, "numpy", _numpy), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@contextlib.contextmanager
def autocast_bf16() -> Iterator[None]:
    """What `torch.autocast("cuda", torch.bfloat16)` does where CUDA is not there."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", before)


def to_fake(model: nn.Module, device: torch.device) -> nn.Module:
    """The network with all of its tensors on the fake device."""
    for module in model.modules():
        for group in (module._parameters, module._buffers):
            for name, each in list(group.items()):
                if each is None:
                    continue
                empty = torch.empty_strided(each.shape, each.stride(), dtype=each.dtype, device=device)
                group[name] = nn.Parameter(empty, each.requires_grad) if isinstance(each, nn.Parameter) else empty
    return model
