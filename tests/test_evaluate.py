"""`facegen evaluate` from end to end on a tiny network, and what it computes beside the distances tested elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from facegen.__main__ import main
from facegen.data.drawn import drawn
from facegen.data.packed import Faces, content_hash, load_faces
from facegen.evaluation import measure as m
from facegen.evaluation.distances import frechet_distance, kid, precision_recall, wilson_interval
from facegen.evaluation.features import Measured, load_features
from facegen.evaluation.neighbours import EXPECTED, memorised
from facegen.evaluation.spectra import distance, spectrum
from facegen.files import InputError
from facegen.latent.sample import sample
from facegen.models import dcgan, stylegan2
from facegen.models.judges import Lite0
from facegen.models.perceptual import load_perceptual
from facegen.models.pretrained import load, save
from facegen.show.evaluation import evaluation_text

SIZE, REAL, FAKE = 32, 44, 26
COMMON = ["--perceptual=lite0", "--device=cpu", f"--samples={FAKE}", "--pairs=4"]


@pytest.fixture(scope="module", autouse=True)
def small():
    """The features' network sees 64 pixels instead of 224: it is another measure then, and twelve times as quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lite0, "side", 64)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a network, another one, and a cache."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    sg2 = stylegan2.Generator(16, 0, 16, SIZE, 3, {"num_layers": 2}, {"channel_base": 256, "channel_max": 16})
    save(folder / "sg2.safetensors", sg2)
    save(folder / "dcgan.safetensors", dcgan.Generator(8, 8, SIZE))
    return folder


def run(place, outdir, *more, network="sg2", data=f"drawn:{REAL}"):
    words = ["evaluate", f"--network={place / network}.safetensors", f"--data={data}", f"--outdir={outdir}"]
    words += [*COMMON, f"--cache={place / 'cache'}"]
    return main([*words, *more])


