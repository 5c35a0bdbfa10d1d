"""The machine: platform, processor, memory, limits, and the environment variables that matter."""

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from stgcn_cli import __version__
from stgcn_cli.config import presets
from stgcn_cli.data.locations import data_folder, find_pickles
from stgcn_cli.diagnostics import Finding, selftest
from stgcn_cli.errors import StgcnError
from stgcn_cli.io.files import _nearest, cache_folder, free_disk
from stgcn_cli.io.text import size
from stgcn_cli.runtime.memory import machine_memory

# Nothing private in a report that is pasted into a public place.

_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)\S*@(?=[^\s/@])")  # greedy: a password may hold / and @


def without_secrets(text: str) -> str:
    """`text` with the home folder as ~ and without the user and password of an address."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=$|[\\/:,\s\"'])", "~", text)
    return _USER.sub(r"\g<scheme>***@", text)


def proxy(address: str) -> str:
    """A proxy's address, with or without a scheme, without its user and password."""
    scheme, _, rest = address.rpartition("://")
    host = rest.rpartition("@")[2] if "@" in rest else rest
    return (scheme.rpartition("@")[2] + "://" if scheme else "") + ("***@" if "@" in address else "") + host


# Versions of what stgcn is made of.

_NEEDED = ("torch", "numpy", "pandas", "rich", "typer", "matplotlib")
_OPTIONAL = ("tensorboard", "onnx", "onnxruntime")


def look_at_versions() -> Iterator[Finding]:
    """stgcn, Python, and every library, those of the extras where they are installed."""
    yield Finding("stgcn", __version__)
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()})")
    for name in _NEEDED:
        version = _version(name)
        yield Finding(name, version or "missing", "" if version else f"Install it: pip install {name}")
    for name in _OPTIONAL:
        if version := _version(name):
            yield Finding(name, version)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


_VARIABLES = (
    "STGCN_DATA", "STGCN_CACHE", "STGCN_RUN_ID", "STGCN_TRACEBACK", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "RANK",
    "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_P2P_DISABLE",
    "NCCL_IB_DISABLE", "GLOO_SOCKET_IFNAME", "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",
    "SLURM_LOCALID", "SLURM_NODELIST", "NO_PROXY", "SSL_CERT_FILE", "LD_PRELOAD",
)  # fmt: skip  # a literal list: other variables of SLURM, or of the user, may hold tokens
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_LEAST_MEMORY, _LEAST_FILES, _LEAST_SHARED = 4e9, 1024, 64e6  # bytes, files, bytes


def look_at_machine() -> Iterator[Finding]:
    """Platform, processor and cores, memory, shared memory, open files."""
    yield Finding("platform", platform.platform())
    yield Finding("processor", _processor())
    yield _cores()
    total, free = machine_memory()
    few = free is not None and free < _LEAST_MEMORY
    told = f"{size(total)}, {size(free)} free" if total and free is not None else "cannot be told on this system"
    yield Finding("memory", told, "Training the published presets on the processor needs about 5 GB." if few else "")
    yield from _shared_machine_memory()
    yield from _open_files()


def look_at_environment() -> Iterator[Finding]:
    """Variables that change what stgcn does; passwords of proxies are left out."""
    for name in _VARIABLES:
        if value := os.environ.get(name):
            yield Finding(name, value[:300], _about(name, value))
    for name in _PROXIES:
        if value := os.environ.get(name):
            yield Finding(name, proxy(value)[:300])


def _about(name: str, value: str) -> str:
    if name == "STGCN_DATA" and not Path(value).is_dir():
        return "There is no such folder."
    if name == "CUDA_LAUNCH_BLOCKING" and value not in ("", "0"):
        return "This makes training slow; it is for finding errors."
    if name == "OMP_NUM_THREADS" and not value.isdigit():
        return "It must be a whole number."
    if name == "WORLD_SIZE" and "RANK" in os.environ and value not in ("", "1"):
        return "stgcn joins this world of processes instead of starting its own."
    return ""


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            words = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(words, capture_output=True, text=True, timeout=5).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _cores() -> Finding:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Finding("cores", f"{cores}" if usable == cores else f"{usable} of {cores} may be used")


def _shared_machine_memory() -> Iterator[Finding]:
    with contextlib.suppress(OSError, AttributeError):
        about = os.statvfs("/dev/shm")
        total = about.f_blocks * about.f_frsize
        few = "Several GPUs talk through it. In a container: --shm-size=1g" if total < _LEAST_SHARED else ""
        yield Finding("shared memory", f"{size(total)} in /dev/shm, {size(about.f_bavail * about.f_frsize)} free", few)


