"""What `facegen project` leaves in a folder: pictures, latents, tuned networks, films of the search, and scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from facegen.files import write_text
from facegen.latent.project import Projection, save_latents
from facegen.latent.scores import Reach, Scores
from facegen.models.pretrained import save
from facegen.show.grids import SYNTHETIC, save_image
from facegen.show.video import save_frames

FILM_FRAMES = 125  # of the search; five seconds
FILM_REST = 25  # of its end
FILM_WIDTH = 512


def write_projection(folder: Path, result: Projection, *, network: dict[str, object] | None, film: bool) -> None:
    """Write a result: result.png, projected_w.npz, network.safetensors where it is tuned, search.mp4 where asked for.

    Args:
        network: what the tuned network's file says of itself; None writes no network.
    """
    folder.mkdir(exist_ok=True)
    save_latents(folder / "projected_w.npz", result.ws)
    save_image(result.image, folder / "result.png", synthetic=SYNTHETIC)
    if network is not None:
        save(folder / "network.safetensors", result.G, None, network)
    if film:
        # uint8 [K, 3, H, 2 W]: the target, and the search with its end for a second
        frames = torch.cat([result.frames, result.image[None].expand(FILM_REST, -1, -1, -1)])
        frames = torch.cat([result.target.expand_as(frames), frames], dim=3)
        save_frames([frames], folder / "search.mp4", width=FILM_WIDTH)


def write_target(
    folder: Path,
    target: Tensor,
    about: dict[str, object],
    rows: Sequence[Scores],
    reach: Reach,
    protocol: dict[str, object],
    *,
    seconds: float,
    synthetic: bool,
) -> None:
    """Write what was looked for and what came of it: target.png and scores.json.

    Args:
        target: uint8 [3, H, W].
        about: its name, and what was done to it.
        synthetic: whether the target is itself a generated face.
    """
    save_image(target, folder / "target.png", synthetic=SYNTHETIC if synthetic else "")
    facts = {
        "target": about,
        "scores": [{k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows],
        "reach": {**asdict(reach), "far": reach.is_far, "warning": reach.warning},
        "seconds": round(seconds, 1),
        "protocol": protocol,
    }
    write_text(folder / "scores.json", json.dumps(facts, indent=2) + "\n")
