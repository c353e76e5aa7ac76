"""`facegen diagnose`: what is wrong with a training run, from its folder, with evidence and what to try."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError, replacing
from facegen.verbs.common import add_verb, check_file

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.training.diagnose import Alarm
    from facegen.training.fit import History


def add_diagnose(verbs) -> None:
    """Declare the verb."""
    parser = add_verb(
        verbs,
        "diagnose",
        _diagnose,
        "say what is wrong with a training run, finished or not, and what to try",
        "facegen diagnose runs/congress --data data/congress",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    text = "the pictures it was trained on; drawn ones are drawn again. Without them copies, colours and spots are left out"
    parser.add_argument("--data", metavar="DIR|ZIP|drawn:N", help=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings here")


def _diagnose(args: argparse.Namespace) -> int:
    from facegen.training.fit import History

    if args.json:
        check_file("--json", args.json)
    history = History.load(args.run)
    if not len(history.samples):
        raise InputError(f"{args.run} has no snapshot yet: wait for the first, or take a smaller --snap next time")
    if history.originals is not None:
        found, left_out = _translation(args, history), []
    else:
        found, left_out = _from_noise(args, history)
    print(f"{args.run}: {history.kimg[-1]:.4g} kimg, {len(history.samples)} snapshots, {len(history.stats)} logged steps")
    for alarm in found:
        print(f"- {alarm}")
    if not found:
        print("Nothing found that is known here.")
    for line in left_out:
        print(f"Not looked for: {line}")
    if args.json:
        _write(args.json, found, left_out)
    return 0


def _write(path: Path, found: Sequence[Alarm], left_out: Sequence[str]) -> None:
    with replacing(path) as temporary:
        about = {"findings": [asdict(alarm) for alarm in found], "not looked for": left_out}
        temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _translation(args: argparse.Namespace, history: History) -> Sequence[Alarm]:
    from facegen.training.diagnose import both_logits, diagnose
    from facegen.training.fit import read_config

    if args.data:
        raise InputError("--data: a translation is judged by its own inputs, which lie in the run's folder: leave it out")
    loss = read_config(args.run)["config"].get("loss", "lsgan")
    real, fake = (both_logits(history.stats, sort) for sort in ("real", "fake"))
    return diagnose(history.originals, history.samples[-1], logits_real=real, logits_fake=fake, loss=loss)


def _from_noise(args: argparse.Namespace, history: History) -> tuple[Sequence[Alarm], list[str]]:
    from facegen.training.fit import read_config
    from facegen.training.symptoms import SETTLED, diagnose_run, training_pictures

    left_out = []
    try:
        reals = training_pictures(args.run, args.data)
    except InputError as error:
        if args.data:
            raise
        reals = None
        left_out.append(f"memorisation, droplet artefacts, colour shift ({error})")
    strip, why = _strip(args.run)
    if strip is None:
        left_out.append(f"texture sticking ({why})")
    if len(history.samples) < SETTLED:
        left_out.append(f"all that pictures show: there are {len(history.samples)} snapshots, and {SETTLED} are needed")
    loss = read_config(args.run)["config"].get("loss", "bce")
    return diagnose_run(history.stats, history.samples, reals=reals, loss=loss, strip=strip), left_out


def _strip(run: Path) -> tuple[Tensor | None, str]:
    """Pictures around some w's of the run's StyleGAN, or why there are none."""
    from facegen.latent.sample import has_styles
    from facegen.models.pretrained import load
    from facegen.training.symptoms import interpolations

    path = run / "network.safetensors"
    if not path.is_file():
        return None, "it needs the network of a StyleGAN, and there is no network.safetensors"
    G = load(path).G.eval()
    if not has_styles(G):
        return None, "it is a sickness of StyleGANs"
    return interpolations(G), ""
