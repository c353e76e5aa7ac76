"""The search over the DCGAN's settings: the same after any interruption, really pruned, honestly tested."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from markupsafe import escape

from facegen.__main__ import main
from facegen.config import TrainConfig
from facegen.data.packed import Faces
from facegen.evaluation import search as searching
from facegen.evaluation import trials as running
from facegen.evaluation.features import Protocol
from facegen.evaluation.search import (
    SPACE,
    Axis,
    Confirmation,
    Found,
    Score,
    Tried,
    as_dict,
    check_space,
    search,
    settings_of,
    train_and_test,
    verdict,
)
from facegen.files import InputError, locked
from facegen.models import pretrained
from facegen.show.search import charts, columns, line, notes, table, write_report
from facegen.training.fit import Interrupted, TrainingError, fit
from facegen.training.runs import read_stats
from facegen.training.steps import dcgan_from
from tests.conftest import make_faces

optuna = pytest.importorskip("optuna")

# The default learns next to nothing, so that there is something to find.
BASE = TrainConfig(image_size=32, z_size=8, conv_dim=4, batch=8, kimg=0.064, lr_G=1e-5, lr_D=1e-5, precision="float32")
AXES = (
    Axis("loss", ("bce", "hinge", "wgan-gp")),
    Axis("norm_D", ("batch", "instance")),
    Axis("smooth", (False, True)),
    Axis("lr_G", low=1e-6, high=5e-2, log=True),
    Axis("beta1", low=0.0, high=0.9),
    Axis("batch", (4, 8)),
)
OPTIONS = {"axes": AXES, "trials": 9, "rungs": 4, "samples": 16, "confirm": 2, "progress": False}


class Averages:
    """Features that take no time: the mean colours of 4 x 4 places."""

    name, hash, resize, side, dims = "averages", "000000000000", "clean", 4, 48
    calls = 0

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 4).flatten(1)

    def __str__(self) -> str:
        return "averages 000000000000, clean resizing to 4 px"

    def score(self, metric: str) -> str:
        return f"{metric}-averages"


@pytest.fixture(scope="module")
def pictures() -> Faces:
    return dataclasses.replace(make_faces(64), name="<b>smooth</b>\x1b[2J")


@pytest.fixture(scope="module")
def straight(pictures, tmp_path_factory) -> Found:
    return search(pictures, BASE, tmp_path_factory.mktemp("straight") / "a {b}%41?", Averages(), **OPTIONS)


def essence(found: Found) -> list:
    """What does not depend on the clock."""
    return [(trial.index, trial.state, dict(trial.values), trial.config, trial.curve) for trial in found.trials]


def sound(database: Path) -> bool:
    connection = sqlite3.connect(database)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


# -------------------------------------------------------------------------------------------------------- searching


def test_the_default_comes_first_and_the_best_is_tested_on_pictures_that_the_search_never_saw(straight, pictures):
    assert len(straight.trials) == 9 and straight.interrupted == 0
    default, best = straight.trials[0], straight.best
    assert default.config == BASE and default.state == "finished"
    assert best.index > 0 and best.score == min(trial.score for trial in straight.finished)
    assert all(trial.config.kimg == BASE.kimg and trial.config.seed == 0 for trial in straight.trials)
    first, second = train_and_test(pictures)
    assert straight.protocol.data == first.content_hash and straight.protocol.real == 32
    test = straight.confirmation
    assert test.seeds == (1, 2) and test.protocol.data == second.content_hash
    rows = {tuple(row.tolist()) for row in first.images.flatten(1)} & {tuple(row.tolist()) for row in second.images.flatten(1)}
    assert not rows and len(first) + len(second) == len(pictures)
    for name, config, scores in (("default", BASE, test.default), ("best", best.config, test.best)):
        for seed, score in zip(test.seeds, scores):
            loaded = pretrained.load(straight.outdir / "confirm" / f"{name}-seed{seed}" / "network.safetensors")
            assert loaded.info["config"] == dataclasses.asdict(dataclasses.replace(config, seed=seed))
            judge = Score(second, Averages(), 16, straight.outdir / "features")
            assert judge(loaded.G) == pytest.approx(score, rel=1e-9)


def test_pruning_ends_just_those_runs_that_are_worse_than_the_median_was(straight):
    pruned = [trial for trial in straight.trials if trial.state == "pruned"]
    assert pruned and len(straight.finished) > searching.FULL_TRIALS - 1
    for trial in straight.trials:
        done = [other for other in straight.finished if other.index < trial.index]
        steps = read_stats(straight.outdir / "trials" / f"{trial.index:03d}" / "stats.jsonl")[-1]["step"]
        assert (steps < trial.config.steps) == (trial.state == "pruned")
        for look, (kimg, _) in enumerate(trial.curve[:3]):
            # Optuna holds the best score so far against the median of the finished trials at the same look.
            best = min(value for _, value in trial.curve[: look + 1])
            worse = len(done) >= 4 and best > statistics.median(other.curve[look][1] for other in done)
            assert worse == (trial.state == "pruned" and look == len(trial.curve) - 1)
            assert kimg == pytest.approx(BASE.kimg * (look + 1) / 4)


def test_a_search_that_was_interrupted_everywhere_ends_like_one_that_was_not(straight, pictures, tmp_path, monkeypatch):
    names = ["001"]

    def broken_off(method, faces, folder, **options):
        if folder.name in names:
            fit(method, faces, folder, **options, stop_at=5)  # a checkpoint after the third of eight or more steps
            raise Interrupted("interrupted at step 5")
        return fit(method, faces, folder, **options)

    class Impatient(Averages):
        def __call__(self, pictures):
            if self.calls == 7:
                raise KeyboardInterrupt
            return super().__call__(pictures)

    def undecided(trial, base, axes):
        trial.suggest_categorical("loss", AXES[0].values)  # torn between two settings of a proposal
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "fit", broken_off)
        with pytest.raises(Interrupted):
            search(pictures, BASE, tmp_path, Averages(), **OPTIONS)
    with pytest.raises(KeyboardInterrupt):  # between a snapshot and its score
        search(pictures, BASE, tmp_path, Impatient(), **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(searching, "_suggested", undecided)
        with pytest.raises(KeyboardInterrupt):
            search(pictures, BASE, tmp_path, Averages(), **OPTIONS)
    names[:] = ["best-seed2"]
    with monkeypatch.context() as patch:
        patch.setattr(running, "fit", broken_off)
        with pytest.raises(Interrupted):
            search(pictures, BASE, tmp_path, Averages(), **OPTIONS)
    features = Averages()
    found = search(pictures, BASE, tmp_path, features, **OPTIONS)
    assert essence(found) == essence(straight) and found.interrupted >= 3
    for name in ("default", "best", "floor", "protocol"):
        assert getattr(found.confirmation, name) == getattr(straight.confirmation, name)
    assert features.calls == 1 and sound(tmp_path / "study.db")  # of the last run's end; all else was known


def test_trials_can_be_added_and_what_is_finished_is_not_trained_again(straight, pictures, tmp_path, monkeypatch):
    shutil.copytree(straight.outdir, tmp_path / "copy")
    trained, reported = [], []

    def counted(method, faces, folder, **options):
        trained.append(folder.name)
        return fit(method, faces, folder, **options)

    monkeypatch.setattr(running, "fit", counted)
    same = search(pictures, BASE, tmp_path / "copy", Averages(), on_trial=reported.append, **OPTIONS)
    assert not trained and not reported and essence(same) == essence(straight)
    more = search(pictures, BASE, tmp_path / "copy", Averages(), on_trial=reported.append, **OPTIONS | {"trials": 10})
    assert trained[0] == "009" and len(reported) == 1 and essence(more)[:9] == essence(straight)
    fewer = search(pictures, BASE, tmp_path / "copy", Averages(), **OPTIONS | {"trials": 2})
    assert len(fewer.trials) == fewer.planned == 10


def test_best_json_holds_what_trains_the_same_network_to_the_same_score(straight, pictures, tmp_path):
    told = json.loads((straight.outdir / "best.json").read_text(encoding="utf-8"))
    config = TrainConfig(**told["settings"])
    method = dcgan_from(config)
    first, _ = train_and_test(pictures)
    fit(method, first, tmp_path / "again", samples=16, progress=False)
    score = Score(first, Averages(), told["protocol"]["fake"], tmp_path / "features")
    assert dataclasses.asdict(score.protocol) == told["protocol"]
    assert score(pretrained.load(tmp_path / "again" / "network.safetensors").G) == pytest.approx(told["score"], rel=1e-9)
    assert told["changed"] == {k: v for k, v in told["settings"].items() if v != getattr(BASE, k)} != {}
    assert told["confirmation"]["verdict"] == verdict(straight) and told["confirmation"]["gain"] == straight.confirmation.gain


def test_a_trial_that_diverges_counts_as_one_and_the_others_go_on(pictures, tmp_path, monkeypatch):
    def diverging(method, faces, folder, **options):
        if folder.name in ("001", "default-seed1"):
            raise TrainingError("training stopped at step 3: loss_D is not finite")
        return fit(method, faces, folder, **options)

    monkeypatch.setattr(running, "fit", diverging)
    found = search(pictures, BASE, tmp_path, Averages(), **OPTIONS | {"trials": 3, "confirm": 1})
    assert [trial.state for trial in found.trials] == ["finished", "failed", "finished"]
    assert found.trials[1].score is None and "loss_D" in found.trials[1].why
    assert any("Trial 1 diverged: training stopped at step 3" in text for text in notes(found))
    assert "diverged, no score" in line(found, found.trials[1]) and table(found)[1][1] == "diverged"
    if found.best.index:
        assert found.confirmation.failed == 1 and "1 of the 2 runs of the test diverged" in verdict(found)
        assert as_dict(found)["confirmation"]["gain"] is None
    assert write_report(found, tmp_path).exists()


# ------------------------------------------------------------------------------------------------------- the command


COMMAND = ("--data=drawn:24", "--trials=3", "--kimg=0.064", "--image-size=32", "--samples=8", "--scores=2", "--confirm=0")
NARROW = ("--space=lr_D", "--among=z_size=4,8", "--among=lr_G=1e-6..1e-2", "--device=cpu")
FIXED = ("--set=conv_dim=4", "--set=z_size=8", "--set=batch=16", "--set=lr_G=1e-6", "--set=precision=float32")


def test_a_search_that_was_killed_goes_on_by_the_same_command(tmp_path, capsys):
    outdir = tmp_path / "found"
    words = ["search", *COMMAND, *NARROW, *FIXED, f"--outdir={outdir}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    child = subprocess.Popen([sys.executable, "-m", "facegen", *words], env=environment, stdout=subprocess.DEVNULL)
    try:
        while not (outdir / "trials" / "001" / "config.json").exists():
            assert child.poll() is None
            time.sleep(0.01)
    finally:
        child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        child.wait()
    assert sound(outdir / "study.db")
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "trial/s" not in err and "score/s" not in err  # no progress bar where nobody watches
    assert "trial 2 of 3: " in out and "has not been confirmed" in out and "done: " in out
    rows = list(csv.DictReader((outdir / "trials.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2"] and rows[0]["lr_G"] == "1e-06"
    assert set(rows[0]) >= {"lr_G", "lr_D", "z_size", "score", "state"}
    study = optuna.load_study(study_name=searching.STUDY, storage=f"sqlite:///{outdir / 'study.db'}")
    states = [trial.state.name for trial in study.trials]
    assert states.count("FAIL") == 1 and len(states) == 4 and "RUNNING" not in states
    assert sound(outdir / "study.db") and (outdir / "index.html").exists()
    assert {path.name for path in (outdir / "plots").glob("*.png")} >= {"history.png", "curves.png", "slices.png"}
    told = json.loads((outdir / "best.json").read_text(encoding="utf-8"))
    assert told["metric"].startswith("KID-lite0") and told["settings"]["conv_dim"] == 4

    capsys.readouterr()
    assert main([*words, "--set=slope=0.1"]) == 2
    assert "with --set slope=0.2, not 0.1" in one_line(capsys)


def one_line(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--space=hats"], "'hats' is not known"),
        (["--space=slope", "--set=slope=0.1"], "held fixed by --set"),
        (["--space=", "--kimg=1"], "nothing to search"),
        (["--set=hats=1"], "no setting 'hats'"),
        (["--set=slope"], "give NAME=VALUE"),
        (["--set=kimg=1"], "give --kimg"),
        (["--set=slope=steep"], "'steep' is no value for slope"),
        (["--among=conv_dim=64,two"], "'two' is no value for conv_dim"),
        (["--among=conv_dim=8,16"], "the default 64 is not in its range"),
        (["--among=lr_G=1e-3..1e-5"], "the lower one first"),
        (["--among=loss=bce..hinge"], "give numbers"),
        (["--among=loss=bce,love"], "love"),
        (["--among=norm_G=batch,felt"], "felt"),
        (["--among=mirror=0,1"], "cannot be searched"),
        (["--space=lr_G", "--kimg=0.1"], "makes 1.56 steps of 64 pictures"),
        (["--space=lr_G", "--kimg=-1"], "kimg=-1"),
        (["--space=lr_G", "--image-size=48"], "--image-size=48"),
        (["--space=lr_G", "--data=nowhere"], "nowhere"),
        (["--space=lr_G", "--data=drawn:9"], "holds half out"),
        (["--space=lr_G", "--samples=3"], "--samples 3: give at least 8"),
        (["--space=lr_G", "--trials=0"], "--trials 0"),
        (["--space=lr_G", "--confirm=-1"], "--confirm -1"),
        (["--space=lr_G", "--scores=0"], "--scores 0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, words, tmp_path, capsys):
    given = {"--kimg": "1", "--data": "drawn:32", "--image-size": "32"} | dict(flag.split("=", 1) for flag in flags)
    several = [flag for flag in flags if flag.startswith(("--set", "--among"))]
    known = [f"{name}={value}" for name, value in given.items() if name not in ("--set", "--among")]
    assert main(["search", *known, *several, "--device=cpu", f"--outdir={tmp_path / 'out'}"]) == 2
    assert words in one_line(capsys)
    assert not (tmp_path / "out" / "study.db").exists() and not (tmp_path / "out" / "trials").exists()


def test_without_optuna_one_line_says_so(tmp_path, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"needs Optuna, which is not installed: pip install optuna"):
        search(pictures, BASE, tmp_path / "out", Averages(), **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_in_use_damaged_or_of_something_else_is_refused(straight, pictures, tmp_path):
    def refused(folder, words, faces=pictures, base=BASE, **changed):
        with pytest.raises(InputError, match=words) as caught:
            search(faces, base, folder, Averages(), **OPTIONS | changed)
        assert "\n" not in str(caught.value)

    kept = straight.outdir
    refused(kept, "on other pictures", faces=make_faces(64, seed=1))
    refused(kept, "with --samples=16, not 17", samples=17)
    refused(kept, "with --kimg=0.064, not 0.128", base=dataclasses.replace(BASE, kimg=0.128))
    refused(kept, "with --among beta1=0 to 0.9, not None", axes=AXES[:4])
    with locked(kept, "facegen search"):
        refused(kept, r"is in use \(facegen search, process")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    refused(tmp_path / "full", "not empty and holds no search")
    refused(tmp_path / "small", "holds half out", faces=make_faces(12))
    refused(tmp_path / "large", "32x32", base=dataclasses.replace(BASE, image_size=64))


def sql(text):
    """What a statement does to a study."""

    def change(folder):
        connection = sqlite3.connect(folder / "study.db")
        connection.executescript(text)
        connection.commit()
        connection.close()

    return change


def torn(part):
    def change(folder):
        path = folder / "study.db"
        path.write_bytes(part(path.read_bytes()))

    return change


NOTES = "trial_user_attributes"
DAMAGE = {
    "empty text": torn(lambda data: b"no database at all, but long enough to be read as one" * 100),
    "half": torn(lambda data: data[: len(data) // 2]),
    "torn at the end": torn(lambda data: data[:5000] + b"?" * 20000),
    "header": torn(lambda data: b"?" * 16 + data[16:]),
    "zeros inside": torn(lambda data: data[:4096] + b"\0" * 8192 + data[12288:]),
    "noise inside": torn(lambda data: data[:8192] + bytes(range(256)) * 32 + data[16384:]),
    "another's database": torn(lambda data: sqlite_of("CREATE TABLE letters (text)")),
    "no table of trials": sql("DROP TABLE trials"),
    "no table of scores": sql("DROP TABLE trial_intermediate_values"),
    "no table of values": sql("DROP TABLE trial_values"),
    "strange state": sql("UPDATE trials SET state = 'TIRED'"),
    "strange setting": sql("UPDATE trial_params SET distribution_json = '{'"),
    "no notes": sql(f"DELETE FROM {NOTES}"),
    "notes that are no JSON": sql(f"UPDATE {NOTES} SET value_json = '{{'"),
    "notes that are numbers": sql(f"UPDATE {NOTES} SET value_json = '3'"),
    "no settings": sql(f"DELETE FROM {NOTES} WHERE key = 'config'"),
    "unknown setting": sql(f"""UPDATE {NOTES} SET value_json = '{{"hats": 1}}' WHERE key = 'config'"""),
    "impossible setting": sql(f"""UPDATE {NOTES} SET value_json = '{{"batch": "x"}}' WHERE key = 'config'"""),
    "no seconds": sql(f"DELETE FROM {NOTES} WHERE key = 'seconds'"),
    "no places of scores": sql(f"DELETE FROM {NOTES} WHERE key LIKE 'kimg%'"),
    "no scores": sql("DELETE FROM trial_intermediate_values"),
    "no end score": sql("DELETE FROM trial_values"),
    "about a list": sql("UPDATE study_user_attributes SET value_json = '[1]'"),
    "about nothing": sql("UPDATE study_user_attributes SET value_json = '{}'"),
    "about half": sql("""UPDATE study_user_attributes SET value_json = '{"data": "x", "space": 3}'"""),
    "test without a score": sql("""UPDATE study_user_attributes SET value_json = '{"run": {}}' WHERE key LIKE '%seed1'"""),
}


def sqlite_of(text):
    connection = sqlite3.connect(":memory:")
    connection.execute(text)
    return connection.serialize()


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_to_a_search_is_one_line_that_names_the_file(kind, straight, pictures, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(straight.outdir, folder)
    DAMAGE[kind](folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as caught:
        search(pictures, BASE, folder, Averages(), **OPTIONS)
    assert "\n" not in str(caught.value) and f"{folder / 'study.db'} is damaged, or no study" in str(caught.value)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(after) == set(before)


# ---------------------------------------------------------------------------------------------------------- the space


def test_every_part_of_the_usual_space_makes_a_network():
    check_space(TrainConfig(kimg=1), SPACE, 4)
    assert {axis.name for axis in SPACE} <= {field.name for field in dataclasses.fields(TrainConfig)}


def test_what_a_loss_does_not_go_with_is_put_right():
    assert settings_of(BASE, {"loss": "wgan-gp", "smooth": True}).norm_D == "instance"
    assert not settings_of(BASE, {"loss": "wgan-gp", "smooth": True}).smooth
    assert settings_of(BASE, {"loss": "wgan-gp", "norm_D": "spectral"}).norm_D == "spectral"
    assert settings_of(BASE, {"loss": "lsgan", "smooth": True, "norm_D": "batch"}).smooth


def test_settings_without_meaning_are_not_asked_for(straight):
    gone = {"wgan-gp": {"norm_D", "smooth"}, "hinge": {"smooth"}, "bce": set()}
    for trial in straight.trials:
        missing = {axis.name for axis in AXES} - set(trial.values)
        assert missing == gone[trial.values["loss"]]
        assert settings_of(BASE, trial.values) == trial.config


# --------------------------------------------------------------------------------------------------------- the verdict


def judged(default, best, index=1) -> Found:
    protocol = Protocol("KID-x", "x", "x", 1, 1, "0", 0)
    test = Confirmation(tuple(range(len(default))), default, best, 1.0, 2.0, protocol, 0.0)
    trials = (Tried(0, "finished", {}, BASE, ((1, 0.5),), 1.0), Tried(1, "finished", {}, BASE, ((1, 1.0 - index),), 1.0))
    return Found(BASE, AXES, trials, 2, 0, protocol, {"name": "x", "count": 2}, test, Path("."))


def test_the_verdict_claims_no_more_than_the_seeds_show():
    clear = judged((0.9, 0.8, 1.0), (0.1, 0.2, 0.3))
    assert clear.confirmation.apart
    assert clear.confirmation.gain == pytest.approx(0.7)
    assert "better than the default by 0.7" in verdict(clear) and "exceeds the spread" in verdict(clear)
    assert "1 of 20" in verdict(clear)
    mixed = judged((0.9, 0.8, 0.2), (0.1, 0.3, 0.25))
    assert not mixed.confirmation.apart and "does not exceed their spread" in verdict(mixed)
    worse = judged((0.1, 0.2), (0.4, 0.5))
    assert "worse than the default by 0.3" in verdict(worse) and "above every run" in verdict(worse)
    assert "says nothing about luck" in verdict(judged((0.9,), (0.1,)))
    failed = judged((0.9, None), (0.1, 0.2))
    assert math.isnan(failed.confirmation.gain) and not failed.confirmation.apart and "1 of the 4 runs" in verdict(failed)
    assert "Nothing better than the default" in verdict(judged((0.9,), (0.1,), index=0))
    assert "not been confirmed" in verdict(dataclasses.replace(clear, confirmation=None))
    assert "No trial came to its end" in verdict(dataclasses.replace(clear, trials=()))


# ------------------------------------------------------------------------------------------------------------- the page


def test_the_page_holds_everything_and_escapes_every_name(straight, tmp_path):
    page = write_report(straight, tmp_path, "facegen search --data='<script>alert(1)</script>'").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;b&gt;smooth&lt;/b&gt;" in page and "<b>smooth" not in page
    assert "\x1b" not in page and "http:" not in page and "https:" not in page and "default-src 'none'" in page
    assert escape(verdict(straight)) in page and page.count("<img") == len(charts(straight)) + 2
    for trial in straight.trials:
        assert f'<th scope="row">{trial.index}</th>' in page
    assert set(charts(straight)) == {"history", "curves", "test", "slices"}
    names = {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert names == set(charts(straight))
    assert columns(straight)[5:] == [axis.name for axis in AXES]
    rows = table(straight)
    assert len(rows) == 9 and all(len(row) == len(columns(straight)) for row in rows)
    assert f"--lr-G={straight.best.config.lr_G}" in page and f"--conv-dim={BASE.conv_dim}" in page
