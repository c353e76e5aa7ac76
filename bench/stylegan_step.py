"""Seconds per thousand pictures of StyleGAN training, ours beside the textbook's: `python bench/stylegan_step.py`.

Timed is the whole of `StyleGAN.update`: G's and D's step with Adam, the lazy penalties as often as they come in training,
the averaged generator. The textbook side is the same update with every operator of the networks in its textbook form, as in
bench/stylegan.py. A round is as many steps as the rarest penalty is apart (16), one round per side in turn, so that a machine
that slows down slows all of them. Augmentation is off (`--aug fixed --p 0.3` puts ADA's on, on all sides alike: it has its own
operators).

    python bench/stylegan_step.py --cfgs stylegan2,stylegan3-t,stylegan3-r --rounds 3 --cbase 2048 --cmax 128 --batch 8

"sec/kimg" is the median over the rounds, "ratio" the textbook's seconds over this side's, "cpu" the same of processor seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import platform
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.stylegan import finished, textbook_operators
from facegen.config import RECIPES, StyleConfig
from facegen.data import load_faces
from facegen.data.packed import Faces
from facegen.devices import device
from facegen.training.fit import keep_memory
from facegen.training.stylegan import StyleGAN, stylegan_from

SIDES = {"textbook": (True, "float32"), "fp32": (False, "float32"), "bf16": (False, "bfloat16")}  # operators, precision


class Side:
    """One way to train, with its times."""

    def __init__(self, name: str, config: StyleConfig, on: torch.device) -> None:
        self.name, (self.is_textbook, precision) = name, SIDES[name]
        self.method: StyleGAN = stylegan_from(dataclasses.replace(config, precision=precision), on)
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def round(self, data: Faces, steps: int, start: int) -> None:
        """Train for some steps and note the seconds per thousand pictures."""
        method, kimg = self.method, steps * self.method.config.batch / 1000
        with textbook_operators() if self.is_textbook else contextlib.nullcontext():
            before = finished(method.device)
            for step in range(start, start + steps):
                method.update(step, method.batch(data, step))
            after = finished(method.device)
        self.wall.append((after[0] - before[0]) / kimg)
        self.cpu.append((after[1] - before[1]) / kimg)


def settings(cfg: str, args: argparse.Namespace) -> StyleConfig:
    """The recipe with the widths asked for."""
    change = {"cbase": args.cbase, "cmax": args.cmax, "z_dim": args.latent, "w_dim": args.latent}
    change |= {"image_size": args.image_size, "batch": args.batch, "batch_gpu": args.batch_gpu}
    change |= {"aug": args.aug, "p": args.p}
    return dataclasses.replace(RECIPES[cfg], **change)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfgs", default="stylegan2,stylegan3-t,stylegan3-r")
    parser.add_argument("--sides", default="textbook,fp32,bf16", help=f"the first is the baseline; of {', '.join(SIDES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16, help="in a round; 16 holds every penalty as often as training does")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--cbase", type=int, default=32768)
    parser.add_argument("--cmax", type=int, default=512)
    parser.add_argument("--latent", type=int, default=512, help="length of z and of w")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batch-gpu", type=int, default=0)
    parser.add_argument("--aug", choices=("noaug", "fixed", "diffaug"), default="noaug")
    parser.add_argument("--p", type=float, default=0.3, help="how often --aug fixed changes a picture in each way")
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
    print(
        f"torch {torch.__version__}, {on.type}, {where}; {args.image_size} px, cbase {args.cbase}, cmax {args.cmax}, ", end=""
    )
    print(f"batch {args.batch}, {args.aug}, {args.rounds} rounds of {args.steps} steps")
    print(f"{'':12} {'':10}{'sec/kimg':>10}{'ratio':>8}{'cpu':>8}", flush=True)
    data = load_faces("drawn:64", args.image_size, cache=False).to(on)
    for cfg in args.cfgs.split(","):
        sides = [Side(name, settings(cfg, args), on) for name in args.sides.split(",")]
        for side in sides:
            side.round(data, 2, 0)  # warm up: step 0 has every penalty
            side.wall.clear(), side.cpu.clear()
        for k in range(args.rounds):
            for side in sides:
                side.round(data, args.steps, k * args.steps)
        base = [statistics.median(times) for times in (sides[0].wall, sides[0].cpu)]
        for side in sides:
            wall, cpu = statistics.median(side.wall), statistics.median(side.cpu)
            print(f"{cfg:12} {side.name:10}{wall:10.1f}{base[0] / wall:8.2f}{base[1] / cpu:8.2f}", flush=True)


if __name__ == "__main__":
    main()
