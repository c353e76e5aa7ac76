"""What a training run is, how far, how fast and how it stands, from its folder alone: also while it goes on."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from facegen.training.runs import read_config, read_stats, recipe_of

# What a line of stats.jsonl says of place and time; the rest is how the networks do.
PLACE = ("step", "kimg", "epoch", "seconds", "sec_per_kimg", "memory_gb")


def run_facts(run: Path) -> Iterator[tuple[str, object]]:
    """Names and values, for `facegen info`.

    Raises:
        InputError: the folder holds no run, or its files are damaged.
    """
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
    if wanted is None:
        wanted, done, unit = config["epochs"] + config["epochs_decay"], last["epoch"], "epochs"
    pace = statistics.median(paces) if paces else None
    to_go = f", about {duration(pace * last['kimg'] * (wanted / done - 1))} to go" if paces and done < wanted else ""
    yield "progress", f"{done:.5g} of {wanted:g} {unit}, {duration(last['seconds'])}{to_go}"
    if paces:
        yield "pace", f"{pace:.4g} s/kimg, {last['memory_gb']:.2f} GB at most"
    yield "last line", ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in PLACE)


def duration(seconds: float) -> str:
    """5025 -> "1 h 24 min"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
