"""Memory: what there is, what a step takes, and how many pictures at once fit into it. GB are 10^9 bytes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GB = 10**9
# How PyTorch's allocators and the libraries below them say it; only CUDA has an exception of its own.
FULL = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the computer, has no memory left."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)


def divisors(share: int, most: int) -> list[int]:
    """Into parts of how many pictures `share` pictures can be divided, at most `most`, from large to small.

    D compares pictures in groups of 4, so a part has 4, 8, 12, ... pictures, or fewer than 4.
    """
    return [n for n in range(min(share, most), 0, -1) if share % n == 0 and (n < 4 or n % 4 == 0)]


def largest(sizes: Iterable[int], fits: Callable[[int], bool]) -> int:
    """The first of `sizes`, from large to small, that `fits` says yes to; 0 if it never does."""
    return next((n for n in sizes if fits(n)), 0)


# ---------------------------------------------------------------------------------------------------- what there is


def capacity(device: torch.device) -> int:
    """Bytes that a training run can have: all of a GPU's memory, or the computer's RAM that is free now.

    Processes that torchrun has started on this computer share the RAM.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return _free_ram() // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def peak_gb(device: torch.device) -> float:
    """The most memory in GB so far: of tensors on CUDA, of the whole process on a CPU; on MPS what it holds now.

    On CUDA since `torch.cuda.reset_peak_memory_stats`, on a CPU since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GB
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / GB
    return _peak_ram() / GB


def release(device: torch.device) -> None:
    """Give memory that tensors have freed back to the device, for others or in other pieces."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _free_ram() -> int:
    """Bytes that can be taken without swapping, as the system estimates it; half of all where it does not."""
    if sys.platform == "win32":
        free = _windows_free()
    else:
        free = _line_of("/proc/meminfo", "MemAvailable:", 1024) or _all_ram() // 2
    group = Path("/sys/fs/cgroup")  # what a container may use; files in its cache can be dropped
    with contextlib.suppress(OSError, ValueError):  # no such group, or no bound: "max"
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used + (_line_of(group / "memory.stat", "inactive_file", 1) or 0))
    return max(free, 0)


def _peak_ram() -> int:
    """Bytes: the most that this process has had in RAM."""
    if sys.platform == "win32":
        return _windows_peak()
    if peak := _line_of("/proc/self/status", "VmHWM:", 1024):  # getrusage would begin with the parent's
        return peak
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _line_of(path: str | Path, name: str, unit: int) -> int | None:
    """The number behind `name` in a file of lines, times the unit; None where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(path).read_text().splitlines():
            if line.split()[0] == name:
                return int(line.split()[1]) * unit
    return None


def _all_ram() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def _windows_free() -> int:
    """ullAvailPhys of MEMORYSTATUSEX: two 32-bit numbers, then 64-bit ones, of which it is the second."""
    status = (ctypes.c_uint64 * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
    return status[2] if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else _all_ram() // 2


def _windows_peak() -> int:
    """PeakWorkingSetSize of PROCESS_MEMORY_COUNTERS: two 32-bit numbers, then words, of which it is the first."""
    counters = (ctypes.c_size_t * 16)()
    kernel = ctypes.windll.kernel32
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    known = kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), ctypes.c_uint32(ctypes.sizeof(counters)))
    return counters[8 // ctypes.sizeof(ctypes.c_size_t)] if known else 0


# ------------------------------------------------------------------------------------------------ what a step takes


class Meter(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside `with Meter() as meter:` and still live, and their `peak`.

    For the CPU, whose allocator keeps no such count. What an operator needs for itself while it runs is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor):
                self._count(value.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.live -= size


def bytes_of(tensors: Sequence[torch.Tensor]) -> int:
    """What tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
