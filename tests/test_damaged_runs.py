"""A run's folder that is damaged in one place: every reader works, or names the file in one line and exits with 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from facegen.__main__ import main

RUN = "train --cfg=dcgan --data=drawn:16 --image-size=32 --z-size=8 --conv-dim=4 --batch=8 --precision=float32 --device=cpu"
KEPT = "--kimg=0.032 --snap=0.016 --keep-networks=1 --keep=all"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main([*RUN.split(), *KEPT.split(), f"--outdir={folder}"]) == 0
    return folder


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    """The file `name` holds something else."""
    return lambda run: (run / name).write_bytes(content.encode() if isinstance(content, str) else content)


def cut(name: str, share: float = 0.5) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: int(len(content) * share)])

    return damage


def folder(name: str) -> Callable[[Path], None]:
    """A folder in place of a file."""

    def damage(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return damage


def file(name: str) -> Callable[[Path], None]:
    """A file in place of a folder."""

    def damage(run: Path) -> None:
        shutil.rmtree(run / name)
        (run / name).write_text("a file")

    return damage


def config(**change: object) -> Callable[[Path], None]:
    """Other values in config.json, at the top or, as part__name, in a part of it; None removes them."""

    def damage(run: Path) -> None:
        about = json.loads((run / "config.json").read_text())
        for name, value in change.items():
            *parts, last = name.split("__")
            place = about[parts[0]] if parts else about
            if value is None:
                del place[last]
            else:
                place[last] = value
        (run / "config.json").write_text(json.dumps(about))

    return damage


def line(number: int, change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Another line in stats.jsonl."""

    def damage(run: Path) -> None:
        lines = (run / "stats.jsonl").read_text().splitlines()
        lines[number] = json.dumps(change(json.loads(lines[number])))
        (run / "stats.jsonl").write_text("\n".join(lines) + "\n")

    return damage


def state(change: Callable[[dict], object], step: int = 4) -> Callable[[Path], None]:
    """Another checkpoint; `change` alters the state, or gives what is written in its place."""

    def damage(run: Path) -> None:
        path = run / "checkpoints" / f"step-{step:08d}.pt"
        held = torch.load(path, weights_only=True)
        torch.save(change(held) or held, path)

    return damage


