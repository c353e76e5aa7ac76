"""What is wrong with a training run, from its folder: translations and pictures from noise, by what can be looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from facegen.files import InputError, one_line, write_text
from facegen.latent.sample import has_styles
from facegen.models.pretrained import load
from facegen.training.diagnose import Alarm, both_logits, diagnose
from facegen.training.runs import History, read_config
from facegen.training.symptoms import SETTLED, diagnose_run, interpolations, training_pictures


def diagnosis(run: Path, data: str | None = None) -> tuple[str, Sequence[Alarm], list[str]]:
    """What there is of a run, in a line; what is wrong with it; and what could not be looked for, and why.

    Args:
        run: its folder.
        data: the pictures that it was trained on, where they are not drawn.
    """
    history = History.load(run)
    if not len(history.samples):
        raise InputError(f"{run} has no snapshot yet: wait for the first, or take a smaller --snap next time")
    found, left_out = _translation(run, data, history) if history.originals is not None else _from_noise(run, data, history)
    shown = f"{len(history.samples)} snapshots, {len(history.stats)} logged steps"
    return f"{one_line(run)}: {history.kimg[-1]:.4g} kimg, {shown}", found, left_out


def write_diagnosis(path: Path, found: Sequence[Alarm], left_out: Sequence[str]) -> None:
    """Write the findings as JSON, completely or not at all."""
    about = {"findings": [asdict(alarm) for alarm in found], "not looked for": left_out}
    write_text(path, json.dumps(about, indent=2) + "\n")


def _translation(run: Path, data: str | None, history: History) -> tuple[Sequence[Alarm], list[str]]:
    if data:
        raise InputError("--data: a translation is judged by its own inputs, which lie in the run's folder: leave it out")
    loss = read_config(run)["config"].get("loss", "lsgan")
    real, fake = (both_logits(history.stats, sort) for sort in ("real", "fake"))
    return diagnose(history.originals, history.samples[-1], logits_real=real, logits_fake=fake, loss=loss), []


def _from_noise(run: Path, data: str | None, history: History) -> tuple[Sequence[Alarm], list[str]]:
    left_out, reals = [], None
    try:
        reals = training_pictures(run, data)
    except InputError as error:
        if data:
            raise
        left_out.append(f"memorisation, droplet artefacts, colour shift ({one_line(error, 400)})")
    strip, why = _strip(run)
    if strip is None:
        left_out.append(f"texture sticking ({why})")
    if len(history.samples) < SETTLED:
        left_out.append(f"all that pictures show: there are {len(history.samples)} snapshots, and {SETTLED} are needed")
    loss = read_config(run)["config"].get("loss", "bce")
    return diagnose_run(history.stats, history.samples, reals=reals, loss=loss, strip=strip), left_out


def _strip(run: Path) -> tuple[Tensor | None, str]:
    """Pictures around some w's of the run's StyleGAN, or why there are none."""
    path = run / "network.safetensors"
    if not path.is_file():
        return None, "it needs the network of a StyleGAN, and there is no network.safetensors"
    G = load(path).G.eval()
    return (interpolations(G), "") if has_styles(G) else (None, "it is a sickness of StyleGANs")
