"""What a difference in framing and the identity loss do to a translation: four CycleGAN runs and a table of numbers.

    facegen prepare-unpaired --a data/congress --b data/omi --test 40 --dest data/face2fake
    python bench/face2fake_table.py --data data/face2fake --out runs/table --face-model face-api.safetensors

or measure the kept epochs of a run of `facegen train --cfg=cyclegan`:

    python bench/face2fake_table.py --data data/face2fake --run runs/face2fake --epochs-of-run 10,100,160 \
        --face-model face-api.safetensors

All four runs have the same pictures, networks, seed and length. For "framed differently" the faces of A are cut `--zoom`
times tighter than they are; "corrected" is what `facegen.data.unpaired.reframed` then makes of that. Each run continues where
it was if it is begun again. The test pictures of A are then translated and measured:

    own        how much an output resembles its own input rather than other people's (1: the same person, 0: anybody),
               by the cosine of a face embedding; every face is found and framed alike before it is embedded
    alike      mean cosine between different people's outputs, less the same between their inputs, as a share of what is
               missing to 1: 0 is as varied as the inputs, 1 is one face for all
    diversity  how much the outputs differ from each other, with the inputs' differences as 1 (pixels at 8 x 8)
    change     mean absolute change, as a share of the range from black to white
    zoom       size of the faces in the outputs, as a multiple of the inputs'; 1/--zoom would be the size of B's
    shift      by how much of the picture's height the face's middle moved down, or, below 0, up
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.config import CycleConfig
from facegen.data.faces import find_faces
from facegen.data.framing import FFHQ_CROP, Framing, framing, measure_framing, reframe
from facegen.data.packed import Faces, content_hash, load_faces
from facegen.data.unpaired import Unpaired, load_unpaired, reframed
from facegen.devices import device
from facegen.files import replacing
from facegen.latent.translate import kept_epochs, load_translator
from facegen.models.identity import FaceEmbedding, load_identity
from facegen.show import save_image
from facegen.show.grids import grid
from facegen.show.text import table
from facegen.training.cyclegan import cyclegan_from, paint
from facegen.training.diagnose import change_made, diversity_kept
from facegen.training.fit import fit

FINER = 2  # pictures are cut at this many times their size, so that a tighter cut is not a blurred one
SHOWN = 8  # people in the sheet of pictures


def smaller(faces: Faces | None) -> Faces | None:
    """Pictures at 1/FINER of their size, by the mean of areas."""
    if faces is None:
        return None
    images = torch.cat([F.avg_pool2d(part.float(), FINER).round().to(torch.uint8) for part in faces.images.split(64)])
    return dataclasses.replace(faces, images=images, content_hash=content_hash(images))


def domains(args: argparse.Namespace, alike: bool) -> Unpaired:
    """A framed `--zoom` times tighter than it is, and B as it is, or with `alike` as A is now."""
    data = load_unpaired(args.data, FINER * args.load_size, FINER * args.image_size, max_images=args.max_images)
    if data.test_A is None:
        raise SystemExit(f"{args.data} has no testA, which is what is measured: give a folder with one")
    place = measure_framing(data.A)
    tighter = Framing.exactly(place.scale.median * args.zoom, place.x.median, place.y.median, place.roll.median)
    # `reframed` moves two domains to a target, and here only A has to move.
    moved = reframed(dataclasses.replace(data, B=data.A, test_B=None), target=tighter)
    data = dataclasses.replace(data, A=moved.A, test_A=moved.test_A)
    if alike:
        data = reframed(data)
    return Unpaired(smaller(data.A), smaller(data.B), args.image_size, smaller(data.test_A), smaller(data.test_B), data.name)


def outputs(data: Unpaired, args: argparse.Namespace, lambda_identity: float, outdir: Path) -> Tensor:
    """Train one run, or read a finished one: what G_A makes of the test pictures, uint8 [N, 3, S, S]."""
    config = CycleConfig(
        image_size=args.image_size,
        load_size=args.load_size,
        width=args.width,
        width_D=args.width,
        lambda_identity=lambda_identity,
        epochs=args.epochs,
        epochs_decay=args.epochs_decay,
        seed=args.seed,
    )
    steps = data.steps_per_epoch(config.batch)
    method = cyclegan_from(config, steps, device(args.device))
    fit(method, data, outdir, snap_kimg=steps * config.batch / 1000, samples=SHOWN)
    checkpoint = torch.load(sorted((outdir / "checkpoints").glob("step-*.pt"))[-1], map_location="cpu", weights_only=True)
    method.nets.G_A.load_state_dict(checkpoint["networks"]["G_A"])
    return paint(method.nets.G_A, data.test_A.to(method.device).batch(range(len(data.test_A))))


def measured(inputs: Tensor, made: Tensor, embed: FaceEmbedding) -> dict[str, float]:
    """The numbers of one run; inputs and made: uint8 [N, 3, S, S]."""
    places = [find_faces(images) for images in (inputs, made)]
    there = places[0].found & places[1].found
    numbers = {
        "faces found": int(there.sum()),
        "diversity": diversity_kept(inputs, made),
        "change": change_made(inputs, made).mean().item(),
    }
    if there.sum() < 2:  # nothing that looks like a face was made
        return numbers | dict.fromkeys(("own", "alike", "zoom", "shift"), math.nan)
    inputs, made = inputs[there], made[there]
    marks = [place.landmarks[there] for place in places]
    vectors = []
    for images, landmarks in zip((inputs, made), marks):
        framed, _ = reframe(images, landmarks, FFHQ_CROP)
        vectors.append(embed(framed.float() / 127.5 - 1))
    before, after = vectors
    crossed, inside = before @ after.T, [v @ v.T for v in vectors]
    own = crossed.diagonal().mean()
    others, alike_in, alike_out = (off_diagonal(m) for m in (crossed, *inside))
    size = inputs.shape[-1]
    place_in, place_out = (framing(landmarks, size) for landmarks in marks)
    return numbers | {
        "own": ((own - others) / (1 - others)).item(),
        "alike": ((alike_out - alike_in) / (1 - alike_in)).item(),
        "zoom": (place_out.scale.values / place_in.scale.values).median().item(),
        "shift": (place_out.y.values - place_in.y.values).median().item(),
    }


def off_diagonal(matrix: Tensor) -> Tensor:
    """The mean of all entries [N, N] beside the diagonal."""
    n = len(matrix)
    return (matrix.sum() - matrix.diagonal().sum()) / (n * (n - 1))


def epochs_of(args: argparse.Namespace, embed: FaceEmbedding) -> None:
    """Measure kept epochs of a run on the test pictures of A: a table on the screen, a sheet of outputs beside the run."""
    kept = kept_epochs(args.run)
    wanted = [int(epoch) for epoch in args.wanted.split(",")] if args.wanted else list(kept)
    size = json.loads((args.run / "config.json").read_text(encoding="utf-8"))["image_size"]
    faces = load_faces(Path(args.data) / "testA", size)
    rows, sheet = [], []
    for epoch in wanted:
        G, _ = load_translator(args.run, "AtoB", epoch)
        G.to(device(args.device))
        made = paint(G, faces.to(device(args.device)).batch(range(len(faces))))
        numbers = measured(faces.images, made, embed)
        rows.append([epoch, *(f"{value:.3g}" for value in numbers.values())])
        sheet.append(made[:SHOWN])
    print(table(rows, ["epoch", *numbers]))
    save_image(grid(torch.cat(sheet), cols=SHOWN), args.run / "outputs.png")


def main() -> None:
    """Four runs, a table on the screen and in table.json, and a sheet of what came out; or an existing run's epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder from `facegen prepare-unpaired`")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the folder for the four runs and the table")
    what.add_argument("--run", type=Path, help="measure this run instead")
    parser.add_argument("--epochs-of-run", dest="wanted", metavar="LIST", help="which of its epochs, such as 10,100,160")
    parser.add_argument("--face-model", default="drawn", help="what compares faces: drawn, or a model that you have")
    parser.add_argument("--zoom", type=float, default=1.3, help="how many times tighter A is framed than it was")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--load-size", type=int, default=72)
    parser.add_argument("--width", type=int, default=32, help="of all networks")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--epochs-decay", type=int, default=5)
    parser.add_argument("--max-images", type=int, help="use only so many pictures of each domain")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    embed = load_identity(args.face_model)
    if args.run:
        epochs_of(args, embed)
        return
    rows, sheet, found = [], [], {}
    for alike in (False, True):
        data = domains(args, alike)
        inputs = data.test_A.images
        sheet.append(inputs[:SHOWN])
        for weight in (0.0, 0.5):
            name = f"{'corrected' if alike else 'framed differently'}, {'with' if weight else 'no'} identity loss"
            made = outputs(data, args, weight, args.out / name.replace(", ", "-").replace(" ", "-"))
            sheet.append(made[:SHOWN])
            found[name] = measured(inputs, made, embed)
            rows.append([name, *(f"{value:.3g}" for value in found[name].values())])
            print(table(rows, ["run", *found[name]]), flush=True)
    for numbers in found.values():  # JSON has no NaN
        numbers |= {name: None for name, value in numbers.items() if math.isnan(value)}
    about = {name: value if isinstance(value, (int, float, str)) else str(value) for name, value in vars(args).items()}
    with replacing(args.out / "table.json") as temporary:
        temporary.write_text(json.dumps({"settings": about, "embedding": embed.name, "runs": found}, indent=2) + "\n")
    save_image(grid(torch.cat(sheet), cols=SHOWN, scale=2), args.out / "sheet.png")
    save_image(grid(torch.cat([sheet[i] for i in (1, 2, 4, 5)]), cols=SHOWN, scale=2), args.out / "outputs.png")


if __name__ == "__main__":
    main()
