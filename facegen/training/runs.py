"""The folder of a run: what is read of it, and whether a run is continued or another would begin.

What stands in it is written by `facegen.training.fit`. Every function here names in one line what is damaged.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.config import RECIPES
from facegen.files import InputError, one_line

# Numbers of a line of stats.jsonl that are not the same when a run is repeated: seconds trained so far, seconds per thousand
# pictures since the line before (without the time that snapshots take), and the most memory in GB so far.
VARYING = ("seconds", "sec_per_kimg", "memory_gb")
# What a line says of place and time; the rest is how the networks do.
PLACE = ("step", "kimg", "epoch", *VARYING)
MOST_CONFIG = 1 << 20  # bytes of config.json, which has a few thousand


@dataclasses.dataclass
class History:
    """What a run has shown so far.

    Attributes:
        samples: uint8 [snapshots, N, 3, H, W], the same N noise vectors, or translated pictures, at every snapshot.
        kimg: thousands of real pictures shown, one number per snapshot.
        stats: one dict per logged step: step, kimg, epoch, what `VARYING` names, loss_D, loss_G, logits_real, logits_fake,
            and what else the method has: lr_G, lr_D, or for a StyleGAN grad_G, grad_D, r_t, ada_p, ...
    """

    samples: Tensor
    kimg: list[float]
    stats: list[dict[str, float]]
    originals: Tensor | None = None  # uint8 [N, 3, H, W]: what was translated

    @classmethod
    def load(cls, outdir: str | Path) -> History:
        """Read the folder of a run, finished or not.

        Raises:
            InputError: the folder holds no run, or a file in it is damaged.
        """
        outdir = Path(outdir)
        about = read_config(outdir)
        pictures = files_of_steps(outdir / "samples", ".png")
        size, per_step = about["image_size"], about["images_per_step"]
        samples = [cut_grid(path, size, about["samples"]) for path in pictures]
        empty = torch.empty(0, about["samples"], 3, size, size, dtype=torch.uint8)
        originals = outdir / "samples" / "originals.png"
        return cls(
            torch.stack(samples) if samples else empty,
            [step_of(path) * per_step / 1000 for path in pictures],
            read_stats(outdir / "stats.jsonl"),
            cut_grid(originals, size, about["samples"]) if originals.exists() else None,
        )


def read_config(outdir: Path) -> dict:
    """What a run's config.json says; settings that the recipe has got since are its own.

    Raises:
        InputError: there is none, or it does not describe a run.
    """
    path = outdir / "config.json"
    if not path.exists():
        raise InputError(f"{outdir} holds no training run (no config.json)")
    try:
        if path.stat().st_size > MOST_CONFIG:
            raise ValueError("too large")
        about = json.loads(path.read_text(encoding="utf-8"))
        sizes = [about[name] for name in ("image_size", "images_per_step", "snap_steps", "samples")]
        sizes += [about["data"]["count"], about.get("processes", 1), about.get("micro_batch") or 1]
        if not all(type(size) is int and 0 < size < 2**31 for size in sizes) or max(sizes[0], sizes[3]) > 2**16:
            raise ValueError("sizes")
        if not all(isinstance(about["data"][name], str) for name in ("name", "hash")):
            raise ValueError("data")
        recipe = RECIPES[recipe_of(about["config"])]
        about["config"] = dataclasses.asdict(recipe) | about["config"]
        for field in dataclasses.fields(recipe):
            value, kind = about["config"][field.name], type(getattr(recipe, field.name))
            if not (is_number(value) if kind is float else isinstance(value, kind)):
                raise ValueError(field.name)
        return about
    except OSError as error:
        raise InputError(f"{path} cannot be read ({os.strerror(error.errno)}): make it readable") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise InputError(f"{path} does not describe a training run: choose another folder, or remove this one") from None


def read_stats(path: Path) -> list[dict[str, float]]:
    """Every line of a run's stats.jsonl; the last one may be torn if the run was killed while writing it.

    Raises:
        InputError: another line is damaged.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
    except OSError as error:
        raise InputError(f"{path} cannot be read ({os.strerror(error.errno)}): make it readable") from None
    lines, texts = [], text.splitlines()
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
            measured = {"sec_per_kimg", "memory_gb"} & set(line)  # older runs have neither
            whole = {"step", "kimg", "seconds"} <= set(line) and len(measured) in (0, 2)
            if not whole or not all(map(is_number, line.values())) or min(line["step"], line["kimg"]) <= 0:
                raise ValueError(text)
            lines.append(line)
        except (ValueError, TypeError, AttributeError, RecursionError):
            if number < len(texts):
                raise InputError(f"{path}, line {number} is damaged: put the undamaged file back, or remove the line") from None
    return lines


