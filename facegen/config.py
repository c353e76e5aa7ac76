"""Settings: what a training run is made of, and the three sizes at which the course runs.

FACEGEN_PRESET is read here and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Sequence

import torch

from facegen.files import InputError


def _check_numbers(
    config: TrainConfig | CycleConfig | StyleConfig,
    at_least_one: Sequence[str],
    positive: Sequence[str],
    not_negative: Sequence[str],
) -> None:
    """What every recipe's numbers must be, and the words that all recipes share."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type == "float" and not math.isfinite(value):
            raise InputError(f"{field.name}={value}: must be a finite number")
    if not 0 <= config.seed < 2**63:
        raise InputError(f"seed={config.seed}: must lie between 0 and 2**63 - 1")
    for name in at_least_one:
        if getattr(config, name) < 1:
            raise InputError(f"{name}={getattr(config, name)}: must be at least 1")
    for name in positive:
        if not getattr(config, name) > 0:
            raise InputError(f"{name}={getattr(config, name)}: must be greater than 0")
    for name in not_negative:
        if not getattr(config, name) >= 0:
            raise InputError(f"{name}={getattr(config, name)}: must not be negative")
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(config, name, 0.0) < 1:  # a StyleGAN's are fixed
            raise InputError(f"{name}={getattr(config, name)}: Adam's betas lie in [0, 1)")
    if config.precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision={config.precision!r} is not known: choose auto, float32 or bfloat16")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes. Two runs with equal settings, data and machine are equal."""

    # networks
    image_size: int = 64
    z_size: int = 100
    conv_dim: int = 64
    norm_G: str = "batch"
    norm_D: str = "batch"
    slope: float = 0.2  # of D's leaky ReLU
    padding_mode: str = "zeros"
    init: str = "normal"
    # objective
    loss: str = "bce"
    smooth: bool = False  # real targets 0.9 instead of 1
    clip: float = 0.01  # wgan: D's weights are kept in [-clip, clip]
    gp_weight: float = 10.0  # wgan-gp
    r1_gamma: float = 0.0  # gamma/2 * ||grad D(real)||^2; 0 is off
    r2_gamma: float = 0.0  # the same on fakes
    penalty_every: int = 1  # lazy penalties: in every k-th step, k times as strong
    d_steps: int = 1  # D steps per G step
    augment: str = ""  # DiffAugment policy: color,translation,cutout
    mirror: bool = False  # flip half of the real pictures
    # optimisation
    batch: int = 64
    kimg: float = 200.0  # length of the run in thousands of real pictures shown to D
    lr_G: float = 2e-4
    lr_D: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: str = "constant"  # constant, linear (flat, then to 0 over the second half) or cosine
    warmup_kimg: float = 0.0
    ema_kimg: float = 5.0  # half-life of the averaged generator; 0 is off
    precision: str = "auto"  # float32, bfloat16, or auto: bfloat16 where the device computes it natively
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line, before anything is built.

        Raises:
            InputError: a number out of range or an unknown word.
        """
        _check_numbers(
            self,
            at_least_one=("z_size", "conv_dim", "penalty_every", "d_steps"),
            positive=("kimg", "lr_G", "lr_D", "clip"),
            not_negative=("gp_weight", "r1_gamma", "r2_gamma", "warmup_kimg", "ema_kimg", "slope"),
        )
        if self.batch < 2:
            raise InputError(f"batch={self.batch}: must be at least 2, batch normalisation compares the pictures of a batch")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule={self.schedule!r} is not known: choose one of {', '.join(SCHEDULES)}")
        if self.norm_D == "batch" and (self.loss == "wgan-gp" or self.r1_gamma or self.r2_gamma):
            raise InputError(
                "a gradient penalty needs a D that sees each picture alone, and batch norm mixes them: "
                "set norm_D to instance, spectral or none"
            )

    @property
    def steps(self) -> int:
        """G steps in the run: kimg is counted in real pictures."""
        return max(1, round(self.kimg * 1000 / self.images_per_step))

    @property
    def images_per_step(self) -> int:
        """Real pictures that D sees per G step."""
        return self.batch * self.d_steps


SCHEDULES = ("constant", "linear", "cosine")
WEIGHTS = ("lambda_A", "lambda_B", "lambda_identity", "lambda_face")


@dataclasses.dataclass(frozen=True)
class CycleConfig:
    """Everything that decides what a CycleGAN run computes; the defaults are the published ones at 128 pixels."""

    # networks
    image_size: int = 128
    load_size: int = 143  # pictures are loaded at this size and cropped at random
    generator: str = "resnet6"  # resnetN: N residual blocks; unetS: a U-Net for S pixels
    width: int = 64  # channels of G's first layer
    width_D: int = 64
    layers_D: int = 3  # of the PatchGAN; 0 judges every pixel by itself
    norm: str = "instance"
    # objective
    loss: str = "lsgan"
    gp_weight: float = 10.0  # wgangp: weight of the gradient penalty
    lambda_A: float = 10.0  # weight of the cycle that begins in A
    lambda_B: float = 10.0
    lambda_identity: float = 0.5  # of the identity loss, as a share of the cycle's weight
    lambda_face: float = 0.0  # of the face-identity loss; 0 is off
    face_model: str = "drawn"  # what measures it: "drawn", or a model's file
    pool: int = 50  # past fakes that D is shown; 0 is off
    mirror: bool = True  # flip half of the pictures
    # optimisation
    batch: int = 1
    epochs: int = 100  # at the full learning rate
    epochs_decay: int = 100  # while it falls to 0
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    precision: str = "auto"  # as in TrainConfig
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line, before anything is built.

        Raises:
            InputError: a number out of range or an unknown word.
        """
        _check_numbers(
            self,
            at_least_one=("batch", "width", "width_D"),
            positive=("lr",),
            not_negative=("layers_D", "gp_weight", *WEIGHTS, "pool", "epochs", "epochs_decay"),
        )
        if self.epochs + self.epochs_decay < 1:
            raise InputError("epochs=0 and epochs_decay=0: train for at least one epoch")
        if self.load_size < self.image_size:
            raise InputError(
                f"load_size={self.load_size}: crops of image_size={self.image_size} cannot be cut from it, make it larger"
            )
        if not re.fullmatch(r"resnet[1-9]\d?|unet\d{2,4}", self.generator):
            raise InputError(
                f"generator={self.generator!r} is not known: choose resnet6, resnet9, unet128, unet256 or the like"
            )
        if self.norm not in ("instance", "batch"):
            raise InputError(f"norm={self.norm!r} is not known: choose instance or batch")
        if self.loss not in ("lsgan", "vanilla", "wgangp"):
            raise InputError(f"loss={self.loss!r} is not known: choose one of lsgan, vanilla, wgangp")
        if self.loss == "wgangp" and self.norm == "batch":
            raise InputError("wgangp needs a D that sees each picture alone, and batch norm mixes them: set norm to instance")

    @property
    def images_per_step(self) -> int:
        """Real pictures of either domain per step."""
        return self.batch


