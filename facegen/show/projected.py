"""What `facegen project` does: it looks for faces in a network, and leaves pictures, latents, tuned networks, films, scores."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from facegen.data.fetch import digest
from facegen.data.pictures import say
from facegen.devices import autocast_dtype
from facegen.files import one_line, write_text
from facegen.latent.project import SPACES, Projection, Search, check_projectable, face_mask, save_latents
from facegen.latent.scores import far_from_model, ladder, table
from facegen.latent.targets import seed_of, targets
from facegen.models.identity import load_identity
from facegen.models.perceptual import load_perceptual
from facegen.models.pretrained import load, save
from facegen.models.published import network_file
from facegen.show.grids import SYNTHETIC, save_image
from facegen.show.video import check_film, save_frames

FILM_FRAMES = 125  # of the search; five seconds
FILM_REST = 25  # of its end
FILM_WIDTH = 512


def project_into(
    folder: Path,
    network: str,
    target: str,
    space: str,
    search: Search,
    *,
    aligned: bool = False,
    mask: bool = False,
    film: bool = False,
    perceptual: str = "auto",
    identity: str = "drawn",
    label: int | None = None,
    precision: str = "auto",
    device: torch.device,
) -> None:
    """Look for each target in a network's latent space; write what came of it into a folder, and print its scores.

    That is target.png and scores.json, and for each result result.png, projected_w.npz, network.safetensors if the network
    was changed, and search.mp4 if a film is wanted. Pictures of a folder have a folder each.

    Args:
        target, aligned: as for `targets`.
        space: "w", "w+", "pti", or "ladder" for all three in folders of their own.
        search: how to search, but for the space.
        mask: weigh the pictures by `face_mask`.
        perceptual, identity: as for `load_perceptual` and `load_identity`, or no identity if it is "none".
        precision: as for `autocast_dtype`; "auto" uses half precision on a GPU only.
    """
    if film:
        check_film("search.mp4")
    control, path = seed_of(target, aligned), network_file(network)
    search = replace(search, space="w" if space == "ladder" else space)
    loaded, sha256 = load(path), digest(path)
    check_projectable(loaded.G, network, label)
    G = loaded.G.to(device)
    half = autocast_dtype(precision, device) if precision != "auto" or device.type == "cuda" else None
    see = load_perceptual(perceptual, device, dtype=half)
    embed = None if identity == "none" else load_identity(identity).to(device)
    weights = face_mask(G.img_resolution).to(device) if mask else None
    protocol = {
        "network": path.name,
        "network_sha256": sha256,
        "perceptual": str(see),
        "identity": None if embed is None else embed.name,
        **asdict(search),
        "space": space,
        "mask": mask,
        "aligned": aligned,
        "class": label,
        "precision": str(half or torch.float32).removeprefix("torch."),
        "device": device.type,
        "torch": torch.__version__,
    }
    licence = loaded.info.get("licence")
    made_from = {"projected_from": path.name, "projected_from_sha256": sha256}
    made_from |= {"licence": licence} if isinstance(licence, str) else {}
    spaces = SPACES if space == "ladder" else (space,)
    steps = search.steps + (search.tune_steps if "pti" in spaces else 0)
    how = {"search": search, "mask": weights, "labels": label, "dtype": half, "embed": embed}
    for name, picture, note in targets(G, target, aligned, label):
        start, place = time.perf_counter(), folder / name if control is None and Path(target).is_dir() else folder
        place.mkdir(exist_ok=True)
        reach = far_from_model(G, picture, see, labels=label)
        if reach.warning:
            say(f"facegen: {one_line(name)}: {reach.warning}")
        found, rows = ladder(G, picture, spaces, perceptual=see, keep_every=max(1, steps // FILM_FRAMES), **how)
        for kind, result in found.items():
            changed = made_from if kind == "pti" or search.learn_noise else None
            _write_result(place / kind if space == "ladder" else place, result, changed, film)
        seconds = time.perf_counter() - start
        facts = {
            "target": {"name": name, "note": note},
            "scores": [{k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows],
            "reach": {**asdict(reach), "far": reach.is_far, "warning": reach.warning},
            "seconds": round(seconds, 1),
            "protocol": protocol,
        }
        save_image(picture, place / "target.png", synthetic="" if control is None else SYNTHETIC)
        write_text(place / "scores.json", json.dumps(facts, indent=2) + "\n")
        print(f"{one_line(name)} ({note}): {seconds:.0f} s\n{table(rows)}")


def _write_result(folder: Path, result: Projection, network: dict[str, object] | None, film: bool) -> None:
    """`network` is what the changed network's file says of itself; None writes no network."""
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
