"""Measuring pictures: `evaluate`, `spectra`, `audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import Data, Folder, Kind, Label, Network, OnDevice, Picture, Psi, command, flags, new_folder, verb
from facegen.config import TRUNC, Several
from facegen.devices import device
from facegen.files import InputError, cache_folder

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


@verb("measure", "evaluate NET --data drawn:1000 --outdir evaluated")
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
        from facegen.evaluation.measure import RESIZINGS, Settings, metric_names, read_results
        from facegen.show.evaluation import evaluate_into

        metrics, on = metric_names(self.metrics, network=self.network is not None), device(self.device)
        by = {"features": self.features, "resizings": RESIZINGS if self.resize == "both" else (self.resize,)}
        by |= {"pairs": self.pairs, "perceptual": self.perceptual}
        ppl = {"ppl_space": self.ppl_space, "ppl_ends": self.ppl_sampling == "end"}
        cache = None if self.cache == "none" else Path(self.cache or cache_folder("features"))
        settings = Settings(metrics, self.seed, **by, **ppl, cache=cache, device=on)
        theirs = read_results(self.against) if self.against else None
        with new_folder(self.outdir) as folder:
            fakes, size, about = self.fakes(self.size)
            print(evaluate_into(folder, fakes, load_faces(self.data, size), settings, about, theirs))


@verb("measure", "spectra --data drawn:1000 NET --out spectra.png")
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


@verb("measure", "audit NET --data drawn:1000 --labels measured --attributes colour,background --outdir audited")
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
        from facegen.evaluation.measure import names_in
        from facegen.show.audit import save_resampled, write_audit

        if bool(self.resample) != bool(self.out):
            raise InputError("--resample TARGET.json and --out belong together: give both or neither")
        if not self.outdir and not self.resample:
            raise InputError("give --outdir for the audit's report, or --resample and --out for a resampled data set")
        pictures = (self.data, self.labels, names_in(self.attributes))
        if self.resample:
            print(save_resampled(*pictures, self.resample, self.out, size=self.image_size, count=self.count, seed=self.seed))
        if not self.outdir:
            return
        with new_folder(self.outdir) as folder:
            fakes, size, about = None, self.image_size or USUAL_SIZE, {}
            if self.network or self.images:
                fakes, size, about = self.fakes(self.image_size)
            found, notes, protocol = audited(*pictures, size, fakes, about, self.seed, device(self.device))
            of = Path(self.network or self.images or self.data).name
            print(write_audit(found, folder, f"Audit of {of}", notes, protocol, command(self)))