LAST, GRID, NETWORK, STATS = "checkpoints/step-00000004.pt", "samples/step-00000002.png", "network.safetensors", "stats.jsonl"
HARMLESS = {
    "nothing": lambda run: None,
    "network a folder": folder(NETWORK),
    "networks a file": file("networks"),
    "a grid of another name": text("samples/step-x.png", "x"),
    "a checkpoint of another name": text("checkpoints/step-best.pt", "x"),
    "a file more": text("notes.txt", b"\xff\0"),
    "stats torn at the end": cut(STATS, 0.9),
    "checkpoint cut": cut(LAST),
    "checkpoint empty": text(LAST, ""),
    "checkpoint of something else": state(lambda held: [1, 2]),
    "checkpoint of another step": state(lambda held: held.update(step=3)),
    "checkpoint without entries": state(lambda held: held.pop("networks") and None),
    "checkpoint with words for numbers": state(lambda held: held.update(seconds="x")),
}
DAMAGES = {
    "no samples": lambda run: shutil.rmtree(run / "samples"),
    "networks of another name": text("networks/mine.safetensors", "x"),
    "config cut": cut("config.json"),
    "config empty": text("config.json", ""),
    "config binary": text("config.json", bytes(range(256))),
    "config a list": text("config.json", "[1, 2]"),
    "config deep": text("config.json", "[" * 100_000),
    "config huge": text("config.json", " " * (1 << 21) + "{}"),
    "config a folder": folder("config.json"),
    "config gone": lambda run: (run / "config.json").unlink(),
    "no settings": config(config=None),
    "settings a list": config(config=[1]),
    "settings of another kind": config(config__kimg="x", config__batch=[8]),
    "kimg not a number": config(config__kimg=float("nan")),
    "an architecture nobody knows": config(config__architecture="stylegan9"),
    "an architecture that is none": config(config__architecture=["x"]),
    "no data": config(data=None),
    "data a word": config(data="drawn"),
    "data without a count": config(data__count="many"),
    "no samples' number": config(samples=None),
    "size of 0": config(image_size=0),
    "size beyond all": config(image_size=2**40),
    "samples beyond all": config(samples=10**30),
    "steps of True": config(snap_steps=True),
    "parts a word": config(micro_batch="x"),
    "stats garbage": text(STATS, "garbage\n" * 3),
    "stats binary": text(STATS, bytes(range(256)) * 4),
    "stats a folder": folder(STATS),
    "a line a number": lambda run: (run / STATS).write_text("1\n" + (run / STATS).read_text()),
    "a line without a step": lambda run: (run / STATS).write_text('{"loss_D": 1}\n' + (run / STATS).read_text()),
    "a line not finite": lambda run: (run / STATS).write_text('{"step": NaN, "kimg": 1}\n' + (run / STATS).read_text()),
    "a line of words": lambda run: (run / STATS).write_text('{"step": "x"}\n' + (run / STATS).read_text()),
    "a line before the first picture": lambda run: (run / STATS).write_text('{"step": 0, "kimg": 0, "seconds": 0}\n\n'),
    "a line with half of its numbers": lambda run: (run / STATS).write_text(
        '{"step": 1, "kimg": 1, "seconds": 1, "sec_per_kimg": 1}\n\n'
    ),
    "grid cut": cut(GRID),
    "grid empty": text(GRID, ""),
    "grid of another size": lambda run: Image.new("RGB", (50, 50)).save(run / GRID),
    "grid grey": lambda run: Image.new("L", (256, 256)).save(run / GRID),
    "grid a folder": folder(GRID),
    "samples a file": file("samples"),
    "checkpoints a file": file("checkpoints"),
    "checkpoint a folder": folder(LAST),
    "checkpoint with other shapes": state(lambda held: _reshape(held["networks"]["G"])),
    "checkpoint with other moments": state(lambda held: _reshape(held["optimizers"]["G"]["state"][0])),
    "checkpoint without a network": state(lambda held: held["networks"].pop("D") is None or None),
    "checkpoint without an optimiser": state(lambda held: held["optimizers"].pop("D") is None or None),
    "checkpoint without random states": state(lambda held: held["processes"][0].pop("random") is None or None),
    "network cut": cut(NETWORK),
    "network empty": text(NETWORK, ""),
    "network something else": text(NETWORK, b"PK\3\4" + bytes(100)),
}


def _reshape(tensors: dict) -> None:
    name = next(name for name, value in tensors.items() if value.dim() == 4)
    tensors[name] = torch.zeros(1, 2, 3, 4)


def read(run: Path, tmp: Path, capsys) -> list[tuple[str, int, str]]:
    """(verb, exit code, what it says on stderr) of all that read a run's folder."""
    verbs = {
        "train": [*RUN.split(), *KEPT.split(), f"--outdir={run}"],
        "info": ["info", str(run)],
        "diagnose": ["diagnose", str(run)],
        "portrait": ["portrait", str(run), f"--out={tmp / 'sheet.png'}"],
    }
    found = []
    for verb in ("info", "diagnose", "portrait", "train"):  # which mends what it can, so it comes last
        capsys.readouterr()
        code = main(verbs[verb])
        found.append((verb, code, capsys.readouterr().err))
    return found


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_is_passed_over(name, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    HARMLESS[name](run)
    for verb, code, said in read(run, tmp_path, capsys):
        assert code == 0 or (verb, code) == ("diagnose", 1), (verb, said)


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_named_in_one_line(name, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    DAMAGES[name](run)
    refused = 0
    for verb, code, said in read(run, tmp_path, capsys):
        errors = [words for words in said.splitlines() if words.startswith("facegen")]
        assert code == (2 if errors else 0) or (verb, code) == ("diagnose", 1), (verb, code, said)
        assert len(errors) <= 1 and all(str(run) in words for words in errors), (verb, said)
        refused += bool(errors)
    assert refused
