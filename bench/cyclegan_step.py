"""Our CycleGAN training step against the textbook's, in the same run: `python bench/cyclegan_step.py`.

The textbook step (tests/textbook_cyclegan.py) is the one that is usually taught: each of six generator and six
discriminator passes by itself, contiguous float32, Adam as it comes. Ours computes the same updates (the losses are
compared below) with the two domains' passes of a network in one batch where that is exact, fused Adam, and, on a CPU,
memory that is kept between steps; `bf16` adds autocast. Each side has a process of its own, because keeping memory is a
setting of a process. The sides take turns step by step, so that a machine that slows down slows all of them. "cpu" is the
ratio of processor seconds, the steadier figure on a busy machine.

    python bench/cyclegan_step.py --only 6-128 --rounds 12

Workloads: 6-128 (ResNet generators of 6 blocks, 128 px), 9-256 (9 blocks, 256 px), both with 3-layer PatchGANs, identity
loss, and a pool of 50.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import platform
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from facegen.devices import device
from facegen.models.cyclegan import PatchDiscriminator, ResnetGenerator
from facegen.training.cyclegan import ImagePool, Networks, translate, update_discriminators, update_generators
from facegen.training.fit import keep_memory
from tests.textbook_cyclegan import textbook_step

WORKLOADS = {"6-128": (6, 128), "9-256": (9, 256)}  # name: residual blocks, picture size
SIDES = ("textbook", "fp32", "bf16")
WARM_UP = 2  # rounds that are not counted


class Side:
    """Networks, optimisers, pools and pictures of one side; all sides begin with the same numbers."""

    def __init__(self, name: str, blocks: int, size: int, batch: int, width: int, on: torch.device) -> None:
        self.name, self.on = name, on
        torch.manual_seed(0)
        generators = [ResnetGenerator(width=width, blocks=blocks) for _ in range(2)]
        self.nets = Networks(*(net.to(on) for net in (*generators, *(PatchDiscriminator(width=width) for _ in range(2)))))
        self.real_A, self.real_B = (torch.rand(batch, 3, size, size).to(on) * 2 - 1 for _ in range(2))
        fused = None if name == "textbook" or on.type not in ("cpu", "cuda") else True
        pairs = (self.nets.G_A, self.nets.G_B), (self.nets.D_A, self.nets.D_B)
        self.opt_G, self.opt_D = (
            torch.optim.Adam(itertools.chain(*(net.parameters() for net in pair)), 2e-4, (0.5, 0.999), fused=fused)
            for pair in pairs
        )
        self.pool_A, self.pool_B = ImagePool(50, seed=1), ImagePool(50, seed=2)

    def step(self) -> float:
        """One update of all four networks; returns the discriminators' loss."""
        if self.name == "textbook":
            pools = self.pool_A.query, self.pool_B.query
            stats = textbook_step(self.nets, self.opt_G, self.opt_D, self.real_A, self.real_B, *pools)
            return stats["loss_D_A"] + stats["loss_D_B"]
        with self._autocast():
            cycle = translate(self.nets, self.real_A, self.real_B)
            update_generators(self.nets, self.opt_G, cycle)
        fakes = self.pool_A.query(cycle.fake_A), self.pool_B.query(cycle.fake_B)
        with self._autocast():
            return update_discriminators(self.nets, self.opt_D, self.real_A, self.real_B, *fakes)["loss_D"].item()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.on.type, torch.bfloat16, enabled=self.name == "bf16")


def worker(name: str, workload: str, args: argparse.Namespace, pipe: Connection) -> None:
    """One side: for every step that is asked for, make it and answer (seconds, processor seconds, D's loss)."""
    on = device(args.device)
    if on.type == "cpu" and name != "textbook":
        keep_memory()  # as `fit` does
    blocks, size = WORKLOADS[workload]
    side = Side(name, blocks, size, args.batch, args.width, on)
    while pipe.recv():
        start, start_cpu = finished(on), time.process_time()
        loss = side.step()
        pipe.send((finished(on) - start, time.process_time() - start_cpu, loss))


def finished(on: torch.device) -> float:
    """The time, once the device has done what it was given."""
    if on.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(workload: str, args: argparse.Namespace) -> dict[str, list[tuple[float, float, float]]]:
    """(seconds, processor seconds, D's loss) of every step of every side."""
    context = multiprocessing.get_context("spawn")
    pipes, rows, workers = {}, {side: [] for side in SIDES}, []
    for side in SIDES:
        pipes[side], far_end = context.Pipe()
        workers.append(context.Process(target=worker, args=(side, workload, args, far_end), daemon=True))
        workers[-1].start()
        far_end.close()  # so that a worker that fails ends the wait for its answer
    for _ in range(args.rounds + WARM_UP):
        for side, pipe in pipes.items():
            pipe.send(True)
            rows[side].append(pipe.recv())
    for pipe, process in zip(pipes.values(), workers):
        pipe.send(False)
        process.join()
    return rows


def report(workload: str, args: argparse.Namespace, rows: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print one workload's table."""
    blocks, size = WORKLOADS[workload]
    print(f"\nCycleGAN {blocks} blocks, {size} px, width {args.width}, batch {args.batch}, median of {args.rounds} rounds")
    # Later steps drift apart by rounding, as in any GAN.
    apart = max(abs(a[2] - b[2]) for a, b in zip(rows["textbook"][:2], rows["fp32"][:2]))
    print(f"largest difference of D's loss between textbook and fp32 in the first two steps: {apart:.1e}")
    print(f"{'':10}{'ms/step':>10}{'images/s':>10}{'ratio':>8}{'cpu':>8}")
    middles = {side: [statistics.median(column) for column in zip(*rows[side][WARM_UP:])] for side in SIDES}
    base, base_cpu, _ = middles["textbook"]
    for side, (seconds, cpu, _) in middles.items():
        rate = args.batch / seconds  # pairs: one picture of each domain
        print(f"{side:10}{seconds * 1000:10.0f}{rate:10.2f}{base / seconds:8.2f}{base_cpu / cpu:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, by commas")
    parser.add_argument("--batch", type=int, default=1, help="pictures of each domain in a step")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    unknown = set(args.only.split(",")) - set(WORKLOADS)
    if unknown or args.rounds < 1:
        parser.error(f"--only takes {', '.join(WORKLOADS)}, and --rounds at least 1")

    print(f"torch {torch.__version__}, {device(args.device)}, {platform.machine()}, {torch.get_num_threads()} threads, seed 0")
    for workload in args.only.split(","):
        report(workload, args, measure(workload, args))


if __name__ == "__main__":
    main()
