"""The device that networks run on, and how exactly it counts. PyTorch is imported only where it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.files import InputError

if TYPE_CHECKING:
    import torch


def device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        InputError: a device that PyTorch does not have here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(name)
        torch.zeros(1, device=chosen).item()  # "meta" is a device too, but holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"--device {name!r} is not available here: use cpu, or leave it to auto") from None
    return chosen


def autocast_dtype(precision: str, on: torch.device) -> torch.dtype | None:
    """The type that autocast computes convolutions in, or None for plain float32.

    "auto" gives bfloat16 on CUDA devices and on CPUs with native bfloat16 arithmetic (AMX or AVX512-BF16), where it is
    faster; elsewhere, and on MPS, float32.
    """
    import torch

    native = precision == "bfloat16"
    if precision == "auto" and on.type == "cuda":
        # Older cards, such as Colab's T4, only emulate it, slower than float32.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif precision == "auto" and on.type == "cpu":
        # These two probes have no public name yet; a PyTorch without them gets float32, which is always right.
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        native = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if native else None
