"""What each family of recipes trains with: its pictures, its method, its alarms."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from facegen.config import CycleConfig, Recipe, StyleConfig, flag_of
from facegen.data.framing import framing_lines
from facegen.data.packed import Faces, common_size, drawn_count, load_faces
from facegen.data.unpaired import Unpaired, load_unpaired, reframed
from facegen.files import InputError
from facegen.models.identity import LEAST_SIDE, face_distance, load_identity
from facegen.models.pretrained import load
from facegen.models.published import network_file
from facegen.training.cyclegan import cyclegan_from
from facegen.training.diagnose import Watch
from facegen.training.fit import Snapshot, fit
from facegen.training.method import Method
from facegen.training.runs import FROM_A_NETWORK
from facegen.training.steps import dcgan_from
from facegen.training.stylegan import stylegan_from, transfer
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


def implied(given: Mapping[str, object], source: str, start: str | None) -> dict[str, object]:
    """The settings that a StyleGAN's pictures and a network that it begins with ask for, where they are not `given`."""
    found = FROM_A_NETWORK if start else {}
    if "image_size" not in given and drawn_count(source, 1) is None:
        found = found | {"image_size": common_size(source)}
    return {name: value for name, value in found.items() if name not in given}


def dry_run(config: Recipe, on: torch.device, start: str | None = None) -> str:
    """All that a run with these settings would be, a line each; and what would be new in the networks of `start`."""
    method = build(config, on)
    steps = f"{config.epochs + config.epochs_decay} epochs" if isinstance(config, CycleConfig) else config.steps
    facts = dataclasses.asdict(config) | {"device": f"{on}, {method.dtype or 'torch.float32'}", "steps": steps}
    return "\n".join([*(f"{name:15} {value}" for name, value in facts.items()), *take_over(method, start)])


def train(
    config: Recipe,
    source: str,
    outdir: Path,
    on: torch.device,
    *,
    max_images: int | None = None,
    start: str | None = None,
    framing: str = "checked",
    snap_kimg: float = 10.0,
    keep_networks: int = 0,
    keep: str = "last:2",
    resume: bool = True,
    tensorboard: bool = False,
) -> None:
    """Train a recipe on the pictures of `source`, and say what is done.

    Args:
        start: a file or a run with whose networks a StyleGAN begins.
        framing: of a translation's faces: "alike" frames those of both domains alike, "checked" compares them, "unchecked".
        snap_kimg, keep_networks: as for `fit`. A translation has a snapshot after each epoch, and keeps 20 if this is 0.
        keep, resume, tensorboard: as for `fit`.
    """
    build(config, on)  # settings that fit no network are refused before the pictures are decoded
    data, followed = load_data(config, source, max_images), 64
    if isinstance(config, CycleConfig):
        followed = FOLLOWED
        if framing == "alike":
            data = reframed(data)
            print("framing: the faces of both domains are framed alike now")
        elif framing == "checked":
            print("\n".join(framing_lines(data)))
        epochs, steps = config.epochs + config.epochs_decay, data.steps_per_epoch(config.batch)
        snap_kimg, keep_networks = steps * config.batch / 1000, keep_networks or max(1, epochs // 20)
        said = f"{len(data.A)} pictures of A, {len(data.B)} of B; {epochs} epochs of {steps} steps"
        done = f"look with `facegen gallery {outdir}`, use with `facegen translate --network {outdir} ...`"
    else:
        said = f"{len(data)} pictures from {data.name}; {config.steps} steps"
        done = f"{outdir / 'network.safetensors'}, pictures in {outdir / 'samples'}"
    method = build(config, on, data)
    print("\n".join([*take_over(method, start), f"{said} of {config.batch} on {on}"]))
    try:
        hook = watch(config, method, data)
    except InputError as error:
        hook = None
        print(f"no alarms during training: {error}")
    options = {"keep": keep, "keep_networks": keep_networks, "resume": resume, "tensorboard": tensorboard}
    fit(method, data, outdir, snap_kimg=snap_kimg, samples=followed, on_snapshot=hook, **options)
    print(f"done: {done}")


def take_over(method: Method, network: str | None) -> list[str]:
    """Begin with the networks of a file or a run: ours or an official one, of this or another size; says what is new.

    Without any nothing is done.
    """
    if network is None:
        return []
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