@pytest.fixture(scope="module")
def everything(place):
    """All metrics, once: the folder and what was printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert run(place, place / "all", "--metrics=all") == 0
    return place / "all", out.getvalue(), err.getvalue()


def results(folder):
    return {result.name: result for result in m.read_results(folder / "results.json")}


def error(capsys):
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("facegen: error")]
    assert len(lines) == 1
    return lines[0]


# ------------------------------------------------------------------------------------------------------------ the verb


def test_every_number_has_its_interval_and_its_protocol(place, everything):
    folder, out, err = everything
    assert {path.name for path in folder.iterdir()} == {"results.json", "neighbours.png"}
    text = (folder / "results.json").read_text()
    facts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert str(place) not in text and facts["fakes"]["name"] == "sg2.safetensors" and len(facts["network_sha256"]) == 64
    found = results(folder)
    names = "FID FID-legacy KID KID-legacy precision recall density coverage IS PPL copies diversity"
    expected = [name.replace("-legacy", "") + "-lite0" + "-legacy" * name.endswith("-legacy") for name in names.split()]
    assert list(found) == [*expected, "spectra", "EQ-T", "EQ-T_frac", "EQ-R"]
    data = load_faces(f"drawn:{REAL}", SIZE).content_hash
    for entry, result in zip(facts["results"], found.values()):
        one = result.measured
        assert one.low <= one.value <= one.high and one.protocol.seed == 0
        assert str(one.protocol) in out and entry["text"] == str(one)
        assert one.protocol.data == (data if one.protocol.real else "none")
    assert "features lite0 579344248a93; resize legacy 64; 44 real, 26 fake" in out
    assert "noise inputs left in place" in found["EQ-T"].measured.protocol.metric
    assert "its bias is large" in err and "no published scores" in err and "\n\n" not in err
    assert facts["warnings"] and facts["memorisation"]["verdict"] in out


def test_the_numbers_are_those_of_the_functions(place, everything):
    found = results(everything[0])
    faces, fakes = load_faces(f"drawn:{REAL}", SIZE), sample(load(place / "sg2.safetensors").G, range(FAKE))
    for resizing, name in (("clean", ""), ("legacy", "-legacy")):
        features = load_features("lite0", resize=resizing)
        real, fake = features(faces.images), features(fakes)
        assert found[f"FID-lite0{name}"].measured.value == pytest.approx(frechet_distance(real, fake), rel=1e-6)
        assert found[f"KID-lite0{name}"].measured.value == pytest.approx(kid(real, fake), rel=1e-6)
        if not name:
            assert found["precision-lite0"].measured.value == precision_recall(real, fake)[0]
            order = torch.randperm(REAL, generator=torch.Generator().manual_seed(0))
            against, n = real[order[REAL // 2 :]], REAL // 2
            beside = found["FID-lite0"]
            assert (beside.matched, beside.fakes) == (n, pytest.approx(frechet_distance(against, fake[:n]), rel=1e-6))
            assert beside.real == pytest.approx(frechet_distance(against, real[order[:n]]), rel=1e-6)
            assert beside.real < beside.fakes
    assert found["spectra"].measured.value == pytest.approx(distance(spectrum(fakes), spectrum(faces.images)), rel=1e-6)
    see = load_perceptual("lite0")
    assert found["diversity-lite0"].measured.value == pytest.approx(mean_apart(see, fakes[:8]), rel=1e-5)
    lengths = m.path_lengths(load(place / "sg2.safetensors").G, see, 4)
    assert found["PPL-lite0"].measured.value == pytest.approx(float(lengths.mean()), rel=1e-3)


def mean_apart(see, pictures):
    rows = see(pictures.float() / 127.5 - 1)
    return float((rows[::2] - rows[1::2]).square().sum(1).mean())


def test_a_share_of_none_has_an_interval_too(everything):
    found = results(everything[0])["precision-lite0"].measured
    assert found.value == 0  # clouds of an untrained network are no drawn faces
    assert found.high >= wilson_interval(0, FAKE)[1] > 0.1


def test_the_picture_shows_fakes_above_their_neighbours(everything):
    picture = Image.open(everything[0] / "neighbours.png")
    assert picture.width > 800 and np.asarray(picture.convert("L")).std() > 20


def test_results_measured_alike_are_compared_and_others_refused(place, everything, tmp_path, capsys):
    against = f"--against={everything[0] / 'results.json'}"
    assert run(place, tmp_path / "same", "--metrics=kid,pr", "--resize=clean", against) == 0
    said = capsys.readouterr().out
    assert "measured the same way" in said and said.count("not told apart") == 3
    theirs = everything[0] / "results.json"
    for more, data, words in (
        (["--seed=1"], f"drawn:{REAL}", "seed: 1 and 0"),
        ([], f"drawn:{REAL + 2}", "real: 46 and 44"),
        (["--samples=20"], f"drawn:{REAL}", "fake: 20 and 26"),
        (["--truncation=0.5"], f"drawn:{REAL}", "sampling: truncation 0.5 and"),
    ):
        assert run(place, tmp_path / "other", "--metrics=kid", "--resize=clean", against, *more, data=data) == 2
        assert words in error(capsys)
        assert not (tmp_path / "other").exists()
    one = m.read_results(theirs)
    with pytest.raises(InputError, match="no number is in both: here are KID-lite0"):
        m.compare_results([r for r in one if r.name == "KID-lite0"], [r for r in one if r.name == "PPL-lite0"])


def test_a_difference_is_told_by_intervals_and_read_the_right_way(everything):
    everyone = list(results(everything[0]).values())

    def moved(result, by):
        one = result.measured
        step = by * (one.high - one.low + 1)
        return dataclasses.replace(
            result, measured=dataclasses.replace(one, value=one.value + step, low=one.low + step, high=one.high + step)
        )

    for by, low_is_good, high_is_good, other in ((2, "worse", "better", "higher"), (-2, "better", "worse", "lower")):
        found = {d.name: d.verdict for d in m.compare_results([moved(r, by) for r in everyone], everyone)}
        assert found["FID-lite0"] == found["copies-lite0"] == found["PPL-lite0"] == low_is_good
        assert found["recall-lite0"] == found["EQ-R"] == high_is_good and found["diversity-lite0"] == other


def test_a_cache_that_cannot_be_written_is_one_line_and_no_end(place, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    more = ["--metrics=kid", "--resize=clean", f"--cache={tmp_path / 'file/cache'}", "--samples=12"]
    assert run(place, tmp_path / "out", *more, data="drawn:24") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "not kept" in line]
    assert len(lines) == 1 and (tmp_path / "out/results.json").exists()


def test_pictures_from_a_folder_are_measured_as_the_network_that_made_them(place, everything, tmp_path):
    (tmp_path / "fakes").mkdir()
    for i, face in enumerate(sample(load(place / "sg2.safetensors").G, range(FAKE))):
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(tmp_path / "fakes" / f"{i:03}.png")
    words = ["evaluate", f"--images={tmp_path / 'fakes'}", f"--data=drawn:{REAL}", f"--outdir={tmp_path / 'out'}", *COMMON]
    assert main([*words, "--metrics=fid", f"--cache={place / 'cache'}", "--resize=clean"]) == 0
    ours, theirs = results(tmp_path / "out")["FID-lite0"].measured, results(everything[0])["FID-lite0"].measured
    assert ours.value == pytest.approx(theirs.value, rel=1e-6) and ours.protocol == theirs.protocol


def test_what_cannot_be_measured_is_refused_in_one_line_before_the_work(place, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    (tmp_path / "bad.json").write_text('{"format": "another"}')
    images = ["evaluate", "--images=x", "--data=drawn:30", f"--outdir={tmp_path / 'out'}"]
    network = f"--network={place / 'sg2.safetensors'}"
    for words, said in (
        (["evaluate", "--data=drawn:30", f"--outdir={tmp_path / 'out'}"], "either --network FILE or --images DIR"),
        ([*images, network], "either --network FILE or --images DIR"),
        ([*images, "--truncation=0.5"], "leave them out with --images"),
        ([*images, "--metrics=fid,fud"], "metric 'fud': choose among fid, kid"),
        ([*images, "--pairs=1"], "at least 2"),
        ([*images, f"--against={tmp_path / 'none.json'}"], "cannot be read"),
        ([*images, f"--against={tmp_path / 'bad.json'}"], "not a file of results"),
        (["evaluate", network, "--data=drawn:30", f"--outdir={tmp_path / 'full'}"], "not empty"),
        (["evaluate", network, "--data=drawn:30", f"--outdir={tmp_path / 'out'}", "--size=64"], "makes pictures of 32 pixels"),
        (["evaluate", network, "--data=drawn:30", f"--outdir={tmp_path / 'out'}", "--samples=3"], "too few to measure"),
        (["evaluate", network, "--data=drawn:20", f"--outdir={tmp_path / 'out'}"], "at least 24 real ones"),
        (["evaluate", network, "--data=drawn:30", f"--outdir={tmp_path / 'out'}", "--metrics=nn"], "at least 40"),
        (["evaluate", network, "--data=drawn:30", f"--outdir={tmp_path / 'out'}", "--class=1"], "no classes"),
    ):
        assert main(words) == 2
        assert said in error(capsys), words
    assert not (tmp_path / "out").exists()
    stored = m.Stored(Faces(drawn(12, 32).images, None, "fakes", "hash"), 12)
    with pytest.raises(InputError, match="eq needs a network"):
        m.measure(stored, load_faces("drawn:30", 32), m.Settings(metrics=("eq",)))


# ------------------------------------------------------------------------------------------------------------ copies


def points(n, seed=0):
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(seed))


def test_new_pictures_of_the_same_kind_are_no_copies():
    shares = [memorised(points(150, 2 * i + 1), points(300, 2 * i)).close for i in range(20)]
    assert np.mean(shares) == pytest.approx(EXPECTED, abs=0.012)  # 3000 fakes
    found = memorised(points(300, 1), points(400))
    assert not found.memorised and "no sign of memorisation" in found.verdict and 0.9 < found.ratio < 1.1


def test_copies_are_found_named_and_led_back_to_their_originals():
    real, fake = points(400), points(200, 1)
    fake[50:70] = real[100:120] + 0.1 * points(20, 2)
    found = memorised(fake, real)
    assert found.memorised and found.low <= found.close <= found.high and found.close >= 0.1
    assert "memorised" in found.verdict and "look at the picture" in found.verdict
    assert set(found.suspects(20)) == set(range(50, 70))
    assert found.nearest[50:70, 0].tolist() == list(range(100, 120)) and found.nearest.shape == (200, 3)
    assert torch.allclose(found.distances[50], (fake[50] - real[100]).norm().double(), atol=1e-6)


def test_mirrored_copies_need_mirrored_pictures_to_be_found():
    real, mirrored, fake = points(400), points(400, 3), points(200, 1)
    fake[:30] = mirrored[:30] + 0.1 * points(30, 2)
    assert not memorised(fake, real).memorised
    found = memorised(fake, real, mirrored)
    assert found.memorised and found.nearest[:30, 0].tolist() == list(range(30))


def test_what_the_test_cannot_see_is_said():
    real = points(400)
    assert "says little" in memorised(6 * points(100, 1), real).verdict
    assert "could still be copies" in memorised(points(25, 1), real).verdict
    doubled = torch.cat([real, real[:80]])
    found = memorised(points(200, 1), doubled)
    assert found.duplicates == pytest.approx(160 / 480 / 2, abs=0.06) and "hides copies" in found.verdict
    with pytest.raises(InputError, match="remove duplicates first"):
        memorised(points(30, 1), points(5).repeat(40, 1))
    for bad in ((points(5), points(39)), (points(5)[:, :3], points(50)), (points(5) * math.nan, points(50))):
        with pytest.raises(InputError):
            memorised(*bad)


def test_a_folder_of_training_pictures_is_called_memorised():
    faces = drawn(72, 32).images
    real = Faces(faces[:48], None, "drawn", content_hash(faces[:48]))
    noisy = faces[:24].flip(3).int() + torch.randint(-4, 5, faces[:24].shape, generator=torch.Generator().manual_seed(0))
    copies = Faces(noisy.clamp(0, 255).to(torch.uint8), None, "copies", "x")
    settings = m.Settings(metrics=("nn",))
    found = m.measure(m.Stored(copies, 24), real, settings)
    assert found.copies.memorised and found.results[0].measured.value > 0.5
    fresh = m.measure(m.Stored(Faces(faces[48:], None, "new", "y"), 24), real, settings)
    assert not fresh.copies.memorised


# ------------------------------------------------------------------------------------------------------ perceptual numbers


class Linear(nn.Module):
    """Pictures [N, 1, 4, 4] that are their w, which is twice z; or z itself."""

    z_dim = w_dim = 16
    num_ws, c_dim, img_resolution, img_channels = 2, 0, 4, 1

    def __init__(self, styles=True):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        if styles:
            self.mapping = lambda z, c, truncation_psi=1.0: (self.scale * z)[:, None].expand(-1, 2, -1)
            self.synthesis = lambda ws, noise_mode: ws[:, 0].reshape(-1, 1, 4, 4)

    def forward(self, z):
        return z.reshape(-1, 1, 4, 4)


def flat(pictures):
    return pictures.flatten(1)


def ways(pairs, seed):
    return torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal((2, pairs, 16)))


@pytest.mark.parametrize("ends", [True, False])
def test_path_lengths_in_w_are_the_squared_speed_of_the_picture(ends):
    a, b = ways(30, 4)
    expected = 3 * (2 * (b - a)).square().sum(1)  # straight ways, seen in three colours
    assert torch.allclose(m.path_lengths(Linear(), flat, 30, 4, ends=ends), expected, rtol=1e-2)


def test_path_lengths_in_z_follow_the_sphere():
    a, b = ways(20, 1)
    angle = torch.acos((a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1))
    growth = b.norm(dim=1) - a.norm(dim=1)  # the length changes evenly, the direction by the angle
    expected = 3 * ((angle * a.norm(dim=1)).square() + growth.square())
    for G, factor in ((Linear(styles=False), 1), (Linear(), 4)):
        found = m.path_lengths(G, flat, 20, 1, space="z", ends=True)
        assert torch.allclose(found, factor * expected, rtol=1e-2)
    with pytest.raises(InputError, match="choose z"):
        m.path_lengths(Linear(styles=False), flat, 4, space="w")


def test_escape_codes_of_a_name_reach_no_terminal(everything):
    result = next(iter(results(everything[0]).values()))
    about = {"name": "fakes\x1b[2J\n", "count": 2}
    text = evaluation_text(m.Evaluation((result,), (), about, about))
    assert "\x1b" not in text and text.splitlines()[0].startswith("fakes") and "real pictures of fakes" in text


def test_an_infinite_number_survives_the_file(tmp_path, everything):
    result = next(iter(results(everything[0]).values()))
    endless = dataclasses.replace(result, measured=Measured(math.inf, result.measured.protocol, math.inf, math.inf))
    m.write_results(tmp_path / "r.json", m.Evaluation((endless,), (), {}, {}))
    json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert m.read_results(tmp_path / "r.json") == [endless]