ARCHITECTURES = ("stylegan2", "stylegan3-t", "stylegan3-r")
STYLE_LOSSES = ("logistic", "relativistic")
AUGMENTATIONS = ("ada", "fixed", "diffaug", "noaug")


@dataclasses.dataclass(frozen=True)
class StyleConfig:
    """Everything that decides what a StyleGAN run computes; the defaults are those of the papers, for 64 pixels."""

    # networks
    architecture: str = "stylegan2"
    image_size: int = 64
    cbase: int = 32768  # width at a resolution is cbase / resolution, doubled for stylegan3-r
    cmax: int = 512  # and at most this
    z_dim: int = 512
    w_dim: int = 512
    map_depth: int = 0  # layers of the mapping network; 0: 8 for stylegan2, 2 for stylegan3
    layers: int = 0  # of stylegan3's synthesis, without the one to colour; 0: 14
    freezed: int = 0  # first layers of D that do not learn
    cond: bool = False  # use the data set's labels
    # objective
    loss: str = "logistic"  # non-saturating; or relativistic: pairs of real and fake
    gamma: float = -1.0  # weight of R1; below 0: 0.0002 * image_size ** 2 / batch
    r2_gamma: float = 0.0  # the same penalty on fakes
    r1_interval: int = 16  # steps between two penalties on D
    pl_weight: float = 2.0  # path-length regularisation (stylegan2)
    pl_interval: int = 4
    style_mixing: float = 0.9  # chance that a picture's styles come from two z's (stylegan2)
    aug: str = "ada"
    ada_kimg: float = 500.0  # ada: thousands of pictures in which p can rise from 0 to 1
    target: float = 0.6  # ada: what the mean sign of D on real pictures is held at
    p: float = 0.2  # fixed: the augmentations' probability
    augpipe: str = "bgc"
    mirror: bool = False
    # optimisation
    batch: int = 32
    batch_gpu: int = 0  # pictures that go through the networks at once; 0: batch / processes
    kimg: float = 25000.0
    glr: float = 0.0025
    dlr: float = 0.002
    ema_kimg: float = -1.0  # half-life of the averaged generator; below 0: batch * 10 / 32
    ema_rampup: float = 0.05  # the half-life is at most this share of the pictures shown so far
    blur_kimg: float = -1.0  # in which stylegan3-r's blur fades; below 0: batch * 200 / 32
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line, before anything is built.

        Raises:
            InputError: a number out of range or an unknown word.
        """
        _check_numbers(
            self,
            at_least_one=("cbase", "cmax", "z_dim", "w_dim", "r1_interval", "pl_interval", "batch"),
            positive=("kimg", "ada_kimg", "glr", "dlr"),
            not_negative=("map_depth", "layers", "freezed", "r2_gamma", "pl_weight", "batch_gpu", "ema_rampup"),
        )
        for name, words in (("architecture", ARCHITECTURES), ("loss", STYLE_LOSSES), ("aug", AUGMENTATIONS)):
            if getattr(self, name) not in words:
                raise InputError(f"{name}={getattr(self, name)!r} is not known: choose one of {', '.join(words)}")
        for name in ("style_mixing", "target", "p"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: must lie between 0 and 1")
        if self.image_size < 8 or self.image_size & (self.image_size - 1):
            raise InputError(f"image_size={self.image_size}: the networks take 8, 16, 32, 64, ... pixels")
        if self.layers in (1, 2):
            raise InputError(f"layers={self.layers}: two of StyleGAN3's layers have the full rate, so 3 is the least; 0: 14")
        if self.batch % self.micro_batch:
            raise InputError(f"batch={self.batch} is no multiple of batch_gpu={self.batch_gpu}: it is worked off in such parts")
        if self.micro_batch > 4 and self.micro_batch % 4:
            raise InputError(f"{self.micro_batch} pictures at once: D compares groups of 4, so take a multiple of 4, or fewer")

    @property
    def images_per_step(self) -> int:
        """Real pictures per step."""
        return self.batch

    @property
    def micro_batch(self) -> int:
        """Pictures that go through the networks at once."""
        return self.batch_gpu or self.batch

    @property
    def steps(self) -> int:
        """Steps in the run: kimg is counted in real pictures."""
        return max(1, round(self.kimg * 1000 / self.batch))

    @property
    def blur_fade(self) -> float:
        """Thousands of pictures in which the blur of stylegan3-r fades: by default the paper's 200 at a batch of 32."""
        return self.batch * 200 / 32 if self.blur_kimg < 0 else self.blur_kimg

    @property
    def r1_gamma(self) -> float:
        """`gamma`, or what suits the size and the batch (Karras et al. 2020, arXiv:2006.06676, appendix C)."""
        return self.gamma if self.gamma >= 0 else 0.0002 * self.image_size**2 / self.batch

    @property
    def ema_half_life(self) -> float:
        """`ema_kimg`, or what suits the batch, in thousands of pictures."""
        return self.ema_kimg if self.ema_kimg >= 0 else self.batch * 10 / 32


