"""Train the recorded runs of assets/sick again: a DCGAN of 32 pixels for each sickness, made sick on purpose, and healthy ones.

    python tools/record_sick_runs.py                     # all of them, half a minute to two minutes each on one core
    python tools/record_sick_runs.py --only oscillation  # this one, left in build/sick
    python tools/record_sick_runs.py --styles            # two StyleGANs, 6 and 15 minutes, into assets/sick_styles

Every run is trained by the package's own `fit` on drawn faces. What makes it sick is one entry of CASES. Only the droplets
are planted, into the pictures of a healthy run: the networks of the course have none. Settings that would give the answer
away are left out of the recorded config.json. Runs that are done already are not trained again.

Texture sticking shows only where pictures move, so that its run is recorded with its network: a StyleGAN2, and beside it a
StyleGAN3-T of the same settings, which is healthy. Nobody has to guess these two, so they lie in a folder of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from facegen.config import StyleConfig, TrainConfig
from facegen.data.packed import Faces, load_faces
from facegen.training.fit import fit
from facegen.training.steps import GAN, dcgan_from
from facegen.training.stylegan import StyleGAN, stylegan_from
from facegen.training.symptoms import HEALTHY, hidden_answer

COMMON = {
    "image_size": 32,
    "conv_dim": 12,
    "z_size": 32,
    "batch": 16,
    "kimg": 12.8,
    "lr_G": 5e-4,
    "lr_D": 5e-4,
    "ema_kimg": 0.0,
    "precision": "float32",
}
SNAPSHOTS, KEPT, SAMPLES = 12, 6, 25


@dataclass(frozen=True)
class Case:
    """One run: what differs from COMMON, the number of pictures, and how its method is built."""

    settings: dict[str, object] = field(default_factory=dict)
    pictures: int = 1000
    build: Callable[[TrainConfig], GAN] = dcgan_from


class Tinted(GAN):
    """A faulty loader: real pictures get a warm tint, of another strength each, that generated ones do not get."""

    def batch(self, data: Faces, step: int) -> list[Tensor]:
        strength = self.noise(self.config.batch, step, -7)[:, :1, None, None].abs() * 0.25
        tint = strength * torch.tensor([1.0, 0.1, -1.0]).view(1, 3, 1, 1)
        return [(real + tint).clamp(-1, 1) for real in super().batch(data, step)]


class Dripping(GAN):
    """Puts a drop into every picture that is shown, at a place that depends on z. Planted, not learned, and D never sees it.

    A generator that has the drop in it from the start learns to cover it: brighter around it, or in a room of its colour.
    """

    def sample(self, z: Tensor) -> Tensor:
        at = torch.linspace(-1, 1, self.config.image_size)
        x, y = (0.7 * torch.tanh(z[:, i].reshape(-1, 1, 1)) for i in (0, 1))
        drop = (-((at.view(1, 1, -1) - x).square() + (at.view(1, -1, 1) - y).square()) / 0.02).exp()[:, None]
        colour = torch.tensor([90.0, 250.0, 230.0]).view(3, 1, 1)
        return torch.lerp(super().sample(z).float(), colour, (1.5 * drop).clamp(max=1)).to(torch.uint8)


class Faint(nn.Module):
    """A generator that gets noise with a deviation of 0.02, around 1, instead of noise with a deviation of 1, around 0."""

    def __init__(self, G: nn.Module) -> None:
        super().__init__()
        self.G = G

    def forward(self, z: Tensor) -> Tensor:
        return self.G(1 + 0.02 * z)


def faint(config: TrainConfig) -> GAN:
    method = dcgan_from(config)
    return GAN(Faint(method.G), method.D, config)


def tinted(config: TrainConfig) -> GAN:
    method = dcgan_from(config)
    return Tinted(method.G, method.D, config)


def dripping(config: TrainConfig) -> GAN:
    method = dcgan_from(config)
    return Dripping(method.G, method.D, config)


CASES: dict[str, Case] = {
    "healthy 1": Case({"seed": 1, "conv_dim": 16, "batch": 32, "kimg": 48.0}, 2000),
    "healthy 2": Case({"seed": 2, "loss": "hinge", "norm_D": "spectral", "ema_kimg": 2.0, "kimg": 19.2}, 1200),
    "mode collapse": Case({"seed": 3, "norm_G": "none", "init": "xavier", "loss": "hinge", "norm_D": "spectral"}, build=faint),
    "partial collapse": Case({"seed": 4, "z_size": 1}),
    "discriminator won": Case({"seed": 5, "lr_D": 2e-3, "lr_G": 2e-5}),
    "generator won": Case({"seed": 3, "norm_G": "none", "norm_D": "none", "lr_G": 4e-3, "lr_D": 1e-3, "kimg": 25.6}, 2000),
    "oscillation": Case({"seed": 3, "lr_G": 1e-2, "conv_dim": 16, "batch": 32, "kimg": 48.0}, 2000),
    "memorisation": Case(
        {
            "seed": 8,
            "norm_D": "none",
            "r1_gamma": 1.0,
            "penalty_every": 4,
            "lr_G": 1e-3,
            "lr_D": 1e-3,
            "schedule": "linear",
            "kimg": 38.4,
        },
        16,
    ),
    "droplet artefacts": Case({"seed": 9}, build=dripping),
    "colour shift": Case({"seed": 10}, build=tinted),
    "converged": Case({"seed": 11, "schedule": "cosine", "ema_kimg": 5.0}),
}


STYLES = {
    "image_size": 32,
    "cbase": 512,
    "cmax": 32,
    "z_dim": 32,
    "w_dim": 32,
    "map_depth": 2,
    "gamma": 0.5,
    "pl_weight": 0.0,
    "aug": "noaug",
    "mirror": True,
    "batch": 16,
    "ema_kimg": 1.0,
    "precision": "float32",
    "seed": 1,
}
STYLE_CASES = {
    "stylegan2": StyleConfig(architecture="stylegan2", kimg=48.0, **STYLES),
    "stylegan3-t": StyleConfig(architecture="stylegan3-t", kimg=24.0, layers=6, **STYLES),
}


def record(name: str, out: Path) -> None:
    """Train one case in `out`."""
    case = CASES[name]
    config = TrainConfig(**(COMMON | case.settings))
    faces = load_faces(f"drawn:{case.pictures}", config.image_size, seed=config.seed)
    _train(case.build(config), faces, out)


def _train(method: GAN | StyleGAN, faces: Faces, out: Path) -> None:
    fit(method, faces, out, snap_kimg=method.config.kimg / SNAPSHOTS, samples=SAMPLES, keep="last:1", progress=False)


def record_styles(work: Path, dest: Path) -> None:
    """Train the two StyleGANs in `work`, and copy what a diagnosis needs, networks too."""
    for name, config in STYLE_CASES.items():
        begun = time.perf_counter()
        faces = load_faces("drawn:1000", config.image_size, seed=config.seed)
        _train(stylegan_from(config), faces, work / name)
        publish(work / name, dest / name)
        shutil.copyfile(work / name / "network.safetensors", dest / name / "network.safetensors")
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)


def letters() -> dict[str, str]:
    """A letter for each case, in an order that tells nothing."""
    shuffled = sorted(CASES, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return dict(zip(shuffled, "abcdefghijklmnopqrstuvwxyz"))


def publish(run: Path, dest: Path) -> None:
    """Copy of a run what a reader of symptoms may know: numbers, pictures, and settings that do not give the answer away."""
    about = json.loads((run / "config.json").read_text(encoding="utf-8"))
    about["config"] = {name: about["config"][name] for name in ("image_size", "loss", "batch", "kimg", "seed")}
    del about["steps_per_epoch"]
    shutil.rmtree(dest, ignore_errors=True)
    (dest / "samples").mkdir(parents=True)
    (dest / "config.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    shown = ("step", "kimg", "seconds", "loss_D", "loss_G", "logits_real", "logits_fake")
    text = "".join(
        json.dumps({name: float(f"{line[name]:.4g}") for name in shown} | {"step": line["step"]}) + "\n" for line in lines
    )
    (dest / "stats.jsonl").write_text(text, encoding="utf-8")
    for path in sorted((run / "samples").glob("step-*.png"))[-KEPT:]:
        # 32 levels of each colour are enough to see by, and compress twice as well.
        Image.open(path).point(lambda value: value // 8 * 8 + 4).save(dest / "samples" / path.name, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/sick"), help="where the runs are trained; begun ones go on")
    parser.add_argument("--out", type=Path, default=Path("assets/sick"), help="where the recorded runs go")
    parser.add_argument("--only", choices=CASES, help="train this one, and record nothing")
    parser.add_argument("--styles", action="store_true", help="train and record the two StyleGANs instead, beside --out")
    args = parser.parse_args()
    if args.styles:
        record_styles(args.work, args.out.with_name(args.out.name + "_styles"))
        return
    for name in [args.only] if args.only else CASES:
        begun = time.perf_counter()
        record(name, args.work / name.replace(" ", "_"))
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
    if args.only:
        return
    answers = {}
    for name, letter in sorted(letters().items(), key=lambda item: item[1]):
        publish(args.work / name.replace(" ", "_"), args.out / letter)
        answers[letter] = hidden_answer(letter, HEALTHY if name.startswith(HEALTHY) else name)
    (args.out / "answers.json").write_text(json.dumps(answers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