def is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # which is false for nan too


def step_of(path: Path) -> int:
    """The step in the name of one of a run's files."""
    return int(re.search(r"step-(\d+)", path.name).group(1))


def files_of_steps(folder: Path, suffix: str) -> list[Path]:
    """The files step-N.suffix in a folder of a run, by their steps; others are not ours."""
    return sorted((p for p in folder.glob("step-*") if re.fullmatch(rf"step-\d{{8,}}\{suffix}", p.name)), key=step_of)


def join_grid(pictures: Tensor) -> Image.Image:
    """uint8 [N, 3, H, W] -> one picture without gaps, so that it can be cut again without loss."""
    n, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = torch.zeros(rows * columns, 3, height, width, dtype=torch.uint8)
    sheet[:n] = pictures
    sheet = sheet.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    return Image.fromarray(sheet.numpy())


def cut_grid(path: Path, size: int, n: int) -> Tensor:
    """The pictures of `join_grid` again: uint8 [n, 3, size, size]."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    try:
        with Image.open(path) as image:
            if image.mode != "RGB" or image.size != (columns * size, rows * size):
                raise ValueError(f"{image.mode}, {image.width}x{image.height}")
            sheet = torch.from_numpy(np.array(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = os.strerror(error.errno) if getattr(error, "errno", None) else one_line(error, 80)
        raise InputError(
            f"{path} is not this run's grid of {n} pictures of {size} pixels ({why}): put the undamaged file back, or remove it"
        ) from None
    return sheet.view(rows, size, columns, size, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, size, size)[:n].contiguous()


# -- what a run says of itself


def run_facts(run: Path) -> Iterator[tuple[str, object]]:
    """Names and values, for `facegen info`: what the run is, how far, how fast and how it stands, also while it goes on."""
    about, stats = read_config(run), read_stats(run / "stats.jsonl")
    config, data = about["config"], about["data"]
    yield "run", f"{run}, {recipe_of(config)}, {about['image_size']} pixels"
    yield "data", f"{data['name']}, {data['count']} pictures"
    batch, part = config.get("batch"), about.get("micro_batch")
    yield "batch", f"{batch}, in micro-batches of {part}" if part not in (None, batch) else batch
    yield from _progress(config, stats) if stats else [("progress", "nothing logged yet")]
    files = {"sample grids": "samples/step-*.png", "kept networks": "networks/*.safetensors", "checkpoints": "checkpoints/*.pt"}
    yield "files", ", ".join(f"{len(list(run.glob(pattern)))} {what}" for what, pattern in files.items())


def _progress(config: dict, stats: list[dict[str, float]]) -> Iterator[tuple[str, str]]:
    last = stats[-1]
    paces = [line["sec_per_kimg"] for line in stats[-20:] if "sec_per_kimg" in line]
    wanted, done, unit = config.get("kimg"), last["kimg"], "kimg"
    if wanted is None and "epoch" in last:
        wanted, done, unit = config["epochs"] + config["epochs_decay"], last["epoch"], "epochs"
    far = f"{done:.5g} of {wanted:g} {unit}" if wanted is not None else f"{done:.5g} {unit}"
    to_go = ""
    if paces and wanted is not None and 0 < done < wanted:
        to_go = f", about {duration(statistics.median(paces) * last['kimg'] * (wanted / done - 1))} to go"
    yield "progress", f"{far}, {duration(last['seconds'])}{to_go}"
    if "memory_gb" in last:
        yield "pace", f"{statistics.median(paces):.4g} s/kimg, {last['memory_gb']:.2f} GB at most"
    yield "last line", ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in PLACE)


def duration(seconds: float) -> str:
    """5025 -> "1 h 24 min"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def kimg_text(kimg: float) -> str:
    """A number of kimg with three digits and no exponent: 0, 0.064, 6.40, 12.0, 1500."""
    if kimg == 0 or kimg >= 100:
        return f"{kimg:.0f}"
    return f"{kimg:.1f}" if kimg >= 10 else f"{kimg:.2f}" if kimg >= 1 else f"{kimg:.3g}"


