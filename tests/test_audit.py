"""The audit: shares and tests against closed forms, correction and resampling against known truths, the verb end to end."""

from __future__ import annotations

import csv
import json
import math
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from facegen.__main__ import main
from facegen.data import drawn, load_faces
from facegen.data.packed import Faces, content_hash
from facegen.evaluation import audit as a
from facegen.evaluation.distances import wilson_interval
from facegen.files import InputError
from facegen.models import dcgan
from facegen.models.pretrained import save
from facegen.show.audit import audit_chart, sides, write_audit


def words(**counts):
    return [word for word, count in counts.items() for _ in range(count)]


# ------------------------------------------------------------------------------------------------------- shares and tests


def test_shares_are_counts_with_wilson_intervals_and_keep_what_nobody_has():
    found = a.shares(words(a=3, b=7), ["a", "b", "c"])
    assert [round(s.share, 9) for s in found.values()] == [0.3, 0.7, 0.0]
    assert (found["a"].low, found["a"].high) == wilson_interval(3, 10)
    assert found["c"].low == 0 and found["c"].high > 0.2
    assert list(a.shares(["monk 10", "monk 2"])) == ["monk 2", "monk 10"]
    assert list(a.shares(torch.tensor([3, 3, 1]))) == list(a.shares([3.0, 3, "1"])) == ["1", "3"]


@pytest.mark.parametrize("labels, values, part", [([], None, "no labels"), (["x"], ["y"], "none of y")])
def test_shares_refuse(labels, values, part):
    with pytest.raises(InputError, match=part):
        a.shares(labels, values)


def test_two_proportions_is_pearson_for_large_counts_and_fisher_for_small_ones():
    for x, n, y, m in [(30, 100, 45, 100), (400, 1200, 250, 1000)]:
        expected = stats.chi2_contingency([[x, n - x], [y, m - y]], correction=False)[1]
        assert a.two_proportions(x, n, y, m) == pytest.approx(expected, rel=1e-9)
    for x, n, y, m in [(1, 50, 5, 50), (0, 20, 4, 15), (3, 8, 3, 9)]:
        assert a.two_proportions(x, n, y, m) == pytest.approx(stats.fisher_exact([[x, n - x], [y, m - y]])[1], rel=1e-9)
    assert a.two_proportions(0, 10, 0, 20) == 1.0


def test_attributes_are_tested_by_chi_square_and_by_permutations_where_it_is_sparse():
    real, fake = {"h": words(x=200, y=150, z=50)}, {"h": words(x=240, y=130, z=30)}
    (test,) = a.compare_attributes(real, fake)
    expected = stats.chi2_contingency([[200, 150, 50], [240, 130, 30]], correction=False)
    assert (test.chi_square, test.p) == pytest.approx((expected[0], expected[1])) and not test.exact and test.freedom == 2
    assert test.cramers_v == pytest.approx(math.sqrt(expected[0] / 800))
    (sparse,) = a.compare_attributes({"h": words(x=20, y=1)}, {"h": words(x=10, y=7)})
    assert sparse.exact and sparse.p == pytest.approx(stats.fisher_exact([[20, 1], [10, 7]])[1], abs=0.015)
    (alone,) = a.compare_attributes({"h": ["x"] * 5}, {"h": ["x"] * 5})
    assert alone.p == 1.0 and alone.freedom == 0


def test_newcombe_interval_holds_its_published_value_and_h_its_own():
    # Newcombe 1998, table II, example a: 56/70 - 48/80, method 10.
    low, high = a.difference_interval(48, 80, 56, 70)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert a.cohens_h(1, 0) == pytest.approx(math.pi) and a.cohens_h(0.5, 0.2) == pytest.approx(0.6435, abs=1e-4)


def test_holm_is_stricter_than_p_and_counts_an_attribute_of_two_values_once():
    assert a.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    real = {"two": words(a=50, b=50), "three": words(x=40, y=30, z=30)}
    fake = {"two": words(a=65, b=35), "three": words(x=38, y=31, z=31)}
    rows = a.compare_shares(real, fake, values={"three": ["x", "y", "z", "nobody"]})
    first, second = rows[:2]
    assert first.p == pytest.approx(second.p) and first.adjusted == pytest.approx(second.adjusted) == pytest.approx(4 * first.p)
    assert rows[-1].value == "nobody" and rows[-1].adjusted == 1.0 and not rows[-1].significant
    assert first.difference == pytest.approx(0.15) and first.low < 0.15 < first.high