# Named starting points for `facegen train --cfg`; every field can still be set by its own flag.
RECIPES: dict[str, TrainConfig | CycleConfig | StyleConfig] = {
    "dcgan": TrainConfig(),
    "cyclegan": CycleConfig(),
    "stylegan2": StyleConfig(),
    # Section 3.1 and appendix F.1 of Karras et al. 2021: no path-length penalty, no style mixing.
    "stylegan3-t": StyleConfig("stylegan3-t", pl_weight=0.0, style_mixing=0.0),
    "stylegan3-r": StyleConfig("stylegan3-r", pl_weight=0.0, style_mixing=0.0),
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """How much the notebooks do. `ci` shrinks sizes, widths and steps, never a code path."""

    name: str
    faces: int  # pictures in the training set
    conv_dim: int  # channels of the learner's DCGAN
    batch: int
    kimg: float  # of the main run
    snap_kimg: float  # between two snapshots of it
    experiment_kimg: float  # of each run in the comparisons
    # 03, CycleGAN
    cycle_size: int  # pixels
    cycle_faces: int  # of each domain
    cycle_width: int
    cycle_blocks: int
    copy_steps: int  # of the generator that learns to copy first
    cycle_epochs: int  # of the main run, half of them at the full learning rate
    failure_epochs: int  # of each run that is made to fail
    # 04, StyleGAN
    style_size: int  # pixels of the run from nothing
    style_faces: int
    style_cbase: int
    style_cmax: int
    style_kimg: float  # of the run from nothing
    style_snap_kimg: float
    style_samples: int  # generated pictures in each measurement
    transfer_kimg: float  # of the two runs from nothing and from the shipped network, at 64 pixels
    compare_kimg: float  # of each run in the comparison
    # 05, projection
    project_steps: int  # of each search
    project_tune_steps: int  # of each tuning of weights
    project_samples: int  # w whose mean and spread are taken
    project_faces: int  # of the network's own pictures that are measured
    project_people: int  # strangers who are projected
    project_frames: int  # from one face to the next
    # 06, evaluation
    evaluate_faces: int  # in each set that is measured
    evaluate_rounds: int  # of each interval by halves
    evaluate_moves: int  # pictures that are moved for EQ-T
    evaluate_epochs: int  # of the CycleGAN that is measured
    audit_faces: int  # of 32 pixels, in each set of the audit
    audit_kimg: float  # of each of its two runs


PRESETS: dict[str, Preset] = {
    "ci": Preset(
        "ci",
        faces=256,
        conv_dim=8,
        batch=16,
        kimg=0.32,
        snap_kimg=0.08,
        experiment_kimg=0.08,
        cycle_size=32,
        cycle_faces=16,
        cycle_width=4,
        cycle_blocks=1,
        copy_steps=10,
        cycle_epochs=2,
        failure_epochs=1,
        style_size=16,
        style_faces=64,
        style_cbase=128,
        style_cmax=16,
        style_kimg=0.192,
        style_snap_kimg=0.064,
        style_samples=24,
        transfer_kimg=0.064,
        compare_kimg=0.032,
        project_steps=8,
        project_tune_steps=4,
        project_samples=1000,
        project_faces=24,
        project_people=2,
        project_frames=4,
        evaluate_faces=32,
        evaluate_rounds=40,
        evaluate_moves=4,
        evaluate_epochs=2,
        audit_faces=300,
        audit_kimg=0.64,
    ),
    "cpu": Preset(
        "cpu",
        faces=4096,
        conv_dim=32,
        batch=16,
        kimg=80,
        snap_kimg=4,
        experiment_kimg=14,
        cycle_size=64,
        cycle_faces=400,
        cycle_width=16,
        cycle_blocks=3,
        copy_steps=2000,
        cycle_epochs=3,
        failure_epochs=1,
        style_size=32,
        style_faces=1000,
        style_cbase=512,
        style_cmax=64,
        style_kimg=44,
        style_snap_kimg=4,
        style_samples=128,
        transfer_kimg=2.4,
        compare_kimg=1.6,
        project_steps=250,
        project_tune_steps=120,
        project_samples=10000,
        project_faces=200,
        project_people=2,
        project_frames=36,
        evaluate_faces=400,
        evaluate_rounds=100,
        evaluate_moves=60,
        evaluate_epochs=4,
        audit_faces=2000,
        audit_kimg=16,
    ),
    "gpu": Preset(
        "gpu",
        faces=20000,
        conv_dim=64,
        batch=64,
        kimg=600,
        snap_kimg=20,
        experiment_kimg=60,
        cycle_size=128,
        cycle_faces=1000,
        cycle_width=48,
        cycle_blocks=6,
        copy_steps=6000,
        cycle_epochs=12,
        failure_epochs=2,
        style_size=64,
        style_faces=2000,
        style_cbase=4096,
        style_cmax=256,
        style_kimg=240,
        style_snap_kimg=12,
        style_samples=500,
        transfer_kimg=24,
        compare_kimg=20,
        project_steps=500,
        project_tune_steps=250,
        project_samples=10000,
        project_faces=400,
        project_people=6,
        project_frames=60,
        evaluate_faces=1000,
        evaluate_rounds=200,
        evaluate_moves=200,
        evaluate_epochs=8,
        audit_faces=4000,
        audit_kimg=60,
    ),
}


def preset() -> Preset:
    """The preset named by FACEGEN_PRESET; without it `gpu` where there is an accelerator, else `cpu`.

    Raises:
        InputError: the variable holds another word.
    """
    name = os.environ.get("FACEGEN_PRESET") or ("cpu" if device().type == "cpu" else "gpu")
    if name not in PRESETS:
        raise InputError(f"FACEGEN_PRESET={name!r} is not known: set it to one of {', '.join(PRESETS)}")
    return PRESETS[name]


def device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        InputError: a device that PyTorch does not have here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.zeros(1, device=chosen).item()  # "meta" is a device too, but holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"device {name!r} is not available here: use cpu, or leave it to auto") from None
    return chosen


def autocast_dtype(precision: str, on: torch.device) -> torch.dtype | None:
    """The type that autocast computes convolutions in, or None for plain float32.

    "auto" gives bfloat16 on CUDA devices and on CPUs with native bfloat16 arithmetic (AMX or AVX512-BF16), where it is
    faster; elsewhere, and on MPS, float32.
    """
    if precision == "float32":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    if on.type == "cuda":
        # Older cards, such as Colab's T4, only emulate it, slower than float32.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if on.type == "cpu":
        # These two probes have no public name yet; a PyTorch without them gets float32, which is always right.
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        if any(getattr(torch.cpu, probe, lambda: False)() for probe in probes):
            return torch.bfloat16
    return None
