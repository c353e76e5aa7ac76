"""What the shipped networks are worth: distances to the faces that they learned from, and a grid of each to look at.

    facegen data fetch congress --dest data/clean/congress; facegen data fetch faker --dest data/clean/faker
    python tools/weights.py --data data/clean --grids build/weights

Measured as `facegen compare` measures: fakes of the averaged network without truncation against either half of the real
pictures, mirrored at random, beside what one half of them gets against the other. No picture of these sets was kept from
the training, so a network that copied them would do best here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from facegen.data import load_faces
from facegen.evaluation.compare import NAMES, Judge
from facegen.evaluation.features import load_features
from facegen.latent.sample import sample
from facegen.models.pretrained import load
from facegen.show import grid, save_image
from facegen.show.text import table

WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "weights"
ROWS = 8  # of the grids, and their columns


def main() -> None:
    """Measure every network of a folder, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the faces that they learned from")
    parser.add_argument("--networks", nargs="+", type=Path, default=sorted(WEIGHTS.glob("*.safetensors")), metavar="FILE")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--grids", type=Path, metavar="DIR", help="write 8 x 8 samples of each, seeds 0 to 63, none left out")
    args = parser.parse_args()
    networks = {path.stem: load(path).G for path in args.networks}
    sizes = {G.img_resolution for G in networks.values()}
    if len(sizes) != 1:
        parser.error(f"networks of {sorted(sizes)} pixels: give those of one size, there must be some in --networks")
    judge = Judge(load_faces(args.data, sizes.pop()), load_features("lite0"), args.samples, mirror=True)
    rows = [["real against real", *judge.baseline().values()]]
    for name, G in networks.items():
        rows.append([name, *judge.measure(sample(G, range(judge.n))).values()])
        if args.grids:
            faces = sample(G, range(ROWS * ROWS))
            save_image(grid(faces, cols=ROWS), args.grids / f"{name}.png")
    names = [judge.features.score(NAMES.get(quantity, quantity)) for quantity in judge.baseline()]
    print(table([[row[0], *(f"{value:.4f}" for value in row[1:])] for row in rows], ["network", *names]))
    print(judge.protocol)


if __name__ == "__main__":
    main()
