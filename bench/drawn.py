"""Faces drawn per second at 64 and 128 pixels: `python bench/drawn.py`."""

from __future__ import annotations

import os
import platform
import time

import numpy as np
import torch

from facegen.data.drawn import drawn


def rate(size: int, count: int, rounds: int = 5) -> tuple[float, float]:
    """Best faces per second of the wall's clock and of the processors' time over several rounds."""
    drawn(16, size)  # the first call pays for memory
    wall = busy = float("inf")
    for k in range(rounds):
        clock, work = time.perf_counter(), time.process_time()
        drawn(count, size, start=k * count)
        wall, busy = min(wall, time.perf_counter() - clock), min(busy, time.process_time() - work)
    return count / wall, count / busy


def main() -> None:
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"  # not on Windows
    print(
        f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, load {load}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, {torch.get_num_threads()} threads"
    )
    for size, count in ((64, 512), (128, 128)):
        wall, busy = rate(size, count)
        print(f"{size:4d} px: {wall:7.0f} faces/s ({busy:.0f} per second of processor time)")


if __name__ == "__main__":
    main()
