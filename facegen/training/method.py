"""What `fit` trains: networks and optimisers with all that one training step needs. `FromNoise` is what GANs share beyond that.

A family of networks is a subclass: `facegen.training.steps.GAN`, `cyclegan.CycleGAN` or `stylegan.StyleGAN`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facegen.config import CycleConfig, StyleConfig, TrainConfig
from facegen.data.packed import Faces, batch_indices, mirror_flags
from facegen.data.unpaired import Unpaired
from facegen.devices import autocast_dtype
from facegen.files import InputError
from facegen.models import pretrained
from facegen.training import processes

Stats = dict[str, Tensor]
Data = Faces | Unpaired
FIXED_Z = -2  # the key of the z's that are followed through a run


class Stateful(Protocol):
    """Something besides networks and optimisers that a resumed run needs, such as a pool of past fakes."""

    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: dict[str, Tensor]) -> object: ...


class Method:
    """The base of all families. Each adds `steps`, `check`, `fixed`, `batch`, `update`, `sample` and `export`.

    Attributes:
        networks: every network with state, by name: what a checkpoint holds.
        optimizers: every optimiser, by name.
        stores: what else has a state.
    """

    def __init__(self, config: TrainConfig | CycleConfig | StyleConfig, device: torch.device | str) -> None:
        self.config, self.device = config, torch.device(device)
        self.dtype = autocast_dtype(config.precision, self.device)
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.stores: dict[str, Stateful] = {}

    def adam(self, weights: Iterable[Tensor], rate: float, beta1: float, beta2: float) -> Optimizer:
        """Adam in its fastest form on this device."""
        return torch.optim.Adam(weights, rate, (beta1, beta2), fused=self.device.type in ("cpu", "cuda"))

    def autocast(self, enabled: bool = True) -> torch.autocast:
        """The context in which networks run in the precision of the settings, or in float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=enabled and self.dtype is not None)

    def steps_per_epoch(self, data: Data) -> float:
        """Steps after which D has seen as many pictures as there are."""
        return len(data) / self.config.images_per_step

    def divide(self, stored: int | None = None) -> tuple[int | None, str]:
        """Decide how many pictures go through the networks at once, as a run that is continued did (`stored`) or by memory.

        Returns:
            The number and a line to say about it; None and "" where batches go through the networks in one piece.
        """
        return None, ""

    def refresh(self) -> None:
        """Prepare the networks for making pictures."""

    def label(self, step: int) -> str:
        """What a kept network of this step is called."""
        return f"step-{step:08d}"


class FromNoise(Method):
    """A generator of pictures from z with its running average, and a discriminator, which are on the device already."""

    def __init__(
        self, G: nn.Module, D: nn.Module, config: TrainConfig | StyleConfig, device: torch.device | str, z_size: int
    ) -> None:
        super().__init__(config, device)
        self.G, self.D, self.z_size = G, D, z_size
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.networks = {"G": self.G, "D": self.D, "G_ema": self.G_ema}

    @property
    def steps(self) -> int:
        """G steps in the run."""
        return self.config.steps

    def check(self, data: Faces) -> None:
        """Refuse pictures that the networks cannot take.

        Raises:
            InputError: another size.
        """
        size, (height, width) = self.config.image_size, data.images.shape[2:]
        if (height, width) != (size, size):
            raise InputError(f"{data.name}: pictures are {width}x{height}, the networks take {size}x{size}")

    def generator(self, *key: int) -> torch.Generator:
        """A random generator on the CPU whose draws are a pure function of the run's seed and `key`."""
        return torch.Generator().manual_seed(seed_of(self.config.seed, *key))

    def noise(self, n: int, *key: int) -> Tensor:
        """z [n, z_size] from N(0, 1), a pure function of the seed and `key`; drawn on the CPU, so equal on every device."""
        return torch.randn(n, self.z_size, generator=self.generator(*key)).to(self.device)

    def fixed(self, data: Faces, n: int) -> Tensor:
        """The z's whose pictures are followed through the run, [n, z_size]."""
        return self.noise(n, FIXED_Z)

    def reals(self, data: Faces, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number` of the run, or a process's share of it: which pictures [N], and the pictures [N, 3, S, S]."""
        config = self.config
        indices = processes.share(batch_indices(len(data), config.batch, number, config.seed))
        flips = processes.share(mirror_flags(config.batch, number, config.seed)) if config.mirror else None
        return indices, data.batch(indices, flips)

    def export(self, path: Path, info: dict[str, object]) -> None:
        """Write the averaged generator and D as one network file, if they are classes that a file can rebuild."""
        pretrained.save(path, self.G_ema, self.D, info)


def seed_of(*key: int) -> int:
    """A seed that is a pure function of the key: of the run's seed, the step, and what is drawn there."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
