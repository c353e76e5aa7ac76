"""Network files and runs: `info`, `convert`, `models`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

from facegen.cli.flags import Kind, file, verb
from facegen.files import one_line


@verb("look into files", "info assets/weights/stylegan2-64.safetensors")
class Info:
    """Say what a network file holds, or how far a training run is."""

    # a network file, its address, a name of `facegen models`, or a run's folder
    network: Annotated[str, Kind("FILE|URL|NAME|RUN", positional=True)]

    def run(self) -> None:
        from facegen.models.pretrained import network_facts
        from facegen.models.published import licence_of, network_file
        from facegen.training.runs import run_facts

        run, name = Path(self.network), self.network
        for what, value in run_facts(run) if run.is_dir() else network_facts(network_file(name), licence_of(name)):
            # Whatever a file says, it cannot look like a line of ours: it is indented.
            text, indents = one_line(value, 600) or "(empty)", {"initial_indent": f"{what:14} ", "subsequent_indent": " " * 15}
            print(what if value is None else textwrap.fill(text, 120, **indents))


@verb("look into files", "convert assets/weights/dcgan-64.safetensors dcgan.safetensors")
class Convert:
    """Write another project's network (.pkl, .pt) as a file that is safe to open."""

    source: Annotated[str, Kind("FILE|URL|NAME", positional=True)]  # the network; nothing in it is run
    dest: Annotated[Path, Kind("FILE.safetensors", file(".safetensors"), positional=True)]  # what to write

    def run(self) -> None:
        from facegen.models.pretrained import convert
        from facegen.models.published import licence_of, network_file

        source = network_file(self.source)
        print(f"{self.dest}: {convert(source, self.dest, licence_of(self.source))} of {source.name}")


@verb("look into files", "models")
class Models:
    """List the networks that NVIDIA publishes, with addresses and terms."""

    def run(self) -> None:
        from facegen.models.published import table

        print(table())
