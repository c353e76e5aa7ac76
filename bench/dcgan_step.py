"""Our DCGAN training step against the textbook's, in the same run: `python bench/dcgan_step.py`.

The textbook loop is the one that every tutorial teaches: contiguous float32, sigmoid and BCELoss, one backward pass per
term, gradients for D's weights also in G's step, Adam as it comes. Ours computes the same updates (`fp32` is checked
against it below) with channels_last, D frozen in G's step, one backward pass for D and fused Adam; `bf16` adds autocast.
Rounds of the three are interleaved, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time

import torch
from torch import nn

from facegen.config import TrainConfig, device
from facegen.models import dcgan
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--conv-dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    on = device(args.device)

    torch.manual_seed(0)
    settings = {"batch": args.batch, "conv_dim": args.conv_dim, "ema_kimg": 0.0}
    G = dcgan.initialise(dcgan.Generator(100, args.conv_dim)).to(on)
    D = dcgan.initialise(dcgan.Discriminator(args.conv_dim)).to(on)
    ours = {
        name: GAN(copy.deepcopy(G), copy.deepcopy(D), TrainConfig(precision=precision, **settings), device=on)
        for name, precision in (("fp32", "float32"), ("bf16", "bfloat16"))
    }
    opt_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    real = torch.rand(args.batch, 3, 64, 64, device=on) * 2 - 1

    def finish() -> float:
        if on.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    seconds: dict[str, list[float]] = {"textbook": [], "fp32": [], "bf16": []}
    apart = 0.0
    for step in range(args.rounds + 1):  # the first round warms up and is not counted
        start = finish()
        loss = textbook_step(G, D, opt_G, opt_D, real, ours["fp32"].noise(args.batch, step, 0))
        seconds["textbook"].append(finish() - start)
        for name, gan in ours.items():
            start = finish()
            stats = gan.update(step, [real])
            seconds[name].append(finish() - start)
            if name == "fp32" and step < 2:  # later rounding differences grow, as in any GAN
                apart = max(apart, abs(stats["loss_D"].item() - loss))
    print(f"DCGAN 64 px, conv_dim {args.conv_dim}, batch {args.batch}, one D and one G update, median of {args.rounds} rounds")
    print(f"torch {torch.__version__}, {on}, {platform.machine()}, {torch.get_num_threads()} threads, seed 0")
    print(f"largest difference of D's loss between textbook and fp32 in the first two steps: {apart:.1e}")
    base = statistics.median(seconds["textbook"][1:])
    print(f"{'':10}{'ms/step':>10}{'images/s':>10}{'ratio':>8}")
    for name, times in seconds.items():
        middle = statistics.median(times[1:])
        print(f"{name:10}{middle * 1000:10.0f}{args.batch / middle:10.0f}{base / middle:8.2f}")


if __name__ == "__main__":
    main()
