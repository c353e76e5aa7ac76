"""The recorded runs are diagnosed right, each measure sees what it is for, and a run that falls ill in training is told so."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.__main__ import main
from facegen.config import TrainConfig
from facegen.data.drawn import drawn
from facegen.data.packed import Faces, content_hash
from facegen.files import InputError
from facegen.models.pretrained import load
from facegen.training import symptoms
from facegen.training.diagnose import LONG
from facegen.training.fit import fit
from facegen.training.runs import History, read_config
from facegen.training.steps import dcgan_from
from facegen.training.symptoms import (
    HEALTHY,
    SICKNESSES,
    RunWatch,
    diagnose_run,
    interpolations,
    is_answer,
    recorded_folder,
    recorded_letters,
    recorded_reals,
    recorded_run,
    sticking,
    training_pictures,
)

N, SIZE = 25, 32
LETTERS = recorded_letters()
WEIGHTS = Path(__file__).resolve().parent.parent / "assets" / "weights"


@pytest.fixture(scope="module")
def reals():
    return drawn(200, SIZE, 3).images


@pytest.fixture(scope="module")
def people():
    """Pictures of other people than the real ones: what a perfect generator would make."""
    return drawn(N, SIZE, 4).images


def names(samples, reals=None, stats=(), **more):
    return [finding.name for finding in diagnose_run(stats, samples, reals=reals, **more)]


def still_learning(pictures, snapshots=6, seed=0):
    """The same pictures at every snapshot, each time with other flaws."""
    generator = torch.Generator().manual_seed(seed)
    flaws = torch.randn(snapshots, len(pictures), 3, 8, 8, generator=generator) * 7
    flaws = torch.nn.functional.interpolate(flaws.flatten(0, 1), size=SIZE).view(snapshots, *pictures.shape)
    return (pictures + flaws).clamp(0, 255).to(torch.uint8)


def level(steps=200, real=1.0, fake=-1.0):
    noise = torch.randn(2, steps, generator=torch.Generator().manual_seed(0)) * 0.3
    return [{"logits_real": real + a, "logits_fake": fake + b} for a, b in noise.T.tolist()]


# -- recorded runs


@pytest.fixture(scope="module")
def diagnoses():
    """The findings of every recorded run."""
    found = {}
    for letter in LETTERS:
        run = recorded_folder() / letter
        history = History.load(run)
        loss = read_config(run)["config"]["loss"]
        found[letter] = diagnose_run(history.stats, history.samples, reals=training_pictures(run, most=300), loss=loss)
    return found


@pytest.mark.parametrize("letter", LETTERS)
def test_the_recorded_runs_are_diagnosed_right(diagnoses, letter):
    found = diagnoses[letter]
    first = found[0].name if found else HEALTHY
    assert is_answer(letter, first), [str(finding) for finding in found]
    assert sum(is_answer(letter, name) for name in (*SICKNESSES, HEALTHY)) == 1


def test_there_is_a_run_for_each_sickness_that_can_be_provoked_and_two_are_healthy(diagnoses):
    first = [found[0].name if found else HEALTHY for found in diagnoses.values()]
    assert len(first) >= 10 and first.count(HEALTHY) == 2
    assert set(SICKNESSES) - {"texture sticking", "converged"} <= set(first)
    for found in diagnoses.values():
        assert found == sorted(found, key=lambda finding: -finding.confidence)
        for finding in found:
            assert finding.name in SICKNESSES and 0.5 <= finding.confidence <= 0.99
            assert any(c.isdigit() for c in finding.evidence) and finding.evidence.endswith(".")
            assert finding.advice.endswith(".") and "\n" not in str(finding)


def test_a_recorded_run_is_handed_to_learners_as_lists_and_pictures():
    stats, samples = recorded_run(LETTERS[0])
    assert isinstance(samples, np.ndarray) and samples.dtype == np.uint8
    assert samples.shape[1:] == (N, SIZE, SIZE, 3) and len(samples) >= symptoms.SETTLED
    assert {"step", "kimg", "loss_D", "loss_G", "logits_real", "logits_fake"} <= set(stats)
    assert len({len(values) for values in stats.values()}) == 1 and len(stats["step"]) >= LONG
    assert recorded_reals(LETTERS[0]).shape[1:] == (SIZE, SIZE, 3)
    with pytest.raises(InputError, match="choose one of"):
        recorded_run("zz")


def test_the_folders_do_not_give_the_answers_away():
    files = [path for path in recorded_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    told = " ".join(str(path.relative_to(recorded_folder())) for path in files)
    told += "".join(path.read_text() for path in files if path.suffix in (".json", ".jsonl"))
    for word in (*SICKNESSES, HEALTHY, "lr_", "z_size", "collapse"):
        assert word not in told
    assert all(len(path.parent.name) == 1 for path in recorded_folder().glob("*/config.json"))


def test_the_verb_reads_a_recorded_run(capsys, tmp_path, diagnoses):
    small = min(LETTERS, key=lambda letter: read_config(recorded_folder() / letter)["data"]["count"])
    for letter in (small,):
        report = tmp_path / f"{letter}.json"
        assert main(["diagnose", str(recorded_folder() / letter), "--json", str(report)]) == 0
        said = capsys.readouterr().out
        for finding in diagnoses[letter]:
            assert str(finding) in said
        assert ("Nothing found" in said) == (not diagnoses[letter])
        assert "Not looked for: texture sticking" in said
        assert [each["name"] for each in json.loads(report.read_text())["findings"]] == [f.name for f in diagnoses[letter]]


def test_the_verb_refuses_what_it_cannot_judge(capsys, tmp_path):
    assert main(["diagnose", str(tmp_path)]) == 2
    assert "no training run" in capsys.readouterr().err
    assert main(["diagnose", str(recorded_folder() / LETTERS[0]), "--data", "drawn:7"]) == 2
    assert "other pictures than drawn:7" in capsys.readouterr().err


# -- constructed cases


def test_faces_as_good_as_real_ones_raise_nothing(reals, people):
    assert names(still_learning(people), reals, level()) == []
    assert names(still_learning(people), None, level()) == []


@pytest.mark.parametrize("seed", range(8))
def test_other_people_and_fewer_real_pictures_raise_nothing_either(seed):
    samples = still_learning(drawn(N, SIZE, 100 + seed).images, seed=seed)
    assert names(samples, drawn(40, SIZE, 200 + seed).images, level()) == []


def test_one_face_is_mode_collapse_in_any_light(reals, people):
    one = people[:1].expand(N, -1, -1, -1)
    tints = torch.randint(-60, 60, (N, 3, 1, 1), generator=torch.Generator().manual_seed(1))
    for pictures in (one, (one + tints).clamp(0, 255).to(torch.uint8)):
        for known in (reals, None):
            assert names(still_learning(pictures), known)[:1] == ["mode collapse"]


def test_a_few_faces_are_partial_collapse_and_the_evidence_counts_them(reals, people):
    few = people[torch.arange(N) % 5]
    (finding,) = diagnose_run([], still_learning(few), reals=reals)
    assert finding.name == "partial collapse" and "about 6 different faces" in finding.evidence  # 50 of 300 pairs


def test_pale_faces_are_not_called_alike(reals, people):
    pale = (people.float() * 0.15 + 110).to(torch.uint8).expand(6, -1, -1, -1, -1)
    assert not {"mode collapse", "partial collapse"} & set(names(pale, reals))


def test_copies_are_memorisation_and_not_partial_collapse(reals):
    few = reals[:8]
    copies = few[torch.arange(N) % 8].clone()
    copies[::2] = copies[::2].flip(3)
    assert names(still_learning(copies), few) == ["memorisation"]


def test_a_cast_is_named_with_its_direction(reals, people):
    warm = people + torch.tensor([40, 0, -40]).view(3, 1, 1)
    (finding,) = diagnose_run([], still_learning(warm), reals=reals)
    assert finding.name == "colour shift" and "yellower" in finding.evidence
    (finding,) = diagnose_run([], still_learning(people * 0.55), reals=reals)
    assert finding.name == "colour shift" and "darker" in finding.evidence


def test_drops_are_named_wherever_they_are(reals, people):
    generator = torch.Generator().manual_seed(2)
    wet = people.clone()
    for picture in wet:
        y, x = torch.randint(2, SIZE - 4, (2,), generator=generator).tolist()
        picture[:, y : y + 3, x : x + 3] = torch.tensor([40, 250, 240], dtype=torch.uint8).view(3, 1, 1)
    assert names(still_learning(wet), reals) == ["droplet artefacts"]


def test_colours_that_come_and_go_are_oscillation_and_learning_is_not(reals):
    others = torch.stack([drawn(N, SIZE, 50 + i).images for i in range(6)])  # every snapshot shows other people
    assert "oscillation" not in names(others, reals)
    swing = torch.tensor([50, 10, -50]).view(3, 1, 1) * torch.tensor([-1, 1] * 3).view(6, 1, 1, 1, 1)
    assert names((others + swing).clamp(0, 255).to(torch.uint8), reals) == ["oscillation"]


def test_standing_still_is_converged_only_if_nothing_is_wrong(reals, people):
    still = people.expand(6, -1, -1, -1, -1)
    assert names(still, reals, level()) == ["converged"]
    assert names(still, reals, level(real=9.0, fake=-9.0)) == ["discriminator won"]


@pytest.mark.parametrize(("loss", "real", "fake", "name"), [
    ("bce", 9.0, -8.0, "discriminator won"), ("bce", 2.0, -2.0, None), ("bce", 0.0, 0.0, "generator won"),
    ("bce", 0.0, 4.0, "generator won"), ("logistic", 0.4, -0.3, None), ("lsgan", 1.5, -0.5, "discriminator won"),
    ("hinge", 9.0, -2.9, "discriminator won"), ("hinge", 1.0, -1.0, None), ("relativistic", 0.2, -0.2, None),
    ("relativistic", 8.0, -2.0, "discriminator won"), ("wgan-gp", 90.0, -90.0, None),
])  # fmt: skip
def test_who_has_won_is_told_by_what_the_numbers_mean(people, loss, real, fake, name):
    stats = level(real=real, fake=fake)
    samples = still_learning(people)
    assert names(samples, None, stats, loss=loss) == ([name] if name else [])
    assert names(samples, None, stats[: LONG - 1], loss=loss) == [], "too early to tell"


def test_nothing_is_said_of_the_first_snapshots(reals, people):
    grey = torch.full((symptoms.SETTLED - 1, N, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    assert names(grey, reals) == []
    assert names(torch.cat([grey, grey[:1]]), reals)[:1] == ["mode collapse"]


def test_confidence_grows_from_the_threshold_to_what_was_recorded():
    for scale in (symptoms.TWIN_PART, symptoms.G_WON, symptoms.COPIED):
        assert scale.raised(scale.sick) and not scale.raised(2 * scale.alarm - scale.sick)
        assert scale.confidence(scale.alarm) == 0.5 and scale.confidence(scale.sick) == 0.95
        assert scale.confidence(scale.sick + 9 * (scale.sick - scale.alarm)) == 0.99


@pytest.mark.parametrize("shape", [(4, 25, 3, 8, 8), (4, 7, 3, 32, 32), (4, 25, 1, 32, 32), (25, 3, 32, 32)])
def test_samples_of_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="samples must be"):
        diagnose_run([], torch.zeros(shape, dtype=torch.uint8))


# -- texture sticking


@pytest.mark.parametrize("run, found", [("stylegan2", ["texture sticking"]), ("stylegan3-t", [])])
def test_the_recorded_stylegan2_sticks_and_the_recorded_stylegan3_is_healthy(run, found, tmp_path, capsys):
    folder, report = recorded_folder().with_name("sick_styles") / run, tmp_path / "found.json"
    assert main(["diagnose", str(folder), "--json", str(report)]) == 0
    said = json.loads(report.read_text())
    assert [finding["name"] for finding in said["findings"]] == found and not said["not looked for"]
    assert ("Nothing found" in capsys.readouterr().out) == (not found)


def test_texture_sticks_in_the_shipped_stylegan2_and_not_in_stylegan3(people):
    stuck, free = (interpolations(load(WEIGHTS / f"{name}.safetensors").G.eval()) for name in ("stylegan2-64", "stylegan3r-64"))
    assert sticking(stuck) > symptoms.STUCK.alarm > sticking(free)
    samples = still_learning(people)
    assert names(samples, strip=stuck) == ["texture sticking"] and names(samples, strip=free) == []


def test_sticking_is_what_a_fixed_texture_over_moving_shapes_gives():
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(64, 64, generator=generator)
    shapes = torch.nn.functional.interpolate(torch.rand(1, 1, 16, 16, generator=generator) * 4, size=64, mode="bicubic")[0, 0]
    moves = [(int(4 * math.sin(i)), int(4 * math.cos(2 * i))) for i in range(16)]
    fixed = torch.stack([shapes.roll(move, (0, 1)) + texture for move in moves])
    moving = torch.stack([(shapes + texture).roll(move, (0, 1)) for move in moves])
    fixed, moving = (x[None, :, None].expand(-1, -1, 3, -1, -1) for x in (fixed, moving))
    assert sticking(fixed) > 1.2 and sticking(moving) < 0.7


# -- in training


def training(tmp_path, pictures=64, stop_at=None, **settings):
    images = drawn(pictures, SIZE, 1).images
    faces = Faces(images, None, "drawn", content_hash(images))
    start = {"image_size": SIZE, "conv_dim": 8, "z_size": 8, "batch": 8, "kimg": 0.96, "ema_kimg": 0.0, "precision": "float32"}
    config = TrainConfig(**(start | settings))
    return fit(
        dcgan_from(config), faces, tmp_path, snap_kimg=0.16, samples=9, log_every=1, progress=False, stop_at=stop_at,
        on_snapshot=RunWatch(faces.images, config.loss),
    )  # fmt: skip


def test_a_discriminator_that_wins_is_named_once_while_it_trains(tmp_path, capsys):
    training(tmp_path, lr_D=5e-3, lr_G=1e-6)
    said = capsys.readouterr().out
    assert said.count("discriminator won") == 1 and "Try: lower D's learning rate" in said
    lines = [json.loads(line) for line in (tmp_path / "alarms.jsonl").read_text().splitlines()]
    won = [line for line in lines if line["name"] == "discriminator won"]
    assert len(won) >= 2 and won[-1]["step"] == 120 and 0.5 <= won[-1]["confidence"] <= 0.99
    assert main(["diagnose", str(tmp_path)]) == 0
    assert "discriminator won" in capsys.readouterr().out


def test_a_resumed_run_remembers_what_its_pictures_were(tmp_path, monkeypatch):
    settings = {"lr_D": 5e-3, "lr_G": 1e-6}
    training(tmp_path / "whole", **settings)
    training(tmp_path / "parts", **settings, stop_at=70)
    training(tmp_path / "parts", **settings)
    whole, parts = ((tmp_path / name / "alarms.jsonl").read_text() for name in ("whole", "parts"))
    assert whole == parts and whole


def test_a_watch_changes_nothing_in_a_run_and_costs_little(tmp_path, reals):
    watch = RunWatch(reals)
    before = torch.get_rng_state()
    symptoms.Look.at(reals[:64])
    assert torch.equal(before, torch.get_rng_state())
    assert RunWatch(None).real is None and RunWatch(reals[:1]).real is None and watch.real is not None
