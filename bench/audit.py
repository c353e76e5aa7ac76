"""Does resampling the training data help? A rare attribute, trained on with and without, and counted in what comes out.

    python bench/audit.py --outdir build/audit --seeds 3

Drawn faces, of which a tenth wear sunglasses. Three training sets of equal size: as they are; resampled, so that half of the
pictures show sunglasses, the few of them many times; and drawn anew with half of them in sunglasses, which is what resampling
could reach at best. A narrow DCGAN of 32 pixels learns each for the same time, once per seed. What it makes is counted by a
classifier with known error, and corrected for that.

`variety` is the mean distance between two generated faces that wear sunglasses as the classifier sees it (root mean square
of the pixels, 0 to 255): a network that has learned the few by heart makes them alike. Each finished run is kept in
OUTDIR/runs.json, and not repeated when the command is begun again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from facegen.config import TrainConfig
from facegen.data import drawn
from facegen.data.packed import Faces, content_hash
from facegen.devices import device
from facegen.evaluation.audit import (
    AttributeClassifier,
    corrected_share,
    drawn_labels,
    effective_size,
    resample,
    resampled,
    resampling_weights,
    shares,
)
from facegen.files import replacing
from facegen.latent.sample import sample
from facegen.show import grid, save_image, table
from facegen.training.fit import fit
from facegen.training.steps import dcgan_from

SIZE = 32
RARE = {"glasses": [0.9, 0.0, 0.0, 0.1]}
EVEN = {"glasses": [0.5, 0.0, 0.0, 0.5]}
TARGET = {"none": 0.5, "sunglasses": 0.5}
ARMS = ("as it is", "resampled", "drawn anew")
HALF_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t at 95 %, by number of runs


def faces_of(count: int, weights: dict[str, list[float]], seed: int) -> Faces:
    found = drawn(count, SIZE, seed, weights=weights)
    return Faces(found.images, None, "drawn", content_hash(found.images), found.attributes, found.landmarks, found.identity)


def training_sets(count: int) -> dict[str, Faces]:
    there = faces_of(count, RARE, seed=0)
    labels = drawn_labels(there.attributes, ["glasses"])["glasses"]
    weights = resampling_weights(labels, TARGET)
    print(f"as it is: {shares(labels)['sunglasses']}; resampled worth {effective_size(weights):.0f} of {count} pictures")
    sets = {"as it is": there, "resampled": resampled(there, resample(weights)), "drawn anew": faces_of(count, EVEN, seed=1)}
    return sets


def pixels(pictures: Tensor) -> Tensor:
    return pictures.float().flatten(1) / 255


def judge_of(count: int) -> AttributeClassifier:
    """On pixels: sunglasses are large and dark. Its faces are other ones than those of the training sets."""
    known = faces_of(count, EVEN, seed=2)
    judge = AttributeClassifier(penalty=1e-3).fit(pixels(known.images), drawn_labels(known.attributes, ["glasses"])["glasses"])
    print(f"the classifier is wrong in {judge.error()}")
    return judge


def variety(pictures: Tensor) -> float | None:
    if len(pictures) < 20:
        return None
    rows = pixels(pictures[:200]) * 255
    return float(torch.pdist(rows).mean() / math.sqrt(rows.shape[1]))


def one_run(faces: Faces, judge: AttributeClassifier, arm: str, seed: int, args: argparse.Namespace) -> dict[str, object]:
    config = TrainConfig(image_size=SIZE, z_size=64, conv_dim=args.width, kimg=args.kimg, ema_kimg=2, seed=seed)
    start, on = time.perf_counter(), device(args.device)
    gan = dcgan_from(config, on)
    folder = args.outdir / f"{arm.replace(' ', '-')}-{seed}"
    fit(gan, faces, folder, snap_kimg=args.kimg, samples=16, progress=False)
    made = sample(gan.G_ema, range(args.samples))
    save_image(grid(made[:64], cols=8), folder.with_suffix(".png"), synthetic="made by a network")
    said = judge.predict(pixels(made))
    share = corrected_share(said, judge)["sunglasses"]
    return {
        "arm": arm,
        "seed": seed,
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "raw": share.raw,
        "variety": variety(made[torch.from_numpy(said == "sunglasses")]),
        "seconds": round(time.perf_counter() - start),
    }


def summary(runs: list[dict]) -> str:
    rows = []
    for arm in ARMS:
        own = [run["share"] for run in runs if run["arm"] == arm]
        if not own:
            continue
        mean, n = sum(own) / len(own), len(own)
        if n in HALF_T:
            half = HALF_T[n] * math.sqrt(sum((share - mean) ** 2 for share in own) / (n - 1) / n)
            interval = f"{max(0, mean - half):.1%} to {min(1, mean + half):.1%}"
        else:
            interval = None
        apart = [run["variety"] for run in runs if run["arm"] == arm and run["variety"] is not None]
        rows.append((arm, n, f"{mean:.1%}", interval, sum(apart) / len(apart) if apart else None))
    each = []
    for run in runs:
        share = (f"{run['share']:.1%}", f"{run['low']:.1%} to {run['high']:.1%}", f"{run['raw']:.1%}")
        each.append((run["arm"], run["seed"], *share, run["variety"], run["seconds"]))
    headers = ("training set", "seed", "sunglasses", "interval", "said", "variety", "seconds")
    return (
        f"{table(each, headers)}\n\n{table(rows, ('training set', 'runs', 'sunglasses', 'interval over the runs', 'variety'))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outdir", type=Path, default=Path("build/audit"))
    parser.add_argument("--count", type=int, default=2000, help="pictures in each training set")
    parser.add_argument("--labelled", type=int, default=2400, help="pictures that the classifier learns from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kimg", type=float, default=60)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--most", type=int, help="stop after so many new runs")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.outdir.mkdir(parents=True, exist_ok=True)
    kept = args.outdir / "runs.json"
    runs = json.loads(kept.read_text()) if kept.exists() else []
    sets, judge, new = training_sets(args.count), judge_of(args.labelled), 0
    for seed in range(args.seeds):
        for arm in ARMS:
            if any(run["arm"] == arm and run["seed"] == seed for run in runs) or (args.most is not None and new >= args.most):
                continue
            runs.append(one_run(sets[arm], judge, arm, seed, args))
            new += 1
            with replacing(kept) as temporary:
                temporary.write_text(json.dumps(runs, indent=2))
    print(summary(runs))


if __name__ == "__main__":
    main()