def test_false_alarms_in_the_whole_table_stay_below_their_rate():
    draws, alarms = np.random.default_rng(0), 0
    for _ in range(200):
        real, fake = ({n: draws.choice(4, 150, p=[0.6, 0.2, 0.15, 0.05]) for n in "abc"} for _ in range(2))
        alarms += any(row.significant for row in a.compare_shares(real, fake))
    assert alarms <= 18  # 5 % of 200 is 10; more than 18 has a chance below 1 %


def test_compare_refuses_other_attributes():
    with pytest.raises(InputError, match="give the same"):
        a.compare_shares({"a": ["x"]}, {"b": ["x"]})
    with pytest.raises(InputError, match="at least one"):
        a.compare_shares({}, {})


# ------------------------------------------------------------------------------------------------ classifier, correction


def blobs(labels, apart=2.0, seed=0):
    """Features [N, 8] whose first number knows the label, more or less."""
    rows = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(seed))
    rows[:, 0] += apart * torch.tensor([float(label == "yes") for label in labels])
    return rows


def test_the_classifier_measures_its_error_on_what_it_has_not_learned_from():
    labels = words(no=300, yes=100)
    judge = a.AttributeClassifier().fit(blobs(labels), labels)
    assert judge.values == ["no", "yes"] and judge.confusion.sum(1).tolist() == [300, 100]
    fresh = words(no=2000, yes=2000)
    said = judge.predict(blobs(fresh, seed=1))
    for value, share in judge.recalls().items():
        true = np.mean([s == value for s, label in zip(said, fresh) if label == value])
        assert share.low - 0.03 < true < share.high + 0.03
    assert judge.error().share == pytest.approx(1 - judge.confusion.trace() / 400)
    chance = a.AttributeClassifier().fit(
        torch.randn(200, 50, generator=torch.Generator().manual_seed(0)), words(no=100, yes=100)
    )
    assert chance.error().share > 0.4  # its training error is far smaller


def test_measured_on_other_pictures_the_error_is_theirs():
    labels = words(no=200, yes=200)
    judge = a.AttributeClassifier().fit(blobs(labels), labels)
    harder = judge.measured_on(blobs(labels, apart=0.5, seed=3), labels)
    assert harder.error().low > judge.error().high and judge.confusion.sum() == harder.confusion.sum()
    with pytest.raises(InputError, match="'yes'"):
        judge.measured_on(blobs(["no"]), ["no"])


@pytest.mark.parametrize(
    "features, labels, part",
    [
        (torch.zeros(3, 2), words(no=4), "one row per label"),
        (torch.zeros(4, 2), words(no=4), "two values"),
        (torch.zeros(9, 2), words(no=6, yes=3), "folds need that many"),
    ],
)
def test_the_classifier_refuses(features, labels, part):
    with pytest.raises(InputError, match=part):
        a.AttributeClassifier().fit(features, labels)


def erring(confusion):
    """A classifier that makes these errors on values called "0", "1", ..."""
    judge = a.AttributeClassifier()
    judge.values, judge.confusion = [str(i) for i in range(len(confusion))], np.array(confusion)
    return judge


def test_the_correction_gives_back_the_share():
    found = a.corrected_share(words(**{"0": 860, "1": 140}), erring([[900, 100], [100, 900]]))
    assert found["1"].share == pytest.approx(0.05) and found["1"].raw == pytest.approx(0.14)
    assert found["1"].low < 0.05 < found["1"].high and sum(s.share for s in found.values()) == pytest.approx(1)
    with pytest.raises(InputError, match="cannot tell"):
        a.corrected_share(["0", "1"], erring([[5, 5], [5, 5]]))


def test_the_interval_is_that_of_error_propagation_where_that_holds():
    n, m, se, sp, p = 2000, 500, 0.85, 0.9, 0.4
    q, youden = p * se + (1 - p) * (1 - sp), se + sp - 1
    deviation = math.sqrt(q * (1 - q) / n + p**2 * se * (1 - se) / m + (1 - p) ** 2 * sp * (1 - sp) / m) / youden
    confusion = np.array([[m * sp, m * (1 - sp)], [m * (1 - se), m * se]]).round().astype(int)
    said = round(q * n)
    found = a.corrected_share(words(**{"0": n - said, "1": said}), erring(confusion))["1"]
    assert (found.high - found.low) / (2 * 1.96 * deviation) == pytest.approx(1, abs=0.05)


