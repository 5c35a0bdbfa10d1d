"""GPUs are chosen by --device, by CUDA_VISIBLE_DEVICES and by schedulers; two processes never share one."""

from types import SimpleNamespace

import pytest
import torch

from stgcn_cli.errors import UsageError
from stgcn_cli.runtime import devices


@pytest.fixture
def four_gpus(monkeypatch):
    """As many GPUs as CUDA_VISIBLE_DEVICES names, of four."""

    def count() -> int:
        words = devices.os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3").split(",")
        return sum(word in {"0", "1", "2", "3"} for word in words)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # so that it is given back
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", count)
    return monkeypatch


@pytest.mark.parametrize(("device", "visible", "left"), [
    ("cuda:1", None, "1"), ("0,2", None, "0,2"), ("cuda:2,0", None, "2,0"), ("cuda:1", "3,2", "2"), ("1", "GPU-a,3", "3"),
])  # fmt: skip
def test_only_the_named_gpus_are_seen(four_gpus, device, visible, left):
    if visible:
        four_gpus.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.resolve_device(device, devices.processes(device, None)) == "cuda"
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == left


@pytest.mark.parametrize(("device", "gpus", "words"), [
    ("cuda:7", 1, "not all of these GPUs exist"), ("0,2", 3, "2 GPUs for 3 processes"), ("cuda:1,1", 2, "twice"),
    ("cuda:x", 1, "Unknown device 'cuda:x'"), ("gpu", 1, "Unknown device 'gpu'"), ("cuda", 5, "4 CUDA GPUs"), ("cuda", 0, "--gpus 0"),
])  # fmt: skip
def test_what_cannot_be_is_refused(four_gpus, device, gpus, words):
    with pytest.raises(UsageError, match=words):
        devices.resolve_device(device, gpus)


def test_a_gpu_that_is_not_visible_is_refused(four_gpus):
    four_gpus.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES names 1"):
        devices.resolve_device("cuda:1", 1)


@pytest.mark.parametrize(("visible", "local_rank", "index"), [(1, 3, 0), (4, 3, 3), (8, 3, 3)])
def test_a_process_that_sees_one_gpu_takes_it(monkeypatch, visible, local_rank, index):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert devices.device_of_rank("cuda", local_rank) == torch.device("cuda", index)
    assert devices.device_of_rank("cpu", local_rank) == torch.device("cpu")


@pytest.mark.parametrize(("uuids", "is_refused"), [(["a", "b", "c"], False), (["a", "b", "a"], True)])
def test_two_processes_on_one_gpu_are_refused_by_all(monkeypatch, uuids, is_refused):
    store = torch.distributed.HashStore()
    for rank, uuid in enumerate(uuids):
        store.set(f"device {rank}", uuid)
    for rank, uuid in enumerate(uuids):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, uuid=uuid: SimpleNamespace(uuid=uuid))
        if not is_refused:
            devices.check_own_devices(store, rank, 3, torch.device("cuda", 0))
            continue
        with pytest.raises(UsageError, match="Processes 0, 2 would share one GPU") as found:
            devices.check_own_devices(store, rank, 3, torch.device("cuda", 0))
        assert found.value.is_reported == (rank > 0)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_driver_without_a_usable_gpu_is_reported(monkeypatch, tmp_path, hidden):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "DRIVER", (tmp_path,))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "") if hidden else monkeypatch.delenv(
        "CUDA_VISIBLE_DEVICES", raising=False
    )
    told = []
    assert devices.resolve_device("auto", 1, told.append) == "cpu"
    assert bool(told) != hidden  # an empty CUDA_VISIBLE_DEVICES is the user's own wish
