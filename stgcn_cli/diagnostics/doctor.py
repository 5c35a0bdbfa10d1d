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
from stgcn_cli.io.files import cache_folder, existing_parent, free_disk
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
_LEAST_MEMORY, _LEAST_SHARED, _LEAST_DISK, _LEAST_FILES = 4e9, 64e6, 2e9, 1024  # bytes; open files
_NATIVE_BF16 = (8, 0)  # compute capability
_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)\S*@(?=[^\s/@])")  # greedy: a password may hold / and @


def examine() -> Iterator[tuple[str, list[Finding]]]:
    """Yield each section with its findings, without home folders and passwords. A section that fails says so."""
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
    """Platform, cores, memory, shared memory, open files."""
    yield Finding("platform", f"{platform.platform()}, {platform.machine()}")
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    yield Finding("cores", f"{cores}" if usable == cores else f"{usable} of {cores} available")
    total, free = machine_memory()
    few = free is not None and free < _LEAST_MEMORY
    known = f"{size(total)}, {size(free)} free" if total and free is not None else "unknown on this system"
    yield Finding("memory", known, "Training the published presets on a CPU needs about 5 GB." if few else "")
    with contextlib.suppress(OSError, AttributeError):
        about = os.statvfs("/dev/shm")
        shared = about.f_blocks * about.f_frsize
        advice = "Several GPUs communicate through it. In a container: --shm-size=1g" if shared < _LEAST_SHARED else ""
        yield Finding("shared memory", f"{size(shared)} in /dev/shm", advice)
    with contextlib.suppress(ImportError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = 0 <= soft < _LEAST_FILES
        yield Finding("open files", f"at most {soft:,}", f"Allow more: ulimit -n {_LEAST_FILES * 4}" if few else "")


def devices() -> Iterator[Finding]:
    """CUDA devices with memory and capability, communication backends, what the CPU computes with."""
    import torch
    from torch import distributed

    yield _cuda()
    cuda = torch.cuda.is_available()
    for index in range(torch.cuda.device_count() if cuda else 0):
        about = torch.cuda.get_device_properties(index)
        formats = "bf16, tf32, float16" if (about.major, about.minor) >= _NATIVE_BF16 else "float16, no bf16, no tf32"
        free, total = torch.cuda.mem_get_info(index)
        yield Finding(
            f"cuda:{index}", f"{about.name}, {size(total)}, {size(free)} free, capability {about.major}.{about.minor}, {formats}",
            "Most of its memory is in use: see nvidia-smi." if free < total / 2 else "",
        )  # fmt: skip
    if distributed.is_available():
        nccl, gloo = distributed.is_nccl_available() and cuda, distributed.is_gloo_available()
        lost = "Without NCCL several GPUs cannot train together: use --gpus 1." if cuda and not nccl else ""
        yield Finding("communication", ", ".join(["NCCL"] * nccl + ["gloo"] * gloo) or "neither NCCL nor gloo", lost)
    else:
        yield Finding("communication", "torch is built without distributed training", "Only --gpus 1 will work.")
    dnn = torch.backends.mkldnn.is_available()
    instructions, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    yield Finding(
        "CPU", f"{instructions}, {threads} threads, {'oneDNN' if dnn else 'no oneDNN'}, float32, bf16 {_bf16_of_cpu()}",
        "" if dnn else "Without oneDNN convolutions on the CPU are slow.",
    )  # fmt: skip


def _cuda() -> Finding:
    import torch

    built = torch.version.cuda
    driver = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
    if torch.cuda.is_available():
        return Finding("CUDA", f"{built}, cuDNN {torch.backends.cudnn.version()}")
    if driver and built is None:
        return Finding(
            "CUDA", "NVIDIA driver found, but this torch is a CPU build",
            "Install the CUDA build of torch: see https://pytorch.org/get-started",
        )  # fmt: skip
    if driver:
        return Finding(
            "CUDA", f"torch is built for CUDA {built}, but finds no GPU",
            "Is the driver too old, CUDA_VISIBLE_DEVICES empty, or the container started without its GPUs? See nvidia-smi",
        )  # fmt: skip
    return Finding("CUDA", f"no GPU (torch is built for CUDA {built})" if built else "no GPU")


def _bf16_of_cpu() -> str:
    import torch

    try:
        return "(fast)" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "(slow)"
    except (AttributeError, RuntimeError):
        return "(speed unknown)"


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