def test_the_interval_holds_the_true_shares_as_often_as_it_says_and_the_uncorrected_one_does_not():
    draws, shares, matrix = (
        np.random.default_rng(1),
        np.array([0.7, 0.25, 0.05]),
        np.array([[0.85, 0.1, 0.05], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]]),
    )
    held, raw_held, rounds = np.zeros(3), np.zeros(3), 150
    for i in range(rounds):
        confusion = np.stack([draws.multinomial(size, row) for size, row in zip((300, 120, 60), matrix)])
        labels = np.repeat(np.arange(3), draws.multinomial(800, shares @ matrix))
        for j, (corrected, raw) in enumerate(
            zip(a.corrected_share(labels, erring(confusion), rounds=400, seed=i).values(), a.shares(labels, "012").values())
        ):
            held[j] += corrected.low <= shares[j] <= corrected.high
            raw_held[j] += raw.low <= shares[j] <= raw.high
    assert (held / rounds > 0.89).all() and raw_held[2] / rounds < 0.2


def test_a_network_is_compared_by_what_the_classifier_says_of_both_sides():
    labels = words(no=300, yes=300)
    pictures = torch.zeros(600, 3, 16, 16, dtype=torch.uint8)
    real = a.Labelled(pictures, [], {"g": np.array(labels)}, pictures)
    same, fewer = words(no=500, yes=500), words(no=800, yes=200)

    def seen(fake, seed):
        rows = iter((blobs(labels), blobs(fake, seed=seed)))
        fakes = torch.zeros(len(fake), 3, 16, 16, dtype=torch.uint8)
        return a.audit(real, fakes, labels="l.csv", see=lambda _: next(rows))

    alike = seen(same, 5)
    assert not any(row.significant for row in alike.differences) and not any(test.significant for test in alike.tests)
    yes = seen(fewer, 6).differences[1]
    judge = seen(fewer, 6).judges["g"]
    assert yes.value == "yes" and yes.significant and -0.3 < yes.difference < 0 and yes.real.raw is None
    assert yes.real.share == pytest.approx(np.mean(judge.out_of_fold == "yes"))  # not of what it has learned from
    assert yes.fake.share == pytest.approx(np.mean(judge.predict(blobs(fewer, seed=6)) == "yes"))


# ---------------------------------------------------------------------------------------------------------- resampling


def test_weights_meet_one_target_and_several():
    labels = {"g": words(a=90, b=10), "h": words(x=30, y=70)}
    weights = a.resampling_weights(labels["g"], {"a": 0.5, "b": 0.5})
    assert weights[0] == pytest.approx(50 / 90) and weights[-1] == pytest.approx(5) and weights.sum() == pytest.approx(100)
    assert a.effective_size(weights) == pytest.approx(100**2 / (90 * (50 / 90) ** 2 + 10 * 25))
    mixed = np.array(labels["h"])[np.random.default_rng(0).permutation(100)]
    weights = a.resampling_weights({**labels, "h": mixed}, {"g": {"a": 0.6, "b": 0.4}, "h": {"x": 0.5, "y": 0.5}})
    assert weights[np.array(labels["g"]) == "b"].sum() == pytest.approx(40) and weights[mixed == "x"].sum() == pytest.approx(50)
    dropped = a.resampling_weights(labels["g"], {"a": 0, "b": 1})
    assert dropped[:90].sum() == 0 and dropped[90] == pytest.approx(10)


@pytest.mark.parametrize(
    "target, part",
    [
        ({"a": 0.5, "b": 0.4}, "sums to 0.9"),
        ({"a": 1.0}, "leaves out 'b'"),
        ({"a": 0.4, "b": 0.4, "c": 0.2}, "wants 'c'"),
        ({}, "share for each"),
        ({"a": "half", "b": 0.5}, "a number of 0 to 1"),
    ],
)
def test_weights_refuse_a_target_that_cannot_be(target, part):
    with pytest.raises(InputError, match=part):
        a.resampling_weights(words(a=9, b=1), target)


