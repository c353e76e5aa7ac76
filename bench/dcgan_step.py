"""Our DCGAN training step against the textbook's, in the same run: `python bench/dcgan_step.py`.

The textbook loop is the one that every tutorial teaches: contiguous float32, sigmoid and BCELoss, one backward pass per
term, gradients for D's weights also in G's step, Adam as it comes. Ours computes the same updates (the losses are compared
below) with channels_last, D frozen in G's step, one backward pass for D, fused Adam, and, on a CPU, memory that is kept
between steps; `bf16` adds autocast. Each side has a process of its own, because the last point is a setting of a process.
The sides take turns step by step, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from multiprocessing.connection import Connection

import torch
from torch import nn

from facegen.config import TrainConfig
from facegen.devices import device
from facegen.models import dcgan
from facegen.training.fit import keep_memory
from facegen.training.steps import GAN


def textbook_step(G: nn.Module, D: nn.Module, opt_G, opt_D, real: torch.Tensor, z: torch.Tensor) -> float:
    """One step of the usual loop; returns D's loss."""
    criterion = nn.BCELoss()
    ones, zeros = torch.ones(len(real), 1, device=real.device), torch.zeros(len(real), 1, device=real.device)
    D.zero_grad()
    loss_real = criterion(torch.sigmoid(D(real)), ones)
    loss_real.backward()
    fake = G(z)
    loss_fake = criterion(torch.sigmoid(D(fake.detach())), zeros)
    loss_fake.backward()
    opt_D.step()
    G.zero_grad()
    criterion(torch.sigmoid(D(fake)), ones).backward()
    opt_G.step()
    return loss_real.item() + loss_fake.item()


def worker(side: str, args: argparse.Namespace, pipe: Connection) -> None:
    """One side: for every step number that comes in, make the step and answer (seconds, D's loss)."""
    on = device(args.device)
    torch.manual_seed(0)
    G = dcgan.initialise(dcgan.Generator(100, args.conv_dim))
    D = dcgan.initialise(dcgan.Discriminator(args.conv_dim))
    real = torch.rand(args.batch, 3, 64, 64).to(on) * 2 - 1
    precision = "bfloat16" if side == "bf16" else "float32"
    gan = GAN(G, D, TrainConfig(batch=args.batch, conv_dim=args.conv_dim, ema_kimg=0.0, precision=precision), device=on)
    if side == "textbook":
        G, D = (net.to(memory_format=torch.contiguous_format) for net in (gan.G, gan.D))
        opt_G, opt_D = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))
    elif on.type == "cpu":
        keep_memory()  # as `fit` does
    while (step := pipe.recv()) is not None:
        z = gan.noise(args.batch, step, 0)
        start = finished(on)
        textbook = side == "textbook"
        loss = textbook_step(G, D, opt_G, opt_D, real, z) if textbook else gan.update(step, [real])["loss_D"].item()
        pipe.send((finished(on) - start, loss))


def finished(on: torch.device) -> float:
    """The time, once the device has done what it was given."""
    if on.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--conv-dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    pipes, seconds, losses = {}, {}, {}
    for side in ("textbook", "fp32", "bf16"):
        pipes[side], far_end = context.Pipe()
        context.Process(target=worker, args=(side, args, far_end), daemon=True).start()
        seconds[side], losses[side] = [], []
    for step in range(args.rounds + 2):  # the first two rounds warm up and are not counted
        for side, pipe in pipes.items():
            pipe.send(step)
            took, loss = pipe.recv()
            seconds[side].append(took)
            losses[side].append(loss)
    for pipe in pipes.values():
        pipe.send(None)

    # Later steps drift apart by rounding, as in any GAN.
    apart = max(abs(a - b) for a, b in zip(losses["textbook"][:2], losses["fp32"][:2]))
    print(f"DCGAN 64 px, conv_dim {args.conv_dim}, batch {args.batch}, one D and one G update, median of {args.rounds} rounds")
    print(f"torch {torch.__version__}, {device(args.device)}, {platform.machine()}, {torch.get_num_threads()} threads, seed 0")
    print(f"largest difference of D's loss between textbook and fp32 in the first two steps: {apart:.1e}")
    base = statistics.median(seconds["textbook"][2:])
    print(f"{'':10}{'ms/step':>10}{'images/s':>10}{'ratio':>8}")
    for side, times in seconds.items():
        middle = statistics.median(times[2:])
        print(f"{side:10}{middle * 1000:10.0f}{args.batch / middle:10.0f}{base / middle:8.2f}")


if __name__ == "__main__":
    main()
