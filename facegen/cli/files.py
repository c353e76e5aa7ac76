"""Network files and runs: `info`, `convert`, `models`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
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
        from facegen.models.pretrained import claims, describe, load
        from facegen.models.published import licence_of, network_file
        from facegen.training.runs import run_facts

        if Path(self.network).is_dir():
            return show_facts(run_facts(Path(self.network)))
        path = network_file(self.network)
        loaded = load(path)
        show_facts(describe(path, loaded, licence_of(self.network)))
        print("the file says:")
        show_facts((f"  {name}", value) for name, value in claims(path, loaded))


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A line each, or several that are indented: whatever a file says, it cannot look like a line of ours."""
    for name, value in facts:
        text = one_line(value, 600) or "(empty)"
        print(textwrap.fill(text, 120, initial_indent=f"{name:14} ", subsequent_indent=" " * 15))


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