def test_targets_that_exclude_each_other_are_refused():
    with pytest.raises(InputError, match="target"):
        a.resampling_weights(
            {"g": words(a=5, b=5), "h": words(x=5, y=5)}, {"g": {"a": 0.9, "b": 0.1}, "h": {"x": 0.1, "y": 0.9}}
        )


def test_resampling_takes_each_picture_as_often_as_its_weight_asks():
    weights = a.resampling_weights(words(a=90, b=10), {"a": 0.5, "b": 0.5})
    indices = a.resample(weights, seed=3)
    counts = np.bincount(indices, minlength=100)
    assert len(indices) == 100 and (counts[90:] == 5).all() and set(counts[:90]) == {0, 1} and counts[:90].sum() == 50
    assert (a.resample(weights, seed=3) == indices).all() and (a.resample(weights, seed=4) != indices).any()
    with pytest.raises(InputError, match="weights"):
        a.resample(np.zeros(3))


def test_resampled_faces_are_a_training_set():
    found = drawn(12, 16, seed=0)
    faces = Faces(found.images, None, "drawn", content_hash(found.images), found.attributes, found.landmarks, found.identity)
    more = a.resampled(faces, np.array([0, 0, 5]))
    assert len(more) == 3 and torch.equal(more.images[1], faces.images[0]) and more.content_hash == content_hash(more.images)
    assert more.attributes["glasses"].tolist() == [faces.attributes["glasses"][i].item() for i in (0, 0, 5)]
    assert more.batch([2]).shape == (1, 3, 16, 16)


# -------------------------------------------------------------------------------------------------------------- labels


def test_drawn_labels_are_exact_and_measured_ones_see_the_pixels():
    found = drawn(6, 16, seed=0, weights={"glasses": [0, 0, 0, 1]}, uncanny=1.0)
    labels = a.drawn_labels(found.attributes, ["glasses", "fault_droplets"])
    assert set(labels["glasses"]) == {"sunglasses"} and set(labels["fault_droplets"]) <= {"yes", "no"}
    with pytest.raises(InputError, match="'yaw'"):
        a.drawn_labels(found.attributes, ["yaw"])
    pictures = torch.full((3, 3, 32, 32), 120, dtype=torch.uint8)
    pictures[1, 0] = 250  # red
    pictures[2, :, :4] = 10  # a dark strip above
    pictures[2, :, 12:24, 8:24] = 240
    measured = a.measured_labels(pictures)
    assert measured["colour"].tolist() == ["grey", "colour", "grey"]
    assert measured["background"].tolist()[2] == "dark" and measured["face"].tolist() == ["middle", "middle", "light"]
    with pytest.raises(InputError, match="age"):
        a.measured_labels(pictures, ["age"])


