"""The machine: platform, processor, memory, limits, and the environment variables that matter."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stgcn_cli.health.finding import Finding, size
from stgcn_cli.health.hiding import proxy

_VARIABLES = (
    "STGCN_DATA", "STGCN_CACHE", "STGCN_RUN_ID", "STGCN_TRACEBACK", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "RANK",
    "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "NCCL_P2P_DISABLE",
    "NCCL_IB_DISABLE", "GLOO_SOCKET_IFNAME", "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",
    "SLURM_LOCALID", "SLURM_NODELIST", "NO_PROXY", "SSL_CERT_FILE", "LD_PRELOAD",
)  # fmt: skip  # a literal list: other variables of SLURM, or of the user, may hold tokens
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_LEAST_MEMORY, _LEAST_FILES, _LEAST_SHARED = 4e9, 1024, 64e6  # bytes, files, bytes


def look() -> Iterator[Finding]:
    """Platform, processor and cores, memory, shared memory, open files."""
    yield Finding("platform", platform.platform())
    yield Finding("processor", _processor())
    yield _cores()
    total, free = memory()
    few = free is not None and free < _LEAST_MEMORY
    told = f"{size(total)}, {size(free)} free" if total and free is not None else "cannot be told on this system"
    yield Finding("memory", told, "Training the published presets on the processor needs about 5 GB." if few else "")
    yield from _shared_memory()
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


def memory() -> tuple[int | None, int | None]:
    """Bytes in all and free; those of the container where it has a limit."""
    told: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            name, _, rest = line.partition(":")
            told[name] = int(rest.split()[0]) * 1024
    total, free = told.get("MemTotal"), told.get("MemAvailable")
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text("utf-8"))  # "max": no limit
        used = int((group / "memory.current").read_text("utf-8"))
        if total and free is not None and limit < total:
            return limit, min(free, max(0, limit - used))
    return total, free


def _shared_memory() -> Iterator[Finding]:
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
