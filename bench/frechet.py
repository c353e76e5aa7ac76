"""The Frechet distance of 2048 features without a matrix square root, against the textbook's `sqrtm`, in one run.

    python bench/frechet.py
    python bench/frechet.py --rounds 3 --dims 512

Both sides get the same means and covariances and compute in float64. scipy, which only this file needs, comes with
scikit-learn.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.linalg import sqrtm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from facegen.evaluation.distances import frechet_from_moments, moments


def textbook(mu1: np.ndarray, cov1: np.ndarray, mu2: np.ndarray, cov2: np.ndarray) -> float:
    """The formula as it stands: the root of a product that is not symmetric, which leaves an imaginary part to be dropped."""
    root = np.real(sqrtm(cov1 @ cov2))
    return float(((mu1 - mu2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root))


def features(n: int, d: int, seed: int) -> torch.Tensor:
    """Rows whose spread falls off from one direction to the next as a network's does, [n, d]."""
    g = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, d + 1, dtype=torch.float64) ** -0.5
    turn = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64))[0]
    return (torch.randn(n, d, generator=g, dtype=torch.float64) * spread * (1 + 0.1 * seed)) @ turn + 0.1 * seed


def timed(function: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Its value, and the best of several rounds in seconds of the clock and of the processors."""
    clock = work = float("inf")
    for _ in range(rounds):
        start, begun = time.perf_counter(), time.process_time()
        value = function()
        clock, work = min(clock, time.perf_counter() - start), min(work, time.process_time() - begun)
    return value, clock, work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, default=2048, help="features per picture (default 2048, Inception's)")
    parser.add_argument("--rows", type=int, help="pictures per side (default twice the features)")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts (default 1)")
    args = parser.parse_args()
    rows = args.rows or 2 * args.dims
    print(
        f"{args.dims} features of {rows:,} pictures a side, {platform.machine()} with {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, scipy {scipy.__version__}"
    )
    given = (*moments(features(rows, args.dims, 0)), *moments(features(rows, args.dims, 1)))
    ours, our_clock, our_work = timed(lambda: frechet_from_moments(*given), args.rounds)
    print(f"eigenvalues of a symmetric matrix   {our_clock:7.2f} s ({our_work:.2f} s of processor)")
    theirs, clock, work = timed(lambda: textbook(*(value.numpy() for value in given)), args.rounds)
    print(f"scipy's sqrtm                       {clock:7.2f} s ({work:.2f} s of processor)")
    print(
        f"{clock / our_clock:.1f} times as fast ({work / our_work:.1f} by processor), difference {abs(ours / theirs - 1):.1e}"
    )


if __name__ == "__main__":
    main()
