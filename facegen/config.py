"""What a run is made of, and the three sizes of the course. The comment behind a setting is the help of its flag."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import typing
from types import SimpleNamespace
from typing import Annotated, Literal

from facegen.devices import device
from facegen.files import InputError

# What a setting must be: a test, and its words.
Count = Annotated[int, (lambda n: n >= 1, "must be at least 1")]
Several = Annotated[int, (lambda n: n >= 2, "must be at least 2")]
Whole = Annotated[int, (lambda n: n >= 0, "must not be negative")]
Seed = Annotated[int, (lambda n: 0 <= n < 2**63, "must lie between 0 and 2**63 - 1")]
Positive = Annotated[float, (lambda x: x > 0, "must be greater than 0")]
Weight = Annotated[float, (lambda x: x >= 0, "must not be negative")]
Share = Annotated[float, (lambda x: 0 <= x <= 1, "must lie between 0 and 1")]
Beta = Annotated[float, (lambda x: 0 <= x < 1, "Adam's betas lie in [0, 1)")]
YES_NO = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
Batch = Annotated[int, (lambda n: n >= 2, "must be at least 2, batch normalisation compares the pictures of a batch")]
Size = Annotated[int, (lambda n: n >= 8 and n.bit_count() == 1, "the networks take 8, 16, 32, 64, ... pixels")]
Layers = Annotated[Whole, (lambda n: n not in (1, 2), "two of StyleGAN3's layers have the full rate, so 3 is the least; 0: 14")]
Translator = Annotated[str, (re.compile(r"resnet[1-9]\d?|unet\d{2,4}").fullmatch, "choose resnet6, resnet9, unet128 or such")]
Precision = Literal["auto", "float32", "bfloat16"]
TRUNC, TRUNC_OF_SHEETS = 1.0, 0.7  # psi of the truncation trick; of sheets and folders of faces, which are to look well


def flag_of(name: str) -> str:
    """ "image_size" -> "--image-size": how messages call a setting, at the command line and in a notebook alike."""
    return "--" + name.replace("_", "-")


def check_values(given: object) -> None:
    """Refuse a recipe, or a verb, with a value that its field's annotation does not allow. None says nothing."""
    for name, kind in typing.get_type_hints(type(given), include_extras=True).items():
        value, flag = getattr(given, name), flag_of(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{flag}={value}: must be a finite number")
        for part in (kind, *typing.get_args(kind)) if value is not None else ():  # Count, or Count | None
            if typing.get_origin(part) is Literal and value not in typing.get_args(part):
                raise InputError(f"{flag}={value!r} is not known: choose one of {', '.join(typing.get_args(part))}")
            for rule in getattr(part, "__metadata__", ()):
                if isinstance(rule, tuple) and not rule[0](value):
                    raise InputError(f"{flag}={value}: {rule[1]}")


class Recipe:
    """What all recipes share: settings that cannot work are refused in one line, before anything is built."""

    def __post_init__(self) -> None:
        check_values(self)
        self.check()

    @property
    def images_per_step(self) -> int:
        """Real pictures, of either domain, per step of G."""
        return self.batch * getattr(self, "d_steps", 1)

    @property
    def steps(self) -> int:
        """Steps of G in a run whose length is given in `kimg`."""
        return max(1, round(self.kimg * 1000 / self.images_per_step))


@dataclasses.dataclass(frozen=True)
class TrainConfig(Recipe):
    """Everything that decides what a training run computes. Two runs with equal settings, data and machine are equal."""

    # networks
    image_size: int = 64  # pixels: 32, 64 or 128
    z_size: Count = 100  # length of the noise vector
    conv_dim: Count = 64  # width of the networks; twice as wide is four times the work
    norm_G: Literal["batch", "instance", "spectral", "none"] = "batch"  # of G's layers
    norm_D: Literal["batch", "instance", "spectral", "none"] = "batch"  # of D's layers
    slope: Weight = 0.2  # of D's leaky ReLU
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"  # of the convolutions
    init: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal"  # how weights begin
    # objective
    loss: Literal["bce", "lsgan", "hinge", "wgan", "wgan-gp", "relativistic"] = "bce"  # what G and D play for
    smooth: bool = False  # 1: real targets are 0.9 (bce, lsgan)
    clip: Positive = 0.01  # wgan: D's weights stay within +-CLIP
    gp_weight: Weight = 10.0  # wgan-gp: weight of the gradient penalty
    r1_gamma: Weight = 0.0  # R1 penalty on real pictures, gamma/2 * ||grad D||^2; 0 is off
    r2_gamma: Weight = 0.0  # the same on fakes; 0 is off
    penalty_every: Count = 1  # penalties only every N-th step, N times as strong
    d_steps: Count = 1  # D steps per G step
    augment: str = ""  # for small sets: color,translation,cutout, or none
    mirror: bool = False  # 1: flip half of the real pictures
    # optimisation
    batch: Batch = 64  # pictures per step
    kimg: Positive = 200.0  # length of the run in thousands of real pictures shown
    lr_G: Positive = 2e-4  # Adam's learning rate for G
    lr_D: Positive = 2e-4  # Adam's learning rate for D
    beta1: Beta = 0.5  # Adam's first beta
    beta2: Beta = 0.999  # Adam's second beta
    schedule: Literal["constant", "linear", "cosine"] = "constant"  # of the rates; linear: flat, then to 0
    warmup_kimg: Weight = 0.0  # thousands of pictures over which the rates rise from 0
    ema_kimg: Weight = 5.0  # half-life of the averaged generator; 0 is off
    precision: Precision = "auto"  # auto: bfloat16 where the device computes it natively
    seed: Seed = 0  # of everything random

    def check(self) -> None:
        if self.norm_D == "batch" and (self.loss == "wgan-gp" or self.r1_gamma or self.r2_gamma):
            raise InputError("a gradient penalty needs --norm-D instance, spectral or none: batch norm mixes the pictures")


@dataclasses.dataclass(frozen=True)
class CycleConfig(Recipe):
    """Everything that decides what a CycleGAN run computes; the defaults are the published ones at 128 pixels."""

    # networks
    image_size: int = 128  # pixels, a multiple of 4
    load_size: int = 143  # pixels at which pictures are loaded, to be cropped at random
    generator: Translator = "resnet6"  # resnet6, resnet9 (N blocks), unet128 or unet256
    width: Count = 64  # of the generators; twice as wide is four times the work
    width_D: Count = 64  # of the discriminators
    layers_D: Whole = 3  # of the PatchGAN: 3 sees 70 pixels; 0 sees single pixels
    norm: Literal["instance", "batch"] = "instance"  # of all layers
    # objective
    loss: Literal["lsgan", "vanilla", "wgangp"] = "lsgan"  # what G and D play for
    gp_weight: Weight = 10.0  # wgangp: weight of the gradient penalty
    lambda_A: Weight = 10.0  # weight of the cycle A to B to A
    lambda_B: Weight = 10.0  # weight of the cycle B to A to B
    lambda_identity: Weight = 0.5  # weight of the identity loss, as a share of the cycle's
    lambda_face: Weight = 0.0  # weight of the face-identity loss; 0 is off
    face_model: str = "drawn"  # what compares faces: drawn, or the file of a model that you have
    pool: Whole = 50  # past fakes that D is shown; 0 is off
    mirror: bool = True  # 1: flip half of the pictures
    # optimisation
    batch: Count = 1  # pictures of each domain per step
    epochs: Whole = 100  # at the full learning rate
    epochs_decay: Whole = 100  # while the rate falls to 0
    lr: Positive = 2e-4  # Adam's learning rate
    beta1: Beta = 0.5  # Adam's first beta
    beta2: Beta = 0.999  # Adam's second beta
    precision: Precision = "auto"  # auto: bfloat16 where the device computes it natively
    seed: Seed = 0  # of everything random

    def check(self) -> None:
        if self.epochs + self.epochs_decay < 1:
            raise InputError("--epochs=0 and --epochs-decay=0: train for at least one epoch")
        if self.load_size < self.image_size:
            raise InputError(f"--load-size={self.load_size} is less than --image-size={self.image_size}: make it larger")
        if self.loss == "wgangp" and self.norm == "batch":
            raise InputError("wgangp needs a D that sees each picture alone, and batch norm mixes them: set --norm to instance")


@dataclasses.dataclass(frozen=True)
class StyleConfig(Recipe):
    """Everything that decides what a StyleGAN run computes; the defaults are those of the papers, for 64 pixels."""

    # networks
    architecture: Literal["stylegan2", "stylegan3-t", "stylegan3-r"] = "stylegan2"  # which --cfg names
    image_size: Size = 64  # pixels: 8, 16, 32, 64, ...; without it that of the pictures in --data
    cbase: Count = 32768  # width of the networks at 1 pixel: half as much is a quarter of the work
    cmax: Count = 512  # greatest width
    z_dim: Count = 512  # length of the noise z
    w_dim: Count = 512  # length of the style w
    map_depth: Whole = 0  # layers of the mapping network; 0: 8 for stylegan2, 2 for stylegan3
    layers: Layers = 0  # of stylegan3's synthesis, without the one to colour; 0: 14; fewer are faster
    freezed: Whole = 0  # first layers of D that do not learn
    cond: bool = False  # 1: use the data set's labels
    # objective
    loss: Literal["logistic", "relativistic"] = "logistic"  # non-saturating, or by pairs of real and fake
    gamma: float = -1.0  # weight of R1 on real pictures; below 0: 0.0002 * size^2 / batch
    r2_gamma: Weight = 0.0  # weight of the same on fakes
    r1_interval: Count = 16  # R1 and R2 only every N-th step, N times as strong
    pl_weight: Weight = 2.0  # weight of path-length regularisation
    pl_interval: Count = 4  # it only every N-th step
    style_mixing: Share = 0.9  # chance of mixing the styles of two faces
    aug: Literal["ada", "fixed", "diffaug", "noaug"] = "ada"  # for small sets: ada is adaptive
    ada_kimg: Positive = 500.0  # ada: thousands of pictures in which p can rise from 0 to 1
    target: Share = 0.6  # ada: mean sign of D on real pictures that is aimed at
    p: Share = 0.2  # fixed: how likely each augmentation is
    augpipe: str = "bgc"  # which augmentations: blit, geom, color, bg, bgc, ..., bgcfnc
    mirror: bool = False  # 1: flip half of the real pictures
    # optimisation
    batch: Count = 32  # pictures per step
    batch_gpu: Whole = 0  # pictures that go through the networks at once; 0: all, or what fits
    kimg: Positive = 25000.0  # length of the run in thousands of real pictures shown
    glr: Positive = 0.0025  # Adam's learning rate for G
    dlr: Positive = 0.002  # Adam's learning rate for D
    ema_kimg: float = -1.0  # half-life of the averaged generator; below 0: batch * 10 / 32
    ema_rampup: Weight = 0.05  # and at most this share of the pictures shown so far
    blur_kimg: float = -1.0  # stylegan3-r: kimg in which its first blur fades; below 0: batch * 200 / 32
    precision: Precision = "auto"  # auto: bfloat16 where the device computes it natively
    seed: Seed = 0  # of everything random

    def check(self) -> None:
        at_once = self.batch_gpu or self.batch
        if self.batch % at_once:
            raise InputError(f"--batch={self.batch} is no multiple of --batch-gpu={self.batch_gpu}, its micro-batches' size")
        if at_once > 4 and at_once % 4:
            raise InputError(f"{at_once} pictures at once: D compares groups of 4, so take a multiple of 4, or fewer")


# Named starting points for `facegen train --cfg`; every field can still be set by its own flag.
RECIPES: dict[str, TrainConfig | CycleConfig | StyleConfig] = {
    "dcgan": TrainConfig(),
    "cyclegan": CycleConfig(),
    "stylegan2": StyleConfig(),
    # Section 3.1 and appendix F.1 of Karras et al. 2021: no path-length penalty, no style mixing.
    "stylegan3-t": StyleConfig("stylegan3-t", pl_weight=0.0, style_mixing=0.0),
    "stylegan3-r": StyleConfig("stylegan3-r", pl_weight=0.0, style_mixing=0.0),
}
# How much the notebooks do, a row for each number. `ci` shrinks sizes, widths and steps, never a code path.
PRESETS = {
    "name": ("ci", "cpu", "gpu"),
    "faces": (256, 4096, 20000),  # pictures in the training set
    "conv_dim": (8, 32, 64),  # channels of the learner's DCGAN
    "batch": (16, 16, 64),
    "kimg": (0.32, 80, 600),  # of the main run
    "snap_kimg": (0.08, 4, 20),  # between two snapshots of it
    "experiment_kimg": (0.08, 14, 60),  # of each run in the comparisons
    # 03, CycleGAN
    "cycle_size": (32, 64, 128),  # pixels
    "cycle_faces": (16, 400, 1000),  # of each domain
    "cycle_width": (4, 16, 48),
    "cycle_blocks": (1, 3, 6),
    "copy_steps": (10, 2000, 6000),  # of the generator that learns to copy first
    "cycle_epochs": (2, 3, 12),  # of the main run, half of them at the full learning rate
    "failure_epochs": (1, 1, 2),  # of each run that is made to fail
    # 04, StyleGAN
    "style_size": (16, 32, 64),  # pixels of the run from nothing
    "style_faces": (64, 1000, 2000),
    "style_cbase": (128, 512, 4096),
    "style_cmax": (16, 64, 256),
    "style_kimg": (0.192, 44, 240),  # of the run from nothing
    "style_snap_kimg": (0.064, 4, 12),
    "style_samples": (24, 128, 500),  # generated pictures in each measurement
    "transfer_kimg": (0.064, 2.4, 24),  # of the two runs from nothing and from the shipped network, at 64 pixels
    "compare_kimg": (0.032, 1.6, 20),  # of each run in the comparison
    # 05, projection
    "project_steps": (8, 250, 500),  # of each search
    "project_tune_steps": (4, 120, 250),  # of each tuning of weights
    "project_samples": (1000, 10000, 10000),  # w whose mean and spread are taken
    "project_faces": (24, 200, 400),  # of the network's own pictures that are measured
    "project_people": (2, 2, 6),  # strangers who are projected
    "project_frames": (4, 36, 60),  # from one face to the next
    # 06, evaluation
    "evaluate_faces": (32, 400, 1000),  # in each set that is measured
    "evaluate_rounds": (40, 100, 200),  # of each interval by halves
    "evaluate_moves": (4, 60, 200),  # pictures that are moved for EQ-T
    "evaluate_epochs": (2, 4, 8),  # of the CycleGAN that is measured
    "audit_faces": (300, 2000, 4000),  # of 32 pixels, in each set of the audit
    "audit_kimg": (0.64, 16, 60),  # of each of its two runs
}


def preset() -> SimpleNamespace:
    """The numbers of the preset named by FACEGEN_PRESET; without it `gpu` where there is an accelerator, else `cpu`.

    Raises:
        InputError: the variable holds another word.
    """
    names = PRESETS["name"]
    name = os.environ.get("FACEGEN_PRESET") or ("cpu" if device().type == "cpu" else "gpu")
    if name not in names:
        raise InputError(f"FACEGEN_PRESET={name!r} is not known: set it to one of {', '.join(names)}")
    return SimpleNamespace(**{number: row[names.index(name)] for number, row in PRESETS.items()})
