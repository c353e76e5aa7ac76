"""Measuring and comparing: `evaluate`, `diagnose`, `spectra`, `audit`, `compare`, `search`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import (
    NET,
    Data,
    Folder,
    Kind,
    Label,
    Network,
    OnDevice,
    Picture,
    Psi,
    Run,
    YesNo,
    command,
    file,
    flags,
    new_folder,
    one_of,
    verb,
)
from facegen.config import TRUNC, Several, TrainConfig, device
from facegen.files import InputError, cache_folder, names_in, one_line

if TYPE_CHECKING:
    from facegen.evaluation.measure import Fakes

Pictures = Annotated[str, Kind("DIR|ZIP")]
Features = Literal["lite0", "inception"]


@flags
class OfFakes(OnDevice):
    """What is measured: a network's pictures, or those of a folder."""

    network: Network | None = None  # a network file, its address, or a name of `facegen models`
    images: Pictures | None = None  # or pictures that were generated before
    samples: int = 1000  # fakes; papers take 50000
    seed: int = 0  # the first fake's, and of all that is drawn at random
    trunc: Psi = TRUNC  # truncation of a StyleGAN
    label: Label | None = None  # which class, for a network that has classes

    def fakes(self, size: int | None) -> tuple[Fakes, int, dict[str, str]]:
        """The fakes, the side of their pictures, and a hash that tells them from others."""
        from facegen.evaluation.measure import fakes_of

        options = {"size": size, "trunc": self.trunc, "label": self.label, "device": device(self.device)}
        return fakes_of(self.network, self.images, self.samples, self.seed, **options)


@verb("measure", f"evaluate {NET} --data drawn:1000 --outdir evaluated")
class Evaluate(OfFakes):
    """Measure generated pictures against real ones, with intervals and protocols."""

    data: Data  # real pictures; for nn, those that the network was trained on
    outdir: Folder  # a new folder for the numbers and pictures
    # some of fid, kid, pr (precision, recall), dc (density, coverage), is, nn (copies of training pictures), diversity,
    # spectra, ppl and eq (of a network), or all
    metrics: Annotated[str, Kind("LIST")] = "fid,kid,pr,dc,nn,diversity,spectra"
    # lite0: without a download, with scores of its own name; inception: that of published scores (96 MB, fetched once)
    features: Features = "lite0"
    resize: Literal["clean", "legacy", "both"] = "both"  # how pictures are brought to the features' size
    # a results.json to compare with; refused if it was measured another way
    against: Annotated[Path | None, Kind("FILE", Path)] = None
    pairs: int = 200  # pictures of eq, and pairs of ppl and diversity
    # what ppl and diversity compare by: vgg16 (553 MB, fetched once), lite0, or auto, vgg16 where it is already here
    perceptual: Literal["auto", "vgg16", "lite0"] = "auto"
    ppl_space: Literal["w", "z"] = "w"  # where ppl's way lies
    ppl_sampling: Literal["end", "full"] = "end"  # at the way's start, or anywhere on it
    size: int | None = None  # side of the pictures (default: the network's, or that of --images)
    # where features of the real pictures are kept (default: in the cache); none keeps nothing
    cache: Annotated[str | None, Kind("DIR|none")] = None

    def run(self) -> None:
        from facegen.data import load_faces
        from facegen.evaluation.measure import Settings, metric_names, read_results
        from facegen.show.evaluation import evaluate_into

        settings = Settings(
            metrics=metric_names(self.metrics, network=self.network is not None),
            seed=self.seed,
            features=self.features,
            resizings=("clean", "legacy") if self.resize == "both" else (self.resize,),
            pairs=self.pairs,
            perceptual=self.perceptual,
            ppl_space=self.ppl_space,
            ppl_ends=self.ppl_sampling == "end",
            cache=None if self.cache == "none" else Path(self.cache) if self.cache else cache_folder("features"),
            device=device(self.device),
        )
        theirs = read_results(self.against) if self.against else None
        with new_folder(self.outdir) as folder:
            fakes, size, about = self.fakes(self.size)
            print(evaluate_into(folder, fakes, load_faces(self.data, size), settings, about, theirs))


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


@verb("measure", f"spectra --data drawn:1000 {NET} --out spectra.png")
class Spectra(OnDevice):
    """Compare the frequencies of generated pictures with those of real ones."""

    data: Data  # real pictures
    network: list[Network] | None = None  # a network to make pictures with; may be given several times
    # or pictures that were generated before, at best of that size: scaling changes spectra; may be given several times
    images: list[Pictures] | None = None
    count: Several = 1000  # at most so many pictures of each
    out: Picture = "spectra.png"  # .png, .jpg or .webp
    size: int | None = None  # side of the pictures (default: the first network's, or that of the pictures in --images)
    trunc: Psi = TRUNC  # truncation (StyleGAN)
    label: Label | None = None  # which class, for a network that has classes

    def run(self) -> None:
        from facegen.show.spectra import save_spectra

        nets, how = {name: self.generator(name) for name in self.network or []}, {"trunc": self.trunc, "labels": self.label}
        print(save_spectra(self.out, self.data, nets, self.images or [], self.count, self.size, **how))


@verb("measure", f"audit {NET} --data drawn:1000 --labels measured --attributes colour,background --outdir audited")
class Audit(OfFakes):
    """Count who is in the data and who comes out, or resample the data to a target."""

    data: Data  # the real pictures: what the network learned from
    # a CSV (first column the file, the others attributes); drawn, of drawn faces; or measured, on the pixels: colour,
    # background, face
    labels: Annotated[str, Kind("FILE.csv|drawn|measured")]
    attributes: Annotated[str, Kind("A,B")]  # which, with commas; NAME@LIMIT@... cuts a column of numbers, such as age@30@60
    samples: int = 2000  # how many generated pictures
    image_size: int | None = None  # pixels (default: the network's, or those of --images; else 64)
    outdir: Folder | None = None  # a new folder for the table, JSON, figure and page
    # write the data with other shares, such as {"glasses": {"none": 0.5, "round": 0.5}}
    resample: Annotated[Path | None, Kind("TARGET.json", Path)] = None
    out: Annotated[Path | None, Kind("DIR|FILE.zip", Path)] = None  # the resampled pictures; their labels come beside it
    count: int | None = None  # how many pictures (default: as many as there are)

    def run(self) -> None:
        from facegen.evaluation.audit import USUAL_SIZE, audited
        from facegen.show.audit import save_resampled, write_audit

        if bool(self.resample) != bool(self.out):
            raise InputError("--resample TARGET.json and --out belong together: give both or neither")
        if not self.outdir and not self.resample:
            raise InputError("give --outdir for the audit's report, or --resample and --out for a resampled data set")
        names = names_in(self.attributes)
        if not names:
            raise InputError("--attributes: give at least one")
        pictures = (self.data, self.labels, names)
        if self.resample:
            print(save_resampled(*pictures, self.resample, self.out, size=self.image_size, count=self.count, seed=self.seed))
        if not self.outdir:
            return
        with new_folder(self.outdir) as folder:
            fakes, size, about = None, self.image_size or USUAL_SIZE, {}
            if self.network or self.images:
                fakes, size, about = self.fakes(self.image_size)
            found, notes, protocol = audited(*pictures, size, fakes, about, self.seed, device(self.device))
            title = f"Audit of {Path(self.network or self.images or self.data).name}"
            print(write_audit(found, folder, title, notes, protocol, command(self)))


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
