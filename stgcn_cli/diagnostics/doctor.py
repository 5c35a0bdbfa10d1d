"""`stgcn doctor`: versions, devices, limits, folders and a self-test, for a bug report."""

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from stgcn_cli import __version__
from stgcn_cli.config import presets
from stgcn_cli.data.locations import data_folder, find_pickles
from stgcn_cli.diagnostics import Finding, selftest
from stgcn_cli.errors import StgcnError
from stgcn_cli.io.files import existing_parent, free_disk
from stgcn_cli.io.own_files import cache_folder
from stgcn_cli.io.text import size
from stgcn_cli.runtime.memory import machine_memory

_NEEDED = ("torch", "numpy", "pandas", "rich", "typer", "matplotlib")
_OPTIONAL = ("tensorboard", "wandb", "onnx", "onnxruntime")
_VARIABLES = (
    "STGCN_DATA", "STGCN_CACHE", "STGCN_RUN_ID", "STGCN_TRACEBACK", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_P2P_DISABLE", "NCCL_IB_DISABLE",
    "GLOO_SOCKET_IFNAME", "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODELIST",
)  # fmt: skip  # a literal list: other variables may hold tokens
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_LEAST_MEMORY, _LEAST_DISK = 4e9, 2e9  # bytes
_NATIVE_BF16 = (8, 0)  # compute capability
_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)\S*@(?=[^\s/@])")  # greedy: a password may hold / and @


def examine() -> Iterator[tuple[str, list[Finding]]]:
    """Yield each section with its findings, without home folders and passwords. A failing section reports its error."""
    for title, look in SECTIONS.items():
        yield title, [_hidden(finding) for finding in _safely(look)]


def _safely(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in look():
            found.append(finding)
    except Exception as error:  # a report about a broken machine must not break with it
        cause = f"{type(error).__name__}: {error}"[:300]
        found.append(Finding("unknown", cause, "Send this report with what you did before."))
    return found


def _hidden(finding: Finding) -> Finding:
    return Finding(finding.name, without_secrets(finding.value), without_secrets(finding.advice))


def without_secrets(text: str) -> str:
    """Return `text` with the home folder as ~ and without user and password of an address."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=$|[\\/:,\s\"'])", "~", text)
    return _USER.sub(r"\g<scheme>***@", text)


def _proxy(address: str) -> str:
    """Return the address of a proxy, with or without a scheme, without its user and password."""
    scheme, _, rest = address.rpartition("://")
    host = rest.rpartition("@")[2] if "@" in rest else rest
    return (scheme.rpartition("@")[2] + "://" if scheme else "") + ("***@" if "@" in address else "") + host


def versions() -> Iterator[Finding]:
    """stgcn, Python and libraries, optional ones if they are installed."""
    yield Finding("stgcn", __version__)
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()})")
    for name in (*_NEEDED, *_OPTIONAL):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield Finding(name, importlib.metadata.version(name))
            continue
        if name in _NEEDED:
            yield Finding(name, "missing", f"Install it: pip install {name}")


def machine() -> Iterator[Finding]:
    """Platform, cores and memory."""
    yield Finding("platform", f"{platform.platform()}, {platform.machine()}")
    yield Finding("cores", str(os.cpu_count()))
    total, free = machine_memory()
    few = free is not None and free < _LEAST_MEMORY
    known = f"{size(total)}, {size(free)} free" if total and free is not None else "unknown on this system"
    yield Finding("memory", known, "Training the published presets on a CPU needs about 5 GB." if few else "")


def devices() -> Iterator[Finding]:
    """CUDA devices with memory and capability, communication backends, the CPU."""
    import torch
    from torch import distributed

    yield _cuda()
    cuda = torch.cuda.is_available()
    for index in range(torch.cuda.device_count() if cuda else 0):
        about = torch.cuda.get_device_properties(index)
        no_bf16 = ", no bf16 and no tf32" if (about.major, about.minor) < _NATIVE_BF16 else ""
        free, total = torch.cuda.mem_get_info(index)
        yield Finding(
            f"cuda:{index}", f"{about.name}, {size(total)}, {size(free)} free, capability {about.major}.{about.minor}{no_bf16}",
            "Most of its memory is in use: see nvidia-smi." if free < total / 2 else "",
        )  # fmt: skip
    nccl, gloo = distributed.is_available() and distributed.is_nccl_available(), distributed.is_available()
    lost = "Without NCCL several GPUs cannot train together: use --gpus 1." if cuda and not nccl else ""
    yield Finding("communication", ", ".join(["NCCL"] * (cuda and nccl) + ["gloo"] * gloo) or "only --gpus 1", lost)
    yield Finding("CPU", f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads")


def _cuda() -> Finding:
    import torch

    from stgcn_cli.runtime.devices import DRIVER

    built = torch.version.cuda
    if torch.cuda.is_available():
        return Finding("CUDA", f"{built}, cuDNN {torch.backends.cudnn.version()}")
    found = f"no usable GPU (torch is built for CUDA {built})" if built else "no usable GPU (torch is a CPU build)"
    if not any(path.exists() for path in DRIVER):
        return Finding("CUDA", found)
    if built is None:
        advice = "Install the CUDA build of torch: see https://pytorch.org/get-started"
    else:
        advice = "Is the driver too old, CUDA_VISIBLE_DEVICES empty, or the container started without its GPUs? See nvidia-smi"
    return Finding("CUDA", f"{found}, though there is an NVIDIA driver", advice)


def folders() -> Iterator[Finding]:
    """Free space for data, caches and runs, and whether they are writable."""
    for name, folder, choice in (
        ("data folder", data_folder(), "--data"), ("cache folder", cache_folder(), "STGCN_CACHE"),
        ("run folders", Path("runs"), "--work-dir"),
    ):  # fmt: skip
        parent, free = existing_parent(folder), free_disk(folder)
        advice = "Free some space: a run keeps its checkpoints." if free < _LEAST_DISK else ""
        if name != "data folder" and not os.access(parent, os.W_OK):
            advice = f"{parent} is not writable. Choose another folder ({choice})."
        yield Finding(name, f"{folder}{'' if folder.exists() else ', does not exist yet'}, {size(free)} free", advice)


def data() -> Iterator[Finding]:
    """Annotation files in the data folder, and the presets that can be trained with them."""
    found: dict[tuple[Path, ...], list[str]] = {}
    for name in presets.names():
        wanted = presets.load(name).data
        try:
            found.setdefault(tuple(find_pickles(wanted.dataset, (wanted.train, wanted.val), ())), []).append(name)
        except StgcnError:
            continue
    for paths, names in found.items():
        files = ", ".join(f"{path.name} ({size(path.stat().st_size)})" for path in paths)
        yield Finding(", ".join(names), f"{files} in {paths[0].parent}")
    if not found:
        yield Finding("none", f"no annotation file of a preset in {data_folder()}; see `stgcn prepare`")


def environment() -> Iterator[Finding]:
    """Environment variables that change what stgcn does."""
    for name in _VARIABLES:
        if value := os.environ.get(name):
            lost = name == "STGCN_DATA" and not Path(value).is_dir()
            yield Finding(name, value[:300], "This folder does not exist." if lost else "")
    for name in _PROXIES:
        if value := os.environ.get(name):
            yield Finding(name, _proxy(value)[:300])


SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": versions, "machine": machine, "devices": devices, "folders": folders, "data": data,
    "environment": environment, "self-test": selftest.look,
}  # fmt: skip
