"""`facegen project`: find a face, or the faces of a folder, in a generator's latent space, with scores."""

from __future__ import annotations

from typing import Annotated, Literal

from facegen.cli.flags import Folder, Kind, Label, Network, OnDevice, new_folder, verb, yes_no
from facegen.devices import device


@verb("edit faces", "project NET --target seed:7 --outdir projected")
class Project(OnDevice):
    """Find a photograph, or a generated face, in the latent space of a StyleGAN."""

    network: Network  # a network file, its address, or a name of `facegen models`
    # a square picture framed like the model's, a folder of such, or seed:N for a control: a face of the model itself
    target: Annotated[str, Kind("FILE|DIR|seed:N")]
    # w: the face that the model makes nearest; w+: a w for each layer, nearer and harder to edit; pti: w, then tune the
    # network around it; ladder: all three, compared
    space: Literal["w", "w+", "pti", "ladder"] = "w+"
    outdir: Folder  # a new folder
    steps: Annotated[int, Kind("N", int, ("--steps", "--num-steps"))] = 500  # of the search
    tune_steps: int = 250  # of the tuning (pti)
    seed: int = 0  # of the search
    # also write a film of the search, next to the target
    save_video: Annotated[bool, Kind("0|1", yes_no, without=True)] = False
    align: bool = False  # find the face first and frame it as FFHQ does
    mask: bool = False  # compare the face, and hair and background only a little
    # also search for StyleGAN2's noise inputs: sharper, but then only the written network makes the picture
    learn_noise: bool = False
    # what pictures are compared by: vgg16 (553 MB, fetched once), lite0, or auto, vgg16 where it is already here
    perceptual: Literal["auto", "vgg16", "lite0"] = "auto"
    # what tells people apart in the scores: drawn, the file of a model that you have, or none
    identity: Annotated[str, Kind("NAME|FILE")] = "drawn"
    label: Label | None = None  # which class, for a network that has classes
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # while searching; auto: bfloat16 on a GPU that has it

    def run(self) -> None:
        from facegen.latent.project import Search
        from facegen.latent.targets import seed_of
        from facegen.show.projected import Projector

        search = Search(steps=self.steps, tune_steps=self.tune_steps, learn_noise=self.learn_noise, seed=self.seed)
        seed_of(self.target, self.align)  # what is no target is refused before a network is fetched
        by = {"perceptual": self.perceptual, "identity": self.identity, "precision": self.precision, "mask": self.mask}
        with new_folder(self.outdir) as folder:
            job = Projector(self.network, self.space, search, **by, label=self.label, device=device(self.device))
            job.write_all(folder, self.target, aligned=self.align, film=self.save_video)
