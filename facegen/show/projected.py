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


class Projector:
    """A network to look for faces in, and how: what is the same for all targets.

    Args:
        space: "w", "w+", "pti", or "ladder" for all three.
        search: how to search, but for the space.
        mask: weigh the pictures by `face_mask`.
        perceptual, identity: as for `load_perceptual` and `load_identity`, or no identity if it is "none".
        precision: as for `autocast_dtype`; "auto" uses half precision on a GPU only.
    """

    def __init__(
        self,
        network: str,
        space: str,
        search: Search,
        *,
        mask: bool = False,
        perceptual: str = "auto",
        identity: str = "drawn",
        label: int | None = None,
        precision: str = "auto",
        device: torch.device,
    ) -> None:
        path = network_file(network)
        loaded, sha256 = load(path), digest(path)
        check_projectable(loaded.G, network, label)
        self.G, self.label, self.spaces = loaded.G.to(device), label, SPACES if space == "ladder" else (space,)
        self.search = replace(search, space=self.spaces[0])
        self.half = autocast_dtype(precision, device) if precision != "auto" or device.type == "cuda" else None
        self.see = load_perceptual(perceptual, device, dtype=self.half)
        self.embed = None if identity == "none" else load_identity(identity).to(device)
        self.weights = face_mask(self.G.img_resolution).to(device) if mask else None
        self.protocol = {
            "network": path.name,
            "network_sha256": sha256,
            "perceptual": str(self.see),
            "identity": None if self.embed is None else self.embed.name,
            **asdict(self.search),
            "space": space,
            "mask": mask,
            "class": label,
            "precision": str(self.half or torch.float32).removeprefix("torch."),
            "device": device.type,
            "torch": torch.__version__,
        }
        licence = loaded.info.get("licence")
        self.made_from = {"projected_from": path.name, "projected_from_sha256": sha256}
        self.made_from |= {"licence": licence} if isinstance(licence, str) else {}

    def write_all(self, folder: Path, target: str, *, aligned: bool = False, film: bool = False) -> None:
        """Look for each of `targets`, write what came of it, and print its scores; pictures of a folder get a folder each.

        That is target.png and scores.json, and for each space, on the ladder in a folder of its own, result.png,
        projected_w.npz, network.safetensors if the network was changed, and search.mp4 if a film is wanted.
        """
        if film:
            check_film("search.mp4")
        control, protocol = seed_of(target, aligned), {**self.protocol, "aligned": aligned}
        steps = self.search.steps + (self.search.tune_steps if "pti" in self.spaces else 0)
        how = {"search": self.search, "perceptual": self.see, "embed": self.embed, "mask": self.weights}
        how |= {"labels": self.label, "dtype": self.half, "keep_every": max(1, steps // FILM_FRAMES)}
        for name, picture, note in targets(self.G, target, aligned, self.label):
            start, place = time.perf_counter(), folder / name if control is None and Path(target).is_dir() else folder
            place.mkdir(exist_ok=True)
            reach = far_from_model(self.G, picture, self.see, labels=self.label)
            if reach.warning:
                say(f"facegen: {one_line(name)}: {reach.warning}")
            found, rows = ladder(self.G, picture, self.spaces, **how)
            for space, result in found.items():
                changed = self.made_from if space == "pti" or self.search.learn_noise else None
                _write_result(place / space if len(found) > 1 else place, result, changed, film)
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
