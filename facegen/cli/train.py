"""Training: `train`, over all recipes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import Data, Folder, Kind, OnDevice, add_settings, flags, parser_of, verb
from facegen.config import RECIPES, CycleConfig, StyleConfig, TrainConfig
from facegen.files import InputError

if TYPE_CHECKING:
    from facegen.data.packed import Faces
    from facegen.data.unpaired import Unpaired


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
        from facegen.training import processes
        from facegen.training.fit import parse_keep

        parse_keep(self.keep)  # before the pictures are decoded
        self.device = processes.join(self.device)
        # Of several processes one speaks.
        with contextlib.redirect_stdout(io.StringIO()) if processes.rank() else contextlib.nullcontext():
            try:
                self.train()
            finally:
                processes.leave()

    def train(self) -> None:
        from facegen.config import device
        from facegen.training import families
        from facegen.training.fit import fit

        on, config, start = device(self.device), self.config, getattr(self, "resume", None)
        method = families.build(config, on)  # settings that fit no network are refused before the pictures are decoded
        if self.dry_run:
            facts = dataclasses.asdict(config) | {"device": f"{on}, {method.dtype or 'torch.float32'}", "steps": self.length()}
            print("\n".join(f"{name:15} {value}" for name, value in facts.items()))
            for line in families.take_over(method, start) if start else ():
                print(line)
            return
        data = families.load_data(config, self.data, self.max_images)
        data = self.looked_at(data)
        method = families.build(config, on, data)
        for line in families.take_over(method, start) if start else ():
            print(line)
        said, kimg, kept, done = self.plan(data)
        print(f"{said} of {config.batch} on {on}")
        try:
            watch = families.watch(config, method, data)
        except InputError as error:
            watch = None
            print(f"no alarms during training: {error}")
        followed = families.FOLLOWED if isinstance(config, CycleConfig) else 64
        options = {"keep": self.keep, "resume": not self.new, "on_snapshot": watch, "tensorboard": self.tensorboard}
        fit(method, data, self.outdir, snap_kimg=kimg, samples=followed, keep_networks=kept, **options)
        print(f"done: {done}")

    # What a family does otherwise:

    def length(self) -> object:
        """What --dry-run calls the run's length."""
        return self.config.steps

    def looked_at(self, data: Faces | Unpaired) -> Faces | Unpaired:
        """The pictures, after what is to be said of them."""
        return data

    def plan(self, data: Faces | Unpaired) -> tuple[str, float, int, str]:
        """What to say first, kimg between snapshots, snapshots whose networks are kept (every so many), what to say last."""
        said = f"{len(data)} pictures from {data.name}; {self.config.steps} steps"
        done = f"{self.outdir / 'network.safetensors'}, pictures in {self.outdir / 'samples'}"
        return said, self.snap * getattr(self, "tick", 1.0), self.keep_networks, done


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
        from facegen.data.packed import common_size, drawn_count
        from facegen.training import processes
        from facegen.training.runs import FROM_A_NETWORK, check_start

        if self.resume:
            check_start(self.outdir, self.resume)
        if self.gpus != 1 and "WORLD_SIZE" not in os.environ and not self.dry_run:
            return processes.start(self.gpus, self.argv)
        found = {}
        if "image_size" not in self.given and drawn_count(self.data, 1) is None:
            found["image_size"] = common_size(self.data)
        if self.resume:
            found |= FROM_A_NETWORK
        self.config = dataclasses.replace(self.config, **(found | self.given))
        return super().run()


@flags
class Translation(Train):
    """Train a CycleGAN on two sets of faces; the same command again continues an interrupted run."""

    example = "facegen train --cfg=cyclegan --data drawn:200 --outdir runs/face2fake --width=16 --epochs=2 --epochs-decay=2"

    # a folder with trainA and trainB, see `facegen prepare-unpaired`, or N drawn faces in each domain
    data: Annotated[str, Kind("DIR|drawn:N")] = "drawn:1000"
    keep_epochs: int = 0  # keep the networks of every Nth epoch for `translate` and `gallery`; 0 chooses about 20 epochs
    reframe: bool = False  # frame the faces of both domains alike before training
    no_framing_check: bool = False  # do not compare how faces are framed

    def run(self) -> int | None:
        if self.keep_epochs < 0:
            raise InputError(f"--keep-epochs {self.keep_epochs}: give 1 for every epoch, 10 for every tenth, or 0")
        self.epochs = self.config.epochs + self.config.epochs_decay
        return super().run()

    def length(self) -> str:
        return f"{self.epochs} epochs"

    def looked_at(self, data: Unpaired) -> Unpaired:
        from facegen.data.framing import framing_lines
        from facegen.data.unpaired import reframed

        if self.reframe:
            data = reframed(data)
            print("framing: the faces of both domains are framed alike now")
        elif not self.no_framing_check:
            print("\n".join(framing_lines(data)))
        return data

    def plan(self, data: Unpaired) -> tuple[str, float, int, str]:
        batch, steps = self.config.batch, data.steps_per_epoch(self.config.batch)
        said = f"{len(data.A)} pictures of A, {len(data.B)} of B; {self.epochs} epochs of {steps} steps"
        done = f"look with `facegen gallery {self.outdir}`, use with `facegen translate --network {self.outdir} ...`"
        return said, steps * batch / 1000, self.keep_epochs or max(1, self.epochs // 20), done