def _open_files() -> Iterator[Finding]:
    with contextlib.suppress(ImportError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = 0 <= soft < _LEAST_FILES
        yield Finding("open files", f"at most {soft:,}", f"Allow more: ulimit -n {_LEAST_FILES * 4}" if few else "")


# What torch can compute with here: devices, numbers, and ways for processes to talk.

_NATIVE_BF16 = (8, 0)  # compute capability


def look_at_devices() -> Iterator[Finding]:
    """CUDA devices with memory and capability, NCCL and gloo, number formats, oneDNN, threads."""
    import torch

    yield _cuda()
    yield from _devices()
    yield _backends()
    yield Finding("processor computes", f"float32, float64, bf16 {_bf16_of_processor()}")
    yield Finding("instructions", torch.backends.cpu.get_cpu_capability())
    mkldnn = torch.backends.mkldnn.is_available()
    yield Finding("oneDNN", "yes" if mkldnn else "no", "" if mkldnn else "Convolutions on the processor will be slow.")
    yield Finding("threads", str(torch.get_num_threads()))


def _cuda() -> Finding:
    import torch

    built, there = torch.version.cuda, torch.cuda.is_available()
    driver = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
    if there:
        return Finding("CUDA", f"{built}, cuDNN {torch.backends.cudnn.version()}")
    if driver and built is None:
        return Finding(
            "CUDA", "there is an NVIDIA driver, but this torch is built for the processor only",
            "Install the CUDA build of torch: see https://pytorch.org/get-started",
        )  # fmt: skip
    if driver:
        return Finding(
            "CUDA", f"torch is built for CUDA {built}, but sees no GPU",
            "Is the driver too old, CUDA_VISIBLE_DEVICES empty, or the container started without its GPUs? See nvidia-smi",
        )  # fmt: skip
    return Finding("CUDA", f"no GPU here (torch is built for CUDA {built})" if built else "no GPU here")


def _devices() -> Iterator[Finding]:
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        capability = (about.major, about.minor)
        numbers = "bf16, tf32, float16" if capability >= _NATIVE_BF16 else "float16, no bf16, no tf32"
        free, total = torch.cuda.mem_get_info(index)
        yield Finding(
            f"cuda:{index}", f"{about.name}, {size(total)}, {size(free)} free, capability {about.major}.{about.minor}, {numbers}",
            "Most of its memory is taken: see nvidia-smi for by whom." if free < total / 2 else "",
        )  # fmt: skip


def _backends() -> Finding:
    import torch
    from torch import distributed

    if not distributed.is_available():
        return Finding("processes talk", "torch is built without distributed training", "Only --gpus 1 will work.")
    nccl, gloo = distributed.is_nccl_available(), distributed.is_gloo_available()
    told = [f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}" if nccl and torch.cuda.is_available() else ""]
    told += ["NCCL (no GPU to use it)"] if nccl and not torch.cuda.is_available() else []
    told += ["gloo" if gloo else "", "MPI" if distributed.is_mpi_available() else ""]
    several = torch.cuda.is_available() and torch.cuda.device_count() > 1
    advice = "Without NCCL several GPUs cannot train together: use --gpus 1." if several and not nccl else ""
    return Finding("processes talk", ", ".join(filter(None, told)) or "neither NCCL nor gloo", advice)


def _bf16_of_processor() -> str:
    import torch

    try:
        return "(fast)" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "(slow)"
    except (AttributeError, RuntimeError):
        return "(speed unknown)"


# Folders: free disk, data that are there, caches.

_LEAST = 2e9  # bytes: the checkpoints of a published preset take less than one


def look_at_disk() -> Iterator[Finding]:
    """Free space where data, caches and runs lie, and whether they can be written."""
    for name, folder in (
        ("data folder", data_folder()),
        ("cache folder", cache_folder()),
        ("run folders", Path("runs")),
    ):
        there, free = _nearest(folder), free_disk(folder)
        shown = folder if folder.is_absolute() else Path(".") / folder
        missing = "" if folder.exists() else ", not there yet"
        advice = "Free some space: a run keeps its checkpoints." if free < _LEAST else ""
        if name != "data folder" and not os.access(there, os.W_OK):
            advice = f"{there} cannot be written. Choose another folder ({'STGCN_CACHE' if 'cache' in name else '--work-dir'})."
        yield Finding(name, f"{shown}{missing}, {size(free)} free", advice)


def look_at_data() -> Iterator[Finding]:
    """The annotation files that are there, and which presets could be trained with them."""
    found: dict[tuple[Path, ...], list[str]] = {}
    for name in presets.names():
        data = presets.load(name).data
        try:
            found.setdefault(tuple(find_pickles(data.dataset, (data.train, data.val), ())), []).append(name)
        except StgcnError:
            continue
    for paths, names in found.items():
        files = ", ".join(f"{path.name} ({size(path.stat().st_size)})" for path in paths)
        yield Finding(", ".join(names), f"{files} in {paths[0].parent}")
    if not found:
        yield Finding("none", f"no annotation file of a preset in {data_folder()}; see `stgcn prepare`")


def look_at_caches() -> Iterator[Finding]:
    """What each part of the cache takes."""
    cache = cache_folder()
    kinds = sorted(path for path in cache.iterdir() if path.is_dir()) if cache.is_dir() else []
    for folder in kinds:
        things, taken = _taken(folder)
        yield Finding(folder.name, f"{things} {'entry' if things == 1 else 'entries'}, {size(taken)}")
    if not kinds:
        yield Finding("empty", str(cache))


def _taken(folder: Path) -> tuple[int, int]:
    """Entries of a folder, and the bytes of all files below it."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                taken += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return len(list(folder.iterdir())), taken


# What this machine has, and whether it works, for `stgcn doctor`.

SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": look_at_versions,
    "machine": look_at_machine,
    "computing": look_at_devices,
    "disk": look_at_disk,
    "data": look_at_data,
    "caches": look_at_caches,
    "environment": look_at_environment,
    "self-test": selftest.look,
}


def examine() -> Iterator[tuple[str, list[Finding]]]:
    """Each section with what was found, home folders and passwords hidden. A section that fails says so; nothing raises."""
    for title, look in SECTIONS.items():
        yield title, [hidden(finding) for finding in _safely(look)]


def _safely(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in look():
            found.append(finding)
    except Exception as error:  # a report about a broken machine must not break with it
        told = f"{type(error).__name__}: {error}"[:300]
        found.append(Finding("cannot be told", told, "Send this report with what you did before."))
    return found


def hidden(finding: Finding) -> Finding:
    """The finding, fit to be shown to strangers."""
    return Finding(finding.name, without_secrets(finding.value), without_secrets(finding.advice))
