"""Seconds for one step of a projection, ours beside the textbook's: `python bench/projector.py`.

Timed is a whole step of the search that learns noise too: a picture from w, the features of a VGG16-sized network on it, the
distance to the target's, the noise regulariser, all gradients, Adam, and the noise buffers brought back to variance 1. The
textbook side is the same step with every operator of the generator in its textbook form (tests/textbook.py) and with plain
memory layout in both networks, in float32. The weights are random: they change no time. The sides take turns step by step.

    python bench/projector.py --image-size 256 --steps 5

"ms" is the median, "ratio" the textbook's over this side's, "cpu" the same of processor seconds, "apart" the largest
difference of this side's first picture from the textbook's, relative to that one's largest value.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.stylegan import finished, textbook_operators
from facegen.devices import device
from facegen.latent.project import Search, _noise_buffers, noise_penalty, normalise_noise
from facegen.models import stylegan2, stylegan3
from facegen.models.perceptual import random_vgg
from facegen.training.fit import keep_memory

SIDES = {"textbook": (True, None), "fp32": (False, None), "bf16": (False, torch.bfloat16)}  # operators, type
RATE = 0.01


class Side:
    """One way to make the step, with its times."""

    def __init__(self, name: str, args: argparse.Namespace, on: torch.device) -> None:
        self.name, (self.is_textbook, self.dtype) = name, SIDES[name]
        self.on, self.search = on, Search(learn_noise=True)
        torch.manual_seed(0)
        self.G = generator(args).to(on).eval().requires_grad_(False)
        self.see = random_vgg(dtype=self.dtype).to(on)
        if self.is_textbook:
            self.see.to(memory_format=torch.contiguous_format)
        self.w = self.G.mapping(torch.randn(1, self.G.z_dim, device=on), None)[:, :1].clone().requires_grad_()
        self.buffers = [buffer.requires_grad_() for buffer in _noise_buffers(self.G)]
        self.optimizer = torch.optim.Adam([self.w, *self.buffers], lr=RATE)
        self.target = torch.rand(1, 3, args.image_size, args.image_size, device=on) * 2 - 1
        with torch.no_grad():
            self.features = self.see(self.target)
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def step(self) -> Tensor:
        """One step; the picture that it began with."""
        with textbook_operators() if self.is_textbook else contextlib.nullcontext():
            before = finished(self.on)
            ws = self.w.expand(-1, self.G.num_ws, -1)
            picture = self.G.synthesis(ws, noise_mode="const", dtype=self.dtype or torch.float32).float()
            loss = (self.see(picture) - self.features).square().sum()
            loss = loss + self.search.pixels * (picture - self.target).square().mean()
            loss = loss + self.search.regularize * sum(noise_penalty(buffer) for buffer in self.buffers)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            normalise_noise(self.buffers)
            after = finished(self.on)
        self.wall.append(after[0] - before[0])
        self.cpu.append(after[1] - before[1])
        return picture.detach()


def generator(args: argparse.Namespace) -> torch.nn.Module:
    """A StyleGAN of the widths asked for, with random weights."""
    widths = {"channel_base": args.cbase, "channel_max": args.cmax}
    if args.cfg == "stylegan2":
        return stylegan2.Generator(args.cmax, 0, args.cmax, args.image_size, 3, synthesis_kwargs=widths)
    radial = {"conv_kernel": 1, "use_radial_filters": True} if args.cfg == "stylegan3-r" else {}
    return stylegan3.Generator(args.cmax, 0, args.cmax, args.image_size, 3, **widths, **radial)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", choices=("stylegan2", "stylegan3-t", "stylegan3-r"), default="stylegan2")
    parser.add_argument("--sides", default="textbook,fp32,bf16", help=f"the first is the baseline; of {', '.join(SIDES)}")
    parser.add_argument("--steps", type=int, default=5, help="of each side, after one to warm up")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--cbase", type=int, default=16384)
    parser.add_argument("--cmax", type=int, default=512)
    parser.add_argument("--tf32", action="store_true", help="CUDA: let all sides' float32 products use TF32")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def main() -> None:
    args = parsed()
    on = device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    if on.type == "cpu":
        keep_memory()
    where = torch.cuda.get_device_name() if on.type == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {on.type}, {where}; {args.cfg}, {args.image_size} px, cbase {args.cbase}, ", end="")
    print(f"cmax {args.cmax}, {args.steps} steps")
    sides = [Side(name, args, on) for name in args.sides.split(",")]
    first = [side.step() for side in sides]
    for side in sides:
        side.wall.clear(), side.cpu.clear()
    for _ in range(args.steps):
        for side in sides:
            side.step()
    print(f"{'':10}{'ms':>10}{'ratio':>8}{'cpu':>8}{'apart':>10}")
    base = [statistics.median(times) for times in (sides[0].wall, sides[0].cpu)]
    for side, picture in zip(sides, first):
        wall, cpu = statistics.median(side.wall), statistics.median(side.cpu)
        apart = float((picture - first[0]).abs().max() / first[0].abs().max())
        print(f"{side.name:10}{1000 * wall:10.1f}{base[0] / wall:8.2f}{base[1] / cpu:8.2f}{apart:10.1e}", flush=True)


if __name__ == "__main__":
    main()