def folder_of(tmp_path, count=12, size=16):
    """Red and blue pictures in a folder, with labels in a CSV."""
    folder = tmp_path / "faces"
    (folder / "sub").mkdir(parents=True)
    with open(tmp_path / "labels.csv", "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "hue", "age"])
        for i in range(count):
            red = i % 4 > 0
            Image.new("RGB", (size, size), (200, 20 + i, 20) if red else (20, 20 + i, 200)).save(folder / "sub" / f"{i}.png")
            lines.writerow([f"{i}.png" if i % 2 else i, "red" if red else "blue", 10 * i])
    return folder, tmp_path / "labels.csv"


def test_labels_are_read_by_name_and_numbers_are_cut(tmp_path):
    folder, path = folder_of(tmp_path)
    Image.new("RGB", (16, 16)).save(folder / "unknown.png")
    found = a.labelled_faces(folder, a.read_labels(path, ["hue", "age@30@60.5"]), 16)
    assert found.images.shape == (12, 3, 16, 16) and found.unlabelled == 1
    by_name = dict(zip(found.names, found.labels["age@30@60.5"]))
    assert (
        by_name["sub/2.png"] == "below 30" and by_name["sub/3.png"] == "30 to 60.5" and by_name["sub/7.png"] == "60.5 and above"
    )
    for names, part in [(["nose"], "has hue, age"), (["hue@3"], "no number"), (["age@9@3"], "must rise")]:
        with pytest.raises(InputError, match=part):
            a.read_labels(path, names)
    with pytest.raises(InputError, match="cannot be read"):
        a.read_labels(tmp_path / "none.csv", ["hue"])
    with pytest.raises(InputError, match="none of its pictures"):
        a.labelled_faces(folder, {"hue": {"other": "red"}}, 16)


# ------------------------------------------------------------------------------------------------------------ the verb


def error(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_the_verb_resamples_a_folder_and_what_comes_out_has_the_target(tmp_path, capsys):
    folder, path = folder_of(tmp_path)
    target = tmp_path / "target.json"
    target.write_text('{"hue": {"red": 0.5, "blue": 0.5}}')
    words = ["audit", f"--data={folder}", f"--labels={path}", "--attributes=hue", f"--resample={target}"]
    assert main([*words, f"--out={tmp_path / 'even'}"]) == 0
    assert "written" in capsys.readouterr().out
    again = a.labelled_faces(tmp_path / "even", a.read_labels(tmp_path / "even-labels.csv", ["hue"]), 16)
    assert {v: s.share for v, s in a.shares(again.labels["hue"]).items()} == {"blue": 0.5, "red": 0.5}
    assert (again.images[again.labels["hue"] == "red"][:, 0] == 200).all() and len(
        load_faces(tmp_path / "even", 16, cache=False)
    ) == 12
    assert main([*words, f"--out={tmp_path / 'even.zip'}", "--count=20"]) == 0
    with zipfile.ZipFile(tmp_path / "even.zip") as file:
        assert len(file.namelist()) == len(set(file.namelist())) == 20
    capsys.readouterr()
    assert main([*words, f"--out={tmp_path / 'even'}"]) == 2 and "not empty" in error(capsys)


def test_a_damaged_picture_among_good_ones_is_named(tmp_path, capsys):
    folder, path = folder_of(tmp_path)
    (folder / "torn.png").write_bytes(next(folder.rglob("*.png")).read_bytes()[:60])
    words = ["audit", f"--data={folder}", f"--labels={path}", "--attributes=hue", "--image-size=16"]
    assert main([*words, f"--outdir={tmp_path / 'out'}"]) == 0 and "torn.png" in capsys.readouterr().err


def test_the_verb_counts_data_alone(tmp_path, capsys):
    folder, path = folder_of(tmp_path)
    words = ["audit", f"--data={folder}", f"--labels={path}", "--attributes=hue,age@50", "--image-size=16"]
    assert main([*words, f"--outdir={tmp_path / 'out'}"]) == 0
    found = json.loads((tmp_path / "out/audit.json").read_text())["shares"]
    assert found["hue"]["red"]["share"] == 0.75 and found["age@50"]["below 50"]["share"] == pytest.approx(5 / 12)
    assert found["hue"]["red"]["raw"] is None and "75.0%" in capsys.readouterr().out
    assert main(["audit", "--data=drawn:30", "--labels=drawn", "--attributes=hat", f"--outdir={tmp_path / 'drawn'}"]) == 0
    assert list(json.loads((tmp_path / "drawn/audit.json").read_text())["shares"]["hat"]) == ["none", "beanie", "brim"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    torch.manual_seed(0)
    save(path, dcgan.Generator(8, 8, 32))
    return path


def test_the_verb_audits_a_network_with_measured_labels(network, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["audit", f"--network={network}", "--data=drawn:40", "--labels=measured", "--attributes=colour,background"]
    assert main([*words, "--samples=30", f"--outdir={out}", "--device=cpu"]) == 0
    assert {p.name for p in out.iterdir()} == {"audit.json", "audit.txt", "shares.png", "index.html"}
    facts = json.loads((out / "audit.json").read_text())
    assert (
        facts["protocol"]["real"] == 40 and facts["protocol"]["fake"] == 30 and len(facts["protocol"]["network_sha256"]) == 64
    )
    real = next(d for d in facts["differences"] if d["value"] == "colour")["real"]
    assert (
        real["share"] == np.mean(a.measured_labels(load_faces("drawn:40", 32).images)["colour"] == "colour")
        and real["raw"] is None
    )
    text = capsys.readouterr().out
    assert "Cramér" in text


def mean_colours(pictures):
    """Features that cost nothing: the mean colours of 4 x 4 parts."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures.float(), 4).flatten(1)


def test_the_verb_lets_a_classifier_judge_both_sides_and_says_how_wrong_it_is(network, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("facegen.evaluation.features.load_features", lambda *_: mean_colours)
    words = ["audit", "--labels=drawn", "--attributes=hat,expression", "--device=cpu"]
    assert main([*words, f"--network={network}", "--data=drawn:150", "--samples=30", f"--outdir={tmp_path / 'a'}"]) == 0
    facts = json.loads((tmp_path / "a/audit.json").read_text())
    exact = a.drawn_labels(load_faces("drawn:150", 32).attributes, ["hat"])["hat"]
    confusion = np.array(facts["classifiers"]["hat"]["confusion"])
    none = next(i for i, d in enumerate(facts["classifiers"]["hat"]["values"]) if d == "none")
    by_value = {d["value"]: d for d in facts["differences"] if d["attribute"] == "hat"}
    assert confusion.sum() == 150 and confusion.sum(1)[none] == (exact == "none").sum()
    assert by_value["none"]["real"]["share"] == pytest.approx(confusion.sum(0)[none] / 150)
    wrong = facts["classifiers"]["hat"]["error"]
    assert wrong["share"] == pytest.approx(1 - confusion.trace() / 150) and list(facts["classifiers"]) == ["hat", "expression"]
    assert f"{wrong['share']:.1%}" in capsys.readouterr().out and any("no number can check" in note for note in facts["notes"])


@pytest.mark.parametrize(
    "flags, part",
    [
        (["--data=x", "--labels=drawn", "--outdir=o"], "not drawn"),
        (["--data=drawn:9", "--labels=l.csv", "--outdir=o"], "--labels=drawn"),
        (["--data=drawn:9", "--labels=drawn"], "--outdir"),
        (["--data=drawn:9", "--labels=drawn", "--resample=t.json"], "belong together"),
        (["--data=drawn:9", "--labels=drawn", "--outdir=o", "--network=a", "--images=b"], "either --network"),
        (["--data=drawn:9", "--labels=drawn", "--outdir=o", "--samples=1", "--images=x"], "x"),
        (["--data=drawn:9", "--labels=drawn", "--resample=none.json", "--out=o"], "cannot be read"),
    ],
)
def test_the_verb_refuses_in_one_line(flags, part, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "--attributes=glasses", *flags]) == 2
    assert part in error(capsys) and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error:Glyph")  # a warning would print it
def test_escape_codes_of_labels_reach_neither_terminal_nor_page(tmp_path, capsys):
    """A CSV can hold anything: a label that clears the screen is printed as what it is."""
    folder, path = folder_of(tmp_path)
    path.write_text(path.read_text().replace("red", "\x1b[2Jred"))
    words = ["audit", f"--data={folder}", f"--labels={path}", "--attributes=hue", "--image-size=16"]
    assert main([*words, f"--outdir={tmp_path / 'out'}"]) == 0
    target = tmp_path / "target.json"
    target.write_text('{"hue": {"\\u001b[2Jred": 0.5, "blue": 0.5}}')
    assert main([*words, f"--resample={target}", f"--out={tmp_path / 'even'}"]) == 0
    seen = capsys.readouterr()
    assert "\x1b" not in seen.out + seen.err and "red" in seen.out
    for name in ("index.html", "audit.txt"):
        assert "\x1b" not in (tmp_path / "out" / name).read_text()


def test_the_figure_and_the_page_show_both_sides(tmp_path):
    rows = a.compare_shares({"g": words(a=5, b=5)}, {"g": words(a=9, b=1)})
    chart = audit_chart(*sides(rows))
    widths = sorted(round(bar.get_width()) for bar in chart.axes[0].patches)
    assert widths == [10, 50, 50, 90]
    text = write_audit(a.Audit({}, rows), tmp_path, "<b>", ["n < m"], {}, "facegen")
    page = (tmp_path / "index.html").read_text()
    assert "&lt;b&gt;" in page and "n &lt; m" in page and "<b>" not in page and "://" not in page and "n < m" in text
    with pytest.raises(InputError, match="no attribute"):
        audit_chart({})
    with pytest.raises(InputError, match="same attributes"):
        audit_chart({"g": a.shares(["x"])}, {"g": a.shares(["y"])})
