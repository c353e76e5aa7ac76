"""Pictures: `data list`, `data fetch`, `dataset`, `align`, `prepare-unpaired`, `fakes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from facegen.cli.flags import Folder, Kind, Label, Network, OnDevice, Psi, verb

AnyData = Annotated[str, Kind("DIR|ZIP|drawn:N|uncanny:N")]


@verb("get pictures", "data list", name="data list")
class DataList:
    """Show the known sets of faces with contents, size, licence and terms."""

    def run(self) -> None:
        from facegen.data.sources import table

        print(table())


@verb("get pictures", "data fetch congress", name="data fetch")
class DataFetch:
    """Download a known set, check every byte, unpack it."""

    name: Annotated[str, Kind("NAME", positional=True)]  # a name from `facegen data list`
    dest: Folder | None = None  # where to put it (default: data/NAME)
    archive: Annotated[Path | None, Kind("FILE", Path)] = None  # use this file that you downloaded yourself

    def run(self) -> None:
        from facegen.data.sources import fetch

        print(fetch(self.name, self.dest, archive=self.archive))


@verb("get pictures", "dataset --source assets --dest f.zip --resolution=64x64 --transform=center-crop", alias="dataset_tool")
class Dataset:
    """Pack pictures into a data set that StyleGAN's tools read, too."""

    source: Annotated[Path, Kind("DIR|ZIP", Path)]  # the pictures, nested folders are fine
    dest: Annotated[Path, Kind("FILE.zip|DIR", Path)]  # what to write
    resolution: Annotated[str | None, Kind("WxH")] = None  # size of the packed pictures, such as 64x64
    transform: Literal["center-crop", "center-crop-wide"] | None = None  # how to fit other shapes
    max_images: int | None = None  # take only the first N pictures

    def run(self) -> None:
        from facegen.data import pack

        print(pack(self.source, self.dest, resolution=self.resolution, transform=self.transform, max_images=self.max_images))


@verb("get pictures", "align assets/face2fake_epochs.png --out aligned.png --size 256")
class Align:
    """Find the face in each photograph and frame it as FFHQ does."""

    source: Annotated[Path, Kind("PHOTO|DIR|ZIP", Path, positional=True)]  # photographs of faces
    out: Annotated[Path, Kind("DIR|FILE", Path)]  # a new folder, or a file for one photo
    size: int = 256  # side of the results in pixels
    zoom: float = 1.0  # how many times tighter than FFHQ, 0.5 to 3
    # where report.json and warnings.html go, which show what may spoil a face (default: with the pictures)
    warnings: Folder | None = None

    def run(self) -> None:
        from facegen.data.photos import align, default_warnings

        warnings = self.warnings or default_warnings(self.source, self.out)
        print(align(self.source, self.out, self.size, zoom=self.zoom, warnings=warnings))


@verb("get pictures", "prepare-unpaired --a drawn:200 --b uncanny:200 --count 100 --dest data/face2fake")
class PrepareUnpaired:
    """Choose pictures of two sets at random, to train --cfg=cyclegan with."""

    a: AnyData  # domain A, such as real faces
    b: AnyData  # domain B, such as generated faces
    dest: Folder  # a new folder, for trainA, trainB, testA, testB
    count: int = 2000  # training pictures of each domain
    test: int | None = None  # test pictures of each domain (default: a tenth, at most 100)
    seed: int = 0  # of the choice
    size: int | None = None  # write squares of so many pixels, else the files as they are
    keep_copies: bool = False  # do not leave out near-duplicates of pictures
    # find the faces, and frame all of them alike: as FFHQ does, or ZOOM times tighter (0.5 to 3)
    reframe: Annotated[float | None, Kind("ZOOM", float, without=1.0)] = None

    def run(self) -> None:
        from facegen.data.prepare import prepare_unpaired

        how = {"size": self.size, "reframe": False if self.reframe is None else self.reframe, "copies": self.keep_copies}
        print(prepare_unpaired(self.a, self.b, self.dest, count=self.count, test=self.test, seed=self.seed, **how))


@verb("get pictures", "fakes --network assets/weights/dcgan-64.safetensors --count 100 --dest data/fakes")
class Fakes(OnDevice):
    """Fill a folder with faces of a generator of which no two look alike."""

    network: Network  # a network file, its address, or a name of `facegen models`
    dest: Folder  # a new folder
    count: int = 2000  # how many faces
    trunc: Psi | None = None  # below 1: more usual and less varied faces (default: 0.7 for StyleGANs, 1 for others)
    seed: int = 0  # the first seed to try
    label: Label | None = None  # which class, for a network that has classes

    def run(self) -> None:
        from facegen.latent.fakes import make_fakes

        G = self.generator()
        print(make_fakes(G, self.count, self.dest, trunc=self.trunc, seed=self.seed, network=self.network, label=self.label))
