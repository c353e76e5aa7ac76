"""Training: `train`, over all recipes; and `diagnose`."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from facegen.cli.flags import Data, Folder, Kind, OnDevice, Run, add_settings, file, flags, parser_of, verb
from facegen.config import RECIPES, CycleConfig, StyleConfig, TrainConfig, Whole
from facegen.devices import device


@verb("train", "train --cfg=dcgan --data drawn:2048 --outdir runs/first --image-size=32 --conv-dim=16 --kimg=20")
class Train(OnDevice):
    """Train a generator on faces; the same command again continues an interrupted run.

    `facegen train --cfg=NAME --help` shows the flags and settings of another recipe.
    """

    outdir: Folder  # the run's folder
    cfg: Literal[tuple(RECIPES)] = "dcgan"  # the recipe
    data: Data = "drawn:8192"  # pictures, or N faces drawn by the package itself
    max_images: int | None = None  # use only the first N pictures
    keep: str = "last:2"  # which checkpoints stay: all, last:K or every:N
    tensorboard: bool = False  # also write TensorBoard event files
    new: bool = False  # refuse to continue a run that is already in --outdir
    dry_run: bool = False  # print the settings and stop

    @staticmethod
    def parse(argv: Sequence[str]) -> Train:
        """The verb's object, of the family that --cfg names, with the settings that were given."""
        cfg = (re.findall(r"(?:^|\0)--cfg[=\0]([^\0]*)", "\0".join(argv)) or ["dcgan"])[-1]
        recipe = RECIPES.get(cfg, RECIPES["dcgan"])
        family = {TrainConfig: FromNoise, StyleConfig: Styles, CycleConfig: Translation}[type(recipe)]
        parser = parser_of(family, abbreviations=False)  # --cfg chooses the family by its whole name only
        add_settings(parser, recipe, cfg)
        words = vars(parser.parse_args(argv))
        given = {field.name: words.pop(field.name) for field in dataclasses.fields(recipe) if field.name in words}
        train = family(**words)
        train.given, train.config = given, dataclasses.replace(recipe, **given)
        train.argv = ["train", *argv]  # for the processes that --gpus starts
        return train

    def run(self) -> int | None:
        from facegen.training import families, processes
        from facegen.training.fit import parse_keep

        parse_keep(self.keep)  # before the pictures are decoded
        with processes.together(self.device) as name:
            on, start = device(name), getattr(self, "resume", None)
            if self.dry_run:
                print(families.dry_run(self.config, on, start))
                return
            options = {"keep": self.keep, "resume": not self.new, "tensorboard": self.tensorboard, "start": start}
            families.train(self.config, self.data, self.outdir, on, max_images=self.max_images, **self.snapshots(), **options)

    def snapshots(self) -> dict[str, object]:
        """What a family says otherwise: when there is a snapshot, and whether its networks are kept."""
        return {"snap_kimg": self.snap * getattr(self, "tick", 1.0), "keep_networks": self.keep_networks}


@flags
class FromNoise(Train):
    """Train a generator on faces; the same command again continues an interrupted run."""

    snap: Annotated[float, Kind("KIMG", float)] = 10.0  # thousands of pictures between snapshots
    keep_networks: int = 0  # keep the networks of every Nth snapshot, for `portrait`; 0 keeps none


@flags
class Styles(FromNoise):
    """Train a StyleGAN on faces; the same command again continues an interrupted run."""

    example = "facegen train --cfg=stylegan2 --data drawn:2048 --outdir runs/style --image-size=32 --cbase=1024 --kimg=20"

    snap: Annotated[float, Kind("TICKS", float)] = 50.0  # ticks between snapshots
    tick: Annotated[float, Kind("KIMG", float)] = 4.0  # thousands of pictures in a tick
    gpus: int = 1  # processes to start, one for each GPU
    metrics: Literal["none"] = "none"  # during training
    # begin with the networks of this file or run; other sizes of picture too
    resume: Annotated[str | None, Kind("FILE|RUN|URL|NAME")] = None

    def run(self) -> int | None:
        from facegen.training import families, processes
        from facegen.training.runs import check_start

        if self.resume:
            check_start(self.outdir, self.resume)
        if self.gpus != 1 and "WORLD_SIZE" not in os.environ and not self.dry_run:
            return processes.start(self.gpus, self.argv)
        self.config = dataclasses.replace(self.config, **families.implied(self.given, self.data, self.resume))
        return super().run()


@flags
class Translation(Train):
    """Train a CycleGAN on two sets of faces; the same command again continues an interrupted run."""

    example = "facegen train --cfg=cyclegan --data drawn:200 --outdir runs/face2fake --width=16 --epochs=2 --epochs-decay=2"

    # a folder with trainA and trainB, see `facegen prepare-unpaired`, or N drawn faces in each domain
    data: Annotated[str, Kind("DIR|drawn:N")] = "drawn:1000"
    keep_epochs: Whole = 0  # keep the networks of every Nth epoch for `translate` and `gallery`; 0 chooses about 20 epochs
    reframe: bool = False  # frame the faces of both domains alike before training
    no_framing_check: bool = False  # do not compare how faces are framed

    def snapshots(self) -> dict[str, object]:
        framing = "alike" if self.reframe else "unchecked" if self.no_framing_check else "checked"
        return {"keep_networks": self.keep_epochs, "framing": framing}


@verb("measure", "diagnose runs/first")
class Diagnose:
    """Say what is wrong with a training run, finished or not, and what to try."""

    directory: Run  # the run's folder
    # the pictures it was trained on; drawn ones are drawn again. Without them copies, colours and spots are left out
    data: Data | None = None
    json: Annotated[Path | None, Kind("FILE", file())] = None  # also write the findings here

    def run(self) -> None:
        from facegen.evaluation.diagnosis import diagnosis, write_diagnosis

        about, found, left_out = diagnosis(self.directory, self.data)
        print(about)
        print("\n".join(f"- {alarm}" for alarm in found) or "Nothing found that is known here.")
        for line in left_out:
            print(f"Not looked for: {line}")
        if self.json:
            write_diagnosis(self.json, found, left_out)
