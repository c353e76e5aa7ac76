"""Memory: the most that was taken, the errors that say there is none left, and the parts a batch can be divided into."""

from __future__ import annotations

import gc
import sys

import torch

GB = 10**9
# How PyTorch's allocators and the libraries below them say it; only CUDA has an exception of its own.
FULL = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the computer, has no memory left."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)


def largest_part(share: int, most: int) -> int:
    """The largest part, of `most` pictures or fewer, that `share` pictures can be divided into.

    D compares pictures in groups of 4, so a part has 4, 8, 12, ... pictures, or fewer than 4.
    """
    return next(n for n in range(min(share, most), 0, -1) if share % n == 0 and (n < 4 or n % 4 == 0))


def peak_gb(device: torch.device) -> float:
    """The most memory in GB so far: of tensors on CUDA, of the whole process on a CPU; on MPS what it holds now.

    On CUDA since `torch.cuda.reset_peak_memory_stats`, on a CPU since the process began; 0 on a CPU under Windows.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GB
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / GB
    if sys.platform == "win32":
        return 0.0
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GB


def release(device: torch.device) -> None:
    """Give memory that tensors have freed back to the device, for others or in other pieces."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
