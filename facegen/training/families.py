"""What each family of recipes trains with: its pictures, its method, its alarms."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from facegen.config import CycleConfig, Recipe, StyleConfig, flag_of
from facegen.data.packed import Faces, load_faces
from facegen.data.unpaired import Unpaired, load_unpaired
from facegen.files import InputError
from facegen.models.identity import LEAST_SIDE, face_distance, load_identity
from facegen.models.pretrained import load
from facegen.models.published import network_file
from facegen.training.cyclegan import cyclegan_from
from facegen.training.diagnose import Watch
from facegen.training.fit import Snapshot
from facegen.training.method import Method
from facegen.training.steps import dcgan_from
from facegen.training.stylegan import StyleGAN, stylegan_from, transfer
from facegen.training.symptoms import RunWatch

FOLLOWED = 16  # people whose translations are followed through a run
# What the networks' constructors call some settings.
OTHERWISE = {"channel_base": "cbase", "channel_max": "cmax", "img_resolution": "image_size", "freeze_layers": "freezed"}


def build(config: Recipe, on: torch.device | str, data: Faces | Unpaired | None = None) -> Method:
    """The method of a recipe, with the package's own networks; without data only to see whether its settings fit."""
    try:
        if isinstance(config, StyleConfig):
            classes = 0 if data is None or data.labels is None else int(data.labels.max()) + 1
            return stylegan_from(config, on, classes)
        if isinstance(config, CycleConfig):
            steps = 1 if data is None else data.steps_per_epoch(config.batch)
            return cyclegan_from(config, steps, on, _face_loss(config, on))
        return dcgan_from(config, on)
    except InputError as error:
        raise InputError(re.sub(r"(?<![-\w])(\w+)(?==)", lambda name: _as_flag(config, name[1]), str(error))) from None


def _as_flag(config: Recipe, name: str) -> str:
    """ "channel_base" -> "--cbase", if the recipe has such a setting."""
    name = OTHERWISE.get(name, name)
    return flag_of(name) if hasattr(config, name) else name


def load_data(config: Recipe, source: str, max_images: int | None = None) -> Faces | Unpaired:
    """The pictures that a recipe trains on, at its size."""
    if isinstance(config, CycleConfig):
        return load_unpaired(source, config.load_size, config.image_size, max_images=max_images, seed=config.seed)
    return load_faces(source, config.image_size, max_images=max_images, seed=config.seed)


def watch(config: Recipe, method: Method, data: Faces | Unpaired) -> Callable[[Snapshot], None]:
    """The hook of `fit` that raises alarms during training.

    Raises:
        InputError: a translation of too few people to follow.
    """
    if isinstance(config, CycleConfig):
        embed = load_identity(config.face_model) if config.lambda_face else None
        return Watch(method.fixed(data, FOLLOWED).cpu(), config.loss, embed)
    return RunWatch(data.images, config.loss)


def take_over(method: StyleGAN, network: str) -> list[str]:
    """Begin with the networks of a file or a run: ours or an official one, of this or another size; says what is new."""
    loaded = load(network_file(Path(network) / "network.safetensors" if Path(network).is_dir() else network))
    new, lines = {"G": transfer(loaded.G, method.G)}, []
    transfer(loaded.G, method.G_ema)
    if loaded.D is None:
        lines.append(f"{network} has no D: it starts from nothing")
    else:
        new["D"] = transfer(loaded.D, method.D)
    if {name for name, _ in method.G.synthesis.named_parameters()} <= {name.removeprefix("synthesis.") for name in new["G"]}:
        raise InputError(f"--resume {network}: no weight of it fits {method.config.architecture}: give a network of that kind")
    for part, names in new.items():
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        lines.append(f"{part}: {f'new are {shown}' if names else 'all weights taken over'}")
    return lines


def _face_loss(config: CycleConfig, on: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The distance between faces that the settings ask for."""
    if not config.lambda_face:
        return None
    if config.image_size < LEAST_SIDE:
        raise InputError(
            f"--lambda-face={config.lambda_face:g} with --image-size={config.image_size}: faces are compared from {LEAST_SIDE} "
            "pixels on, make the pictures larger or leave --lambda-face out"
        )
    return face_distance(load_identity(config.face_model).to(on))