# -- what a run is continued with

# What `train --resume` sets where the user does not: what a network has learned need not be found again slowly.
FROM_A_NETWORK = {"ada_kimg": 100.0, "ema_rampup": 0.0}


def check_start(outdir: Path, network: str | Path) -> None:
    """Refuse to begin a run with the networks of that very run: `train --outdir r --resume r`.

    Raises:
        InputError: `network` is the run in `outdir`, or lies in it.
    """
    run = outdir.resolve()
    if (run / "config.json").exists() and Path(network).resolve().is_relative_to(run):
        raise InputError(f"--resume {network} is this run itself: leave --resume out to continue it")


def _flag(name: str, value: object) -> str:
    """A setting as one types it: ("lr_G", 2e-4) -> "--lr-G=0.0002"."""
    value = int(value) if isinstance(value, bool) else value
    shown = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return f"--{name.replace('_', '-')}={shown}"


def recipe_of(config: dict) -> str:
    """Which --cfg settings belong to."""
    return config.get("architecture") or ("cyclegan" if "load_size" in config else "dcgan")


def check_same_run(old: dict, new: dict, outdir: Path) -> bool:
    """Refuse to continue a run with another recipe, settings or data: it would be neither the old run nor the new one.

    kimg may grow. And how a batch is divided may be left to the run, or be named as it is.

    Returns:
        Whether kimg has grown.
    """
    was, wanted = dict(old["config"]), dict(new["config"])
    _agree(outdir, _flag("cfg", recipe_of(was)), _flag("cfg", recipe_of(wanted)))
    if "batch_gpu" in was:
        was["batch_gpu"] = old.get("micro_batch") or was["batch_gpu"]
        wanted["batch_gpu"] = wanted["batch_gpu"] or was["batch_gpu"]
    differing = [name for name in wanted if name not in was or was[name] != wanted[name]]
    # With a constant rate a longer run begins like the shorter one; with a schedule it does not.
    longer = differing == ["kimg"] and wanted.get("schedule", "constant") == "constant" and wanted["kimg"] > was["kimg"]
    if set(differing) == set(FROM_A_NETWORK):
        begun, begins = (all(about[name] == value for name, value in FROM_A_NETWORK.items()) for about in (was, wanted))
        if begun != begins:
            how = "with --resume: give it again" if begun else "without --resume: give none"
            raise InputError(f"{outdir} holds a run that began {how} to continue it, or another folder to start anew")
    for name in differing if not longer else ():
        _agree(outdir, _flag(name, was.get(name)), _flag(name, wanted[name]))
    _compare_data(old["data"], new["data"], outdir)
    for name, words in (
        ("snap_steps", "a snapshot every {} steps (--snap)"),
        ("samples", "samples={}"),
        ("processes", "processes={}"),
    ):
        _agree(outdir, words.format(old.get(name, 1)), words.format(new[name]))
    return longer


def _agree(outdir: Path, was: str, wanted: str) -> None:
    if was != wanted:
        other = wanted.rpartition("=")[2] if "=" in wanted else wanted
        raise InputError(
            f"{outdir} holds a run with {was}, not {other}: "
            "give the same settings to continue it, or another folder to start anew"
        )


def _compare_data(was: dict, now: dict, outdir: Path) -> None:
    """Both as in config.json; of the same size, for the settings were compared before."""
    if was["hash"] == now["hash"] and was.get("labels", now["labels"]) == now["labels"]:
        return
    if was["hash"] == now["hash"]:
        what = f"with other labels of the same pictures ({now['name']})"
    elif was["name"] != now["name"]:
        what = f"on other pictures ({was['name']}, not {now['name']})"
    elif was["count"] != now["count"]:
        what = f"on {was['count']} pictures of {was['name']}, not {now['count']}"
    else:
        what = f"on other pictures: those in {was['name']} have changed since"
    raise InputError(f"{outdir} was trained {what}: give the same data, or another folder to start anew")
