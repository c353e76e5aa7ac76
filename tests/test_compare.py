"""Architectures compared at equal budget: the same numbers after any interruption, fair settings, an honest table."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.config import RECIPES
from facegen.data import load_faces
from facegen.data.packed import Faces
from facegen.evaluation import compare as comparing
from facegen.evaluation import trials as running
from facegen.evaluation.compare import Comparison, Judge, Measurement, Run, check_settings, compare, spread, until
from facegen.files import InputError
from facegen.models import pretrained
from facegen.show.comparison import as_dict, markdown, notes, progress_chart, table_rows, verdicts, write_report
from facegen.training.fit import Interrupted, TrainingError, fit

SHARED = {"image_size": 32, "kimg": 0.032, "batch": 8, "precision": "float32"}
STYLED = {"z_dim": 8, "w_dim": 8, "map_depth": 2, "cbase": 128, "cmax": 8, "batch_gpu": 8}
CONFIGS = {
    "dcgan": dataclasses.replace(RECIPES["dcgan"], z_size=8, conv_dim=4, **SHARED),
    "stylegan2": dataclasses.replace(RECIPES["stylegan2"], **STYLED, **SHARED),
}
OPTIONS = {"seeds": 2, "snap_kimg": 0.016, "samples": 12, "progress": False}  # snapshots after 2 and 4 steps


class Averages:
    """Features that take no time: the mean colours of 4 x 4 places."""

    calls = 0

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 4).flatten(1)

    def __str__(self) -> str:
        return "averages of 4x4 places"

    def score(self, metric: str) -> str:
        return f"{metric}-averages"


@pytest.fixture(scope="module")
def faces() -> Faces:
    return load_faces("drawn:32", 32, cache=False)


@pytest.fixture(scope="module")
def straight(faces, tmp_path_factory) -> tuple[Comparison, Path]:
    folder = tmp_path_factory.mktemp("straight")
    return compare(faces, CONFIGS, folder, Averages(), **OPTIONS), folder


def without_times(comparison: Comparison) -> dict:
    """What does not depend on the clock or the folder."""
    found = as_dict(comparison)
    for name in ("equal_time", "notes"):
        del found[name]
    for table in found["table"].values():
        del table["at_time"], table["snapshots_at_time"]
    for run in found["runs"]:
        del run["seconds_per_kimg"], run["memory_gb"]
        for shot in run["snapshots"]:
            del shot["seconds"]
    return found


# ------------------------------------------------------------------------------------------------------- comparing


def test_every_recipe_and_seed_is_trained_and_every_snapshot_measured(straight):
    found, folder = straight
    assert [(run.cfg, run.seed) for run in found.runs] == [("dcgan", 0), ("stylegan2", 0), ("dcgan", 1), ("stylegan2", 1)]
    assert found.finished and all(run.finished for run in found.runs)
    for run in found.runs:
        assert [(shot.step, shot.kimg) for shot in run.snapshots] == [(2, 0.016), (4, 0.032)]
        assert run.seconds_per_kimg > 0 and run.snapshots[0].seconds < run.snapshots[-1].seconds
        assert all(math.isfinite(getattr(shot, name)) for shot in run.snapshots for name in comparing.QUANTITIES)
        loaded = pretrained.load(run.network)
        assert run.weights["G"] == sum(p.numel() for p in loaded.G.parameters()) and run.weights["D"] > 0
    networks = {seed: pretrained.load(folder / "runs" / f"dcgan-seed{seed}" / "network.safetensors").G for seed in (0, 1)}
    assert not torch.equal(next(networks[0].parameters()), next(networks[1].parameters()))


def test_an_interrupted_comparison_ends_in_the_same_table(straight, faces, tmp_path, monkeypatch):
    def broken_off(*args, **options):
        fit(*args, **options, stop_at=3)
        raise Interrupted("interrupted at step 3")

    class Impatient(Averages):
        def __call__(self, pictures):
            if self.calls == 2 + 1:  # both halves and the first snapshot
                raise KeyboardInterrupt
            return super().__call__(pictures)

    with monkeypatch.context() as patch:
        patch.setattr(running, "fit", broken_off)
        with pytest.raises(Interrupted):
            compare(faces, CONFIGS, tmp_path, Averages(), **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        compare(faces, CONFIGS, tmp_path, Impatient(), **OPTIONS)
    # A comparison that began with one seed goes on with more.
    compare(faces, CONFIGS, tmp_path, Averages(), **{**OPTIONS, "seeds": 1})
    resumed = compare(faces, CONFIGS, tmp_path, Averages(), **OPTIONS)
    assert without_times(resumed) == without_times(straight[0])


def test_what_is_finished_is_neither_trained_nor_measured_again(straight, faces, monkeypatch):
    def never(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(running, "fit", never)
    features, reports = Averages(), []
    again = compare(faces, CONFIGS, straight[1], features, on_run=reports.append, **OPTIONS)
    assert len(reports) == 1 and reports[0].finished
    assert as_dict(again) == as_dict(straight[0]) and features.calls == 2  # the halves of the real pictures, for the baseline
    fewer = compare(faces, CONFIGS, straight[1], features, **{**OPTIONS, "samples": 8})
    assert features.calls == 2 + 2 + 4 * 2  # with another protocol all 8 snapshots are measured anew
    assert fewer.runs[0].snapshots[-1].frechet != again.runs[0].snapshots[-1].frechet
    compare(faces, CONFIGS, straight[1], features, **OPTIONS)  # as the other tests know it


def test_a_run_that_diverges_is_counted_as_failed_and_the_others_go_on(faces, tmp_path, monkeypatch):
    def diverging(method, data, folder, **options):
        if folder.name == "dcgan-seed1":
            fit(method, data, folder, **options, stop_at=3)
            raise TrainingError("training stopped at step 4: loss_D is not finite")
        return fit(method, data, folder, **options)

    monkeypatch.setattr(running, "fit", diverging)
    found = compare(faces, CONFIGS, tmp_path, Averages(), **OPTIONS)
    assert found.finished and [run.finished for run in found.runs] == [True, True, False, True]
    assert len(found.at_kimg("dcgan")) == 1 and len(found.at_time("stylegan2")) == 2
    assert [shot.step for shot in found.runs[2].snapshots] == [2]
    ended = next(row for row in table_rows(found) if row.name == "runs")
    assert ended.cells == ("1, and 1 failed", "2", "")
    assert any("dcgan, seed 1: training stopped at step 4" in line for line in notes(found))
    assert as_dict(found)["table"]["dcgan"]["failed_seeds"] == [1]


# ------------------------------------------------------------------------------------------------------- measuring


def test_the_judge_knows_real_pictures_noise_and_a_single_face(faces):
    judge = Judge(faces, Averages(), 16, mirror=False)
    assert judge.n == 16 and "16 fakes" in judge.protocol and "averages of 4x4 places" in judge.protocol
    baseline = judge.baseline()
    noise = judge.measure(torch.randint(0, 256, (16, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8))
    white = judge.measure(torch.full((16, 3, 32, 32), 255, dtype=torch.uint8))
    one = judge.measure(faces.images[:1].expand(16, -1, -1, -1))
    other = judge.measure(load_faces("drawn:16", 32, seed=5, cache=False).images)
    assert abs(baseline["kid"]) < 0.01 < noise["kid"] and abs(other["kid"]) < 0.02
    assert one["diversity"] == 0 and one["recall"] < 0.05 and white["precision"] == 0
    assert baseline["diversity"] == pytest.approx(1) and other["diversity"] == pytest.approx(1, abs=0.25)
    assert baseline["frechet"] < other["frechet"] * 2 < noise["frechet"]


def test_no_more_fakes_than_half_of_the_real_pictures(faces):
    assert Judge(faces, Averages(), 2000, mirror=True).n == 16
    assert "mirrored" in Judge(faces, Averages(), 2000, mirror=True).protocol
    with pytest.raises(InputError, match="at least 16 pictures"):
        Judge(dataclasses.replace(faces, images=faces.images[:15]), Averages(), 2000, mirror=False)
    with pytest.raises(InputError, match="all pictures are alike"):
        Judge(dataclasses.replace(faces, images=faces.images[:1].expand(32, -1, -1, -1)), Averages(), 8, mirror=False)


def test_mean_distance_of_points_on_a_line():
    assert comparing.mean_distance(torch.tensor([[0.0], [1.0], [3.0]])) == pytest.approx((1 + 3 + 2) / 3)


# ------------------------------------------------------------------------------------------------------- equal time


def shot(number: int, seconds: float, kid: float = 0.1) -> Measurement:
    return Measurement(number, number / 10, seconds, kid, 50.0, 0.9, 0.5, 0.4)


def made_up(times: dict[str, list[list[float]]], kids: dict[str, list[float]] | None = None) -> Comparison:
    """A comparison whose run i of a recipe has snapshots at times[cfg][i], and kids[cfg][i] at its end."""
    runs = []
    for cfg, all_times in times.items():
        for seed, seconds in enumerate(all_times):
            end = kids[cfg][seed] if kids else 0.1
            shots = tuple(shot(i, t, end if i == len(seconds) else 0.5) for i, t in enumerate(seconds, start=1))
            runs.append(
                Run(cfg, seed, Path(f"{cfg}-seed{seed}"), shots, True, "", {"G": 10, "D": 20}, ("a machine",), 1.5, None)
            )
    configs = {cfg: dataclasses.replace(RECIPES[cfg], kimg=0.3) for cfg in times}
    baseline = {"kid": -1e-5, "frechet": 3.0, "diversity": 1.0, "precision": 0.8, "recall": 0.8}
    names = {quantity: f"{name}-x" for quantity, name in comparing.NAMES.items()}
    data = {"name": "<faces>\x1b[2J", "hash": "0", "count": 32}
    return Comparison(configs, len(next(iter(times.values()))), tuple(runs), baseline, names, "a protocol", data)


def test_equal_time_is_when_the_last_run_of_the_fastest_has_ended():
    times = {"stylegan3-r": [[60, 120, 180], [61, 125, 190]], "dcgan": [[10, 20, 30], [20, 40, 62]]}
    found = made_up(times)
    assert found.equal_time() == ("dcgan", 62)
    assert [s.seconds for s in found.at_time("dcgan")] == [30, 62]  # all of its runs have ended
    assert [s.seconds for s in found.at_time("stylegan3-r")] == [60, 61]  # the last before, never the nearest after
    assert [s.step for s in found.at_kimg("stylegan3-r")] == [3, 3]
    table = as_dict(found)["table"]
    assert table["stylegan3-r"]["snapshots_at_time"][1] == {"step": 1, "kimg": 0.1, "seconds": 61}
    assert table["stylegan3-r"]["at_time"]["kid"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 2}


def test_a_recipe_without_a_snapshot_by_then_has_no_number():
    found = made_up({"dcgan": [[10, 20, 30]], "stylegan3-t": [[31, 60, 90]]})
    assert found.at_time("stylegan3-t") == [None]
    cells = [row.cells[1] for row in table_rows(found) if row.name.startswith("KID")]
    assert cells[1] == "no snapshot yet"
    assert any("smaller --snap" in line for line in notes(found))
    assert until([shot(1, 5.0), shot(2, 9.0)], 4.9) is None
    some = made_up({"dcgan": [[10, 20, 30], [10, 20, 30]], "stylegan3-t": [[29, 60, 90], [31, 60, 90]]})
    assert next(row for row in table_rows(some)[8:] if row.name.startswith("KID")).cells[1] == "500, 1 of 2 runs"


def test_spreads_are_means_and_ranges_of_what_there_is():
    assert spread([1.0, None, 4.0]) == (2.5, 1.0, 4.0, 2) and spread([None]) is None


def test_the_verdict_says_when_seeds_leave_it_open():
    times = {"dcgan": [[1, 2, 3]] * 3, "stylegan2": [[2, 4, 6]] * 3}
    clear = verdicts(made_up(times, {"dcgan": [0.3, 0.4, 0.5], "stylegan2": [0.1, 0.2, 0.29]}))
    assert "stylegan2 has the lowest KID-x; all 3 of its runs are below" in clear[0]
    assert "dcgan has the lowest" in clear[1]  # in 3 seconds stylegan2 has come to its first snapshot only
    close = verdicts(made_up(times, {"dcgan": [0.28, 0.4, 0.5], "stylegan2": [0.1, 0.2, 0.29]}))
    assert "meets that of dcgan" in close[0]
    assert "one seed each" in verdicts(made_up({cfg: t[:1] for cfg, t in times.items()}))[0]


# ------------------------------------------------------------------------------------------------------- fairness


def change(cfg: str, **settings) -> dict:
    return CONFIGS | {cfg: dataclasses.replace(CONFIGS.get(cfg, RECIPES[cfg]), **settings)}


@pytest.mark.parametrize(
    ("configs", "seeds", "snap", "message"),
    [
        ({}, 1, 0.01, "no cfg"),
        ({"cyclegan": RECIPES["cyclegan"]}, 1, 0.01, "'cyclegan' cannot be compared"),
        (CONFIGS, 0, 0.01, "--seeds 0"),
        (CONFIGS, 1, 0.1, "too small for one snapshot"),
        (CONFIGS, 1, 0.007, "less than one step of 8 pictures"),
        (CONFIGS, 1, math.nan, "--snap nan"),
        (change("dcgan", kimg=1.0), 1, 0.01, r"kimg differs \(0.032, 1.0\)"),
        (change("dcgan", mirror=True), 1, 0.01, "mirror differs"),
        (change("dcgan", image_size=64), 1, 0.01, "image-size differs"),
        (change("stylegan3-t", cmax=8, **SHARED), 1, 0.01, r"cbase differs \(128, 32768\)"),
        (change("stylegan2", cond=True), 1, 0.01, "without classes"),
    ],
)
def test_unfair_and_impossible_settings_are_refused(configs, seeds, snap, message):
    with pytest.raises(InputError, match=message) as refusal:
        check_settings(configs, seeds, snap)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("configs", "options", "message"),
    [
        (CONFIGS, {"snap_kimg": 0.032}, "--snap=0.016, not 0.032"),
        (change("stylegan2", gamma=1.0), {}, "stylegan2.gamma=-1.0, not 1.0"),
        (
            {"stylegan3-t": dataclasses.replace(RECIPES["stylegan3-t"], cmax=8, **SHARED)},
            {},
            "stylegan3-t.cbase=128, not 32768",
        ),
    ],
)
def test_a_folder_of_another_comparison_is_refused(straight, faces, configs, options, message):
    before = (straight[1] / "compare.json").read_bytes()
    with pytest.raises(InputError, match=message):
        compare(faces, configs, straight[1], Averages(), **{**OPTIONS, **options})
    assert (straight[1] / "compare.json").read_bytes() == before


def test_other_pictures_and_strange_folders_are_refused(straight, faces, tmp_path):
    other = load_faces("drawn:32", 32, seed=1, cache=False)
    with pytest.raises(InputError, match="on other pictures") as refusal:
        compare(other, CONFIGS, straight[1], Averages(), **OPTIONS)
    assert "\n" not in str(refusal.value)
    (tmp_path / "something.json").write_text("{}")
    with pytest.raises(InputError, match="is not empty and holds no comparison"):
        compare(faces, CONFIGS, tmp_path, Averages(), **OPTIONS)


DAMAGE = {
    "settings cut off": ("compare.json", lambda text: text[: len(text) // 2]),
    "settings a list": ("compare.json", lambda text: "[]"),
    "no settings": ("compare.json", lambda text: "{}"),
    "settings of another kind": ("compare.json", lambda text: json.dumps(json.loads(text) | {"configs": {"dcgan": 3}})),
    "record cut off": ("compared.json", lambda text: text[: len(text) // 2]),
    "record a list": ("compared.json", lambda text: "[]"),
    "record without weights": ("compared.json", lambda text: json.dumps(json.loads(text) | {"weights": {}})),
    "machines that are numbers": ("compared.json", lambda text: json.dumps(json.loads(text) | {"machines": [1]})),
    "no numbers of a snapshot": ("compared.json", lambda text: json.dumps(json.loads(text) | {"measured": {"2": {}}})),
    "words for numbers": ("compared.json", lambda text: text.replace('"kid": ', '"kid": "x", "was": ')),
    "run's settings cut off": ("config.json", lambda text: text[: len(text) // 2]),
    "log of words": ("stats.jsonl", lambda text: "x\n" * 4),
    "network cut off": ("networks/step-00000002.safetensors", None),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_to_a_comparison_is_one_line_that_names_the_file(kind, straight, faces, tmp_path):
    folder, (name, change) = tmp_path / "copy", DAMAGE[kind]
    shutil.copytree(straight[1], folder)
    path = folder / name if name == "compare.json" else folder / "runs" / "dcgan-seed0" / name
    if change is None:  # it is looked at where it has not been measured
        path.write_bytes(path.read_bytes()[:2000])
        record = folder / "runs" / "dcgan-seed0" / "compared.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"measured": {}}))
    else:
        path.write_text(change(path.read_text()))
    with pytest.raises(InputError) as caught:
        compare(faces, CONFIGS, folder, Averages(), **OPTIONS)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_comparison_that_another_process_works_on_is_refused(quick, tmp_path, capsys):
    outdir = tmp_path / "out"
    code = (
        "import sys; from facegen.files import locked\nwith locked(sys.argv[1], 'facegen compare'): print(flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(outdir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    command = f"compare --data drawn:32 --cfgs dcgan --kimg 0.032 --snap 0.016 --outdir {outdir} --seeds 1".split()
    command += ["--image-size", "32", "--batch", "8", "--set", "dcgan.conv_dim=4", "--samples", "12", "--device", "cpu"]
    try:
        child.stdout.readline()
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"is in use (facegen compare, process {child.pid}" in error and error.count("\n") == 1
        assert not (outdir / "compare.json").exists() and not (outdir / "runs").exists()
    finally:
        child.communicate("\n")
    assert main(command) == 0


# ------------------------------------------------------------------------------------------------------- the report


def test_the_report_is_complete_and_stands_alone(straight, faces, tmp_path):
    found, _ = straight
    page = write_report(found, faces, tmp_path, command="facegen compare --data '<script>'").read_text()
    assert {p.name for p in (tmp_path / "grids").iterdir()} == {"real.png"} | {
        f"{run.cfg}-seed{run.seed}.png" for run in found.runs
    }
    assert Image.open(tmp_path / "grids" / "dcgan-seed0.png").size == (8 * 34 + 2, 8 * 34 + 2)
    assert Image.open(tmp_path / "kimg.png").size == Image.open(tmp_path / "minutes.png").size
    assert "<script" not in page and "&lt;script&gt;" in page
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', page))
    assert page.count("<img") == 2 + 1 + 4 and "http" not in re.sub(r"data:image[^\"]*|http-equiv", "", page)
    stored = json.loads((tmp_path / "table.json").read_text())
    assert stored["protocol"] == found.protocol and len(stored["runs"]) == 4 and stored["finished"] is True
    assert stored["table"]["dcgan"]["at_kimg"]["kid"]["n"] == 2


def test_the_table_is_good_markdown(straight):
    text = markdown(straight[0], "facegen compare")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and lines[1].startswith("| --- | ---:")
    assert "KID-averages × 1000" in text and "real pictures" in lines[0] and "not a confidence interval" in text
    assert "1 of 6 cases" in text and "Equal for all: the 32 pictures of drawn at 32x32, not mirrored" in text
    escaped = markdown(made_up({"dcgan": [[1, 2, 3]]}))
    assert "&lt;faces>" in escaped and "\x1b" not in escaped


def test_a_comparison_that_is_not_finished_says_so(straight):
    part = dataclasses.replace(straight[0], runs=straight[0].runs[:1])
    assert any("Not finished: 1 of 4 runs" in line for line in notes(part))
    assert next(row for row in table_rows(part) if row.name == "runs").cells == ("1", "none yet", "")
    assert verdicts(part) == [] and progress_chart(part).axes


def test_plots_show_every_recipe_the_band_and_the_real_pictures():
    times = {"dcgan": [[10, 20, 30], [12, 22, 32]], "stylegan3-r": [[100, 200, 300], [110, 210, 310]]}
    found = made_up(times, {"dcgan": [0.2, 0.3], "stylegan3-r": [-0.001, 0.001]})
    for against, x in (("kimg", [0.1, 0.2, 0.3]), ("minutes", [11 / 60, 21 / 60, 31 / 60])):
        axes = progress_chart(found, against).axes[0]
        lines = {line.get_label(): line for line in axes.lines}
        assert {"dcgan", "stylegan3-r", "two halves of the real pictures"} <= set(lines)
        assert list(lines["dcgan"].get_xdata()) == pytest.approx(x)
        assert list(lines["dcgan"].get_ydata()) == pytest.approx([500, 500, 250])
        assert len(axes.collections) == 2  # the bands
    assert axes.get_xscale() == "log" and progress_chart(found, "kimg").axes[0].get_xscale() == "linear"
    with pytest.raises(InputError, match="kimg or minutes"):
        progress_chart(found, "epochs")


# ------------------------------------------------------------------------------------------------- the command line

SMALL = "--image-size 32 --batch 8 --cbase 128 --cmax 8 --precision float32 --set dcgan.conv_dim=4 --samples 12 --device cpu"
SMALL += " --set stylegan2.batch_gpu=8 --set stylegan2.z_dim=8 --set stylegan2.w_dim=8 --set stylegan2.map_depth=2"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("facegen.evaluation.features.load_features", lambda name, device: Averages())


def test_the_command_compares_and_continues(quick, tmp_path, capsys):
    outdir = tmp_path / "out"
    command = f"compare --data drawn:32 --cfgs dcgan,stylegan2 --kimg 0.032 --snap 0.016 --outdir {outdir} {SMALL}".split()
    assert main([*command, "--seeds", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 of 2: stylegan2, seed 0: KID x 1000 is" in said and "has the lowest KID-averages" in said
    stored = json.loads((outdir / "table.json").read_text())
    assert stored["settings"]["stylegan2"]["cbase"] == 128 and stored["settings"]["dcgan"]["conv_dim"] == 4
    assert "--set=dcgan.conv_dim=4" in stored["command"] and "--snap=0.016" in stored["command"]
    assert main([*command, "--seeds", "1", "--set", "stylegan2.gamma=3"]) == 2
    assert "stylegan2.gamma=-1.0, not 3.0" in capsys.readouterr().err
    assert main([*command[:2], "drawn:40", *command[3:], "--seeds", "1"]) == 2
    assert "on other pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--cfgs dcgan,stylegan9", "'stylegan9' is not known"),
        ("--cfgs cyclegan", "'cyclegan' is not known"),
        ("--cfgs ,", "no cfg to compare"),
        ("--seeds 0", "--seeds 0"),
        ("--kimg 0.01 --snap 0.1", "too small for one snapshot"),
        ("--kimg 0.01", "too small for one snapshot"),
        ("--snap 0.01", "less than one step of 64 pictures"),
        ("--kimg -1", "kimg=-1.0"),
        ("--data {empty}", "no usable picture"),
        ("--data drawn:9", "at least 16 pictures"),
        ("--samples 3", "8 samples"),
        ("--image-size 48", "--image-size=48"),
        ("--set conv_dim=3", "give CFG.NAME=VALUE"),
        ("--set dcgan.cbase=3", "dcgan has no setting 'cbase'"),
        ("--set dcgan.seed=3", "dcgan has no setting 'seed'"),
        ("--set dcgan.conv_dim=wide", "'wide' is no value for conv_dim"),
        ("--set dcgan.smooth=maybe", "'maybe' is no value for smooth"),
        ("--set stylegan2.cbase=64", "cbase differs"),
        ("--outdir {file}", "is a file, not a folder"),
    ],
)
def test_every_refusal_is_one_line_and_leaves_nothing(flags, message, quick, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    flags = flags.format(empty=tmp_path / "empty", file=tmp_path / "file")
    base = f"compare --data drawn:32 --kimg 1 --seeds 1 --device cpu --image-size 32 --outdir {tmp_path / 'out'}"
    assert main(f"{base} {flags}".split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
