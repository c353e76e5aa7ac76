"""Runs that are trained to be measured: `compare`, `search`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from facegen.cli.flags import Data, Folder, Kind, OnDevice, YesNo, command, flags, one_of, verb
from facegen.config import TrainConfig
from facegen.devices import device
from facegen.files import one_line


@flags
class Trained(OnDevice):
    """What compare and search have: runs that are trained to be measured."""

    data: Data = "drawn:8192"  # pictures, or N faces drawn by the package itself
    max_images: int | None = None  # use only the first N pictures
    features: Annotated[str, Kind("NAME")] = "lite0"  # what pictures are compared by: lite0 or inception


@flags
class Shared:
    """What compare sets in every recipe."""

    heading = "settings of every recipe that has them (default: the recipe's own)"

    image_size: int = 64  # pixels
    mirror: YesNo = False  # 1: flip half of the real pictures
    batch: int | None = None  # pictures per step
    cbase: int | None = None  # width of the StyleGANs at 1 pixel
    cmax: int | None = None  # greatest width of the StyleGANs
    precision: Annotated[str | None, Kind("WORD")] = None  # auto, float32 or bfloat16
    # any other setting of one recipe, such as dcgan.conv_dim=32; may be given several times
    set: list[Annotated[str, Kind("CFG.NAME=VALUE")]] | None = None


@verb("measure", "compare --data drawn:1000 --cfgs dcgan,stylegan2 --kimg 2 --seeds 2 --image-size 32 --cbase 1024")
class Compare(Shared, Trained):
    """Train recipes on the same pictures, each with several seeds, and compare them."""

    kimg: float  # length of each run in thousands of pictures
    cfgs: Annotated[str, Kind("LIST")] = "dcgan,stylegan2,stylegan3-t,stylegan3-r"  # the recipes
    seeds: int = 3  # runs of each recipe
    outdir: Folder = "runs/compare"  # continued if it is there
    # thousands of pictures between two snapshots, all of which are measured (default: 20 in each run)
    snap: Annotated[float | None, Kind("KIMG", float)] = None
    samples: int = 2000  # fakes per measurement, at most half as many as there are pictures

    def run(self) -> None:
        from facegen.data import load_faces
        from facegen.evaluation.compare import check_settings, chosen_configs, compare
        from facegen.evaluation.features import load_features
        from facegen.show.comparison import reporter

        configs, on = chosen_configs(self.cfgs, vars(self), self.set or []), device(self.device)
        check_settings(configs, self.seeds, self.snap)  # before the pictures are decoded
        faces, features = load_faces(self.data, self.image_size, max_images=self.max_images), load_features(self.features, on)
        report = reporter(faces, configs, self.seeds, self.outdir, command(self), on)
        options = {"seeds": self.seeds, "snap_kimg": self.snap, "samples": self.samples, "device": on}
        compare(faces, configs, self.outdir, features, on_run=report, **options)


@verb("measure", "search --data drawn:1000 --kimg 2 --trials 8 --image-size 32 --set conv_dim=16 --among conv_dim=8,16,32")
class Search(Trained):
    """Search the DCGAN's settings with Optuna, then test the best with fresh seeds.

    It needs Optuna: pip install 'facegen[search]'. Half of the pictures are held out for the test.
    """

    outdir: Folder = "runs/search"  # continued if it is there; a greater --trials adds to it
    trials: int = 30  # how many, the default settings among them
    kimg: float | None = None  # length of every run in thousands of pictures
    epochs: float | None = None  # or in passes through the half that is trained on
    confirm: Annotated[int, Kind("SEEDS", int)] = 3  # fresh seeds of the test; 0 leaves it out
    seed: int = 0  # of the proposals and of every trial's run
    image_size: int = 64  # 32, 64 or 128 pixels
    # the settings to search, with commas (default: all that an untuned DCGAN leaves open; see --among)
    space: Annotated[str | None, Kind("LIST")] = None
    # other values of a setting, or another setting: conv_dim=8,16,32, lr_G=1e-5..1e-3; may be given several times
    among: list[Annotated[str, Kind("NAME=A,B|LOW..HIGH")]] | None = None
    # a default of your own, held fixed unless --among names it too: mirror=1; may be given several times
    set: list[Annotated[str, Kind("NAME=VALUE")]] | None = None
    samples: int = 500  # fakes for each score, a kernel inception distance (KID)
    # scores of a trial, evenly over its run: at each but the last it is cut short if it is worse than the median was
    scores: int = 4

    def run(self) -> None:
        from facegen.data import load_faces
        from facegen.evaluation.features import load_features
        from facegen.evaluation.search import check_space, chosen_axes, chosen_settings, search, verdict
        from facegen.show.search import reporter, write_report

        one_of(self, "kimg", "epochs")
        given, on, typed = chosen_settings(self.set or []), device(self.device), command(self)
        kimg = 1e9 if self.kimg is None else self.kimg  # how many an epoch has is known with the pictures
        base = TrainConfig(image_size=self.image_size, seed=self.seed, kimg=kimg, **given)
        axes = chosen_axes(self.space, self.among or [], given)
        check_space(base, axes, self.scores)  # before the pictures are decoded
        faces = load_faces(self.data, self.image_size, max_images=self.max_images)
        if self.epochs is not None:
            base = replace(base, kimg=self.epochs * (len(faces) // 2) / 1000)
        features, shown = load_features(self.features, on), f"{len(faces)} pictures from {one_line(faces.name)}"
        print(f"{shown}; {self.trials} trials of {base.kimg:g} kimg over {len(axes)} settings on {on}")
        options = {"trials": self.trials, "rungs": self.scores, "samples": self.samples, "confirm": self.confirm}
        report = reporter(self.outdir, typed)
        found = search(faces, base, self.outdir, features, axes=axes, device=on, on_trial=report, **options)
        print(f"{verdict(found)}\ndone: {write_report(found, self.outdir, typed)}, {self.outdir / 'best.json'}")
