"""What torch can compute with here: devices, numbers, and ways for processes to talk."""

from collections.abc import Iterator
from pathlib import Path

from stgcn_cli.health.finding import Finding, size

_NATIVE_BF16 = (8, 0)  # compute capability


def look() -> Iterator[Finding]:
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
