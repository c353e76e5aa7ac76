"""Spectra: signals whose spectrum is known, the direct formula, and the command line."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.data.drawn import drawn
from facegen.evaluation.spectra import UPPER, difference, distance, halves, spectrum
from facegen.files import InputError
from facegen.models import dcgan, pretrained
from facegen.show.spectra import show_spectra


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [16, 32, 33])
def test_white_noise_is_flat_at_its_variance(size):
    noise = spectrum(torch.randn(400, 3, size, size, generator=seeded()) * 0.2)  # half of that where black is 0, white is 1
    assert (noise.db[1:] - 20 * math.log10(0.1)).abs().max() < 0.35
    assert noise.pictures == 400 and noise.size == size and noise.db.dtype == torch.float64
    assert noise.frequency[-1] == pytest.approx(math.sqrt(2), abs=1.6 / size)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_the_slope_of_noise_with_a_falling_spectrum_is_recovered(power):
    size = 64
    periods = torch.fft.fftfreq(size, 1 / size)
    radius = (periods.square()[:, None] + periods.square()).sqrt().clamp(min=1)
    white = torch.fft.fft2(torch.randn(60, 3, size, size, generator=seeded(1)))
    pictures = torch.fft.ifft2(white * radius ** (-power / 2)).real
    found = spectrum(pictures)
    inside = (found.frequency > 0.15) & (found.frequency < 1)
    slope = np.polyfit(found.frequency[inside].log10().numpy(), found.db[inside].numpy(), 1)[0]
    assert slope == pytest.approx(-10 * power, rel=0.05)


def test_patterns_of_single_pixels_stand_where_they_belong():
    size = 32
    i = torch.arange(size)
    waves = {"board": (i[:, None] + i) % 2, "columns": (i % 2).expand(size, size), "pairs": (i // 2 % 2).expand(size, size)}
    peaks = {}
    for name, wave in waves.items():
        found = spectrum((wave * 2.0 - 1).expand(2, 3, size, size))
        peaks[name] = found.frequency[found.db.argmax()].item()
        assert found.db.max() > found.db.median() + 20
    assert peaks["board"] == pytest.approx(math.sqrt(2), abs=1 / size)
    assert peaks["columns"] == 1 and peaks["pairs"] == 0.5


def test_it_is_what_the_definition_says(size=12):
    """In NumPy, one picture, colour and frequency at a time."""
    pixels = torch.randint(0, 256, (3, 3, size, size), generator=seeded(), dtype=torch.uint8)
    hann = np.array([math.sin(math.pi * i / size) ** 2 for i in range(size)])
    window = np.outer(hann, hann)
    power = np.zeros((size, size))
    for channel in pixels.numpy().reshape(-1, size, size) / 255:
        power += np.abs(np.fft.fft2((channel - (channel * window).sum() / window.sum()) * window)) ** 2 / (window**2).sum() / 9
    rings: dict[int, list[float]] = {}
    for y in range(size):
        for x in range(size):
            rings.setdefault(round(math.hypot(min(y, size - y), min(x, size - x))), []).append(power[y, x])
    expected = [10 * math.log10(np.mean(rings[r])) for r in sorted(rings) if r]
    found = spectrum(pixels)
    np.testing.assert_allclose(found.db.numpy(), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.frequency.numpy(), [r * 2 / size for r in sorted(rings) if r])


def test_bytes_and_floats_mean_the_same_and_brightness_does_not_count():
    pixels = torch.randint(60, 190, (5, 3, 16, 16), generator=seeded(), dtype=torch.uint8)
    plain = spectrum(pixels)
    torch.testing.assert_close(spectrum(pixels.double() / 127.5 - 1).db, plain.db, rtol=0, atol=1e-9)
    assert distance(spectrum(pixels + 60), plain) < 1e-9
    assert (spectrum(torch.zeros(1, 1, 16, 16)).db == -120).all()


def test_the_distance_is_of_the_high_frequencies_alone():
    noise = torch.randn(8, 3, 32, 32, generator=seeded())
    a, louder = spectrum(noise), spectrum(noise * 2)
    assert distance(a, a) == 0
    assert distance(louder, a) == distance(a, louder) == pytest.approx(20 * math.log10(2), abs=1e-9)
    gradient = torch.linspace(-1, 1, 32).expand(8, 3, 32, 32) * 20  # almost nothing above the lowest
    changed = spectrum(noise + gradient)
    low = difference(changed, a)[a.frequency < UPPER]
    assert low.max() > 10 > 1 > distance(changed, a)
    with pytest.raises(InputError, match="pictures of 16 and of 32 pixels"):
        distance(spectrum(noise[..., :16, :16]), a)


def test_halves_differ_by_chance_only():
    noise = torch.randn(64, 3, 16, 16, generator=seeded())
    small, large = distance(*halves(noise[:4])), distance(*halves(noise))
    assert 0 < large < small < 3
    assert [one.pictures for one in halves(noise[:5])] == [3, 2]
    with pytest.raises(InputError, match="at least two"):
        halves(noise[:1])


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 16, 16), torch.zeros(1, 3, 16, 8), torch.zeros(0, 3, 16, 16), torch.zeros(1, 3, 4, 4)]
)
def test_other_shapes_are_refused(images):
    with pytest.raises(InputError, match="square pictures"):
        spectrum(images)


def test_broken_pictures_are_refused():
    with pytest.raises(InputError, match="NaN"):
        spectrum(torch.full((1, 3, 16, 16), math.nan))


def test_the_figure_shows_what_was_measured():
    real, fake = (spectrum(torch.randn(8, 3, 16, 16, generator=seeded(i)) * (1 + i)) for i in range(2))
    figure = show_spectra(real, {"net": fake}, (real, real))
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), real.db)
    np.testing.assert_allclose(right.lines[-1].get_ydata(), fake.db - real.db)
    assert right.get_legend().get_texts()[-1].get_text() == f"net: {distance(fake, real):.2f} dB"
    with pytest.raises(InputError, match="give 1 to 7 sets"):
        show_spectra(real, {})


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn faces as files, the same with a checkerboard on them, and an untrained network."""
    folder = tmp_path_factory.mktemp("spectra")
    faces = drawn(12, 32, 0).images
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 12).to(torch.uint8)
    for name, pixels in (("real", faces), ("board", faces.clamp(max=240) + board)):
        (folder / name).mkdir()
        for i, picture in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    torch.manual_seed(0)
    pretrained.save(folder / "net.safetensors", dcgan.Generator(8, 4, 32), None, {})
    return folder


def test_the_command_finds_the_checkerboard(folder, capsys):
    out = folder / "spectra.png"
    words = ["spectra", f"--data={folder / 'real'}", f"--network={folder / 'net.safetensors'}", f"--images={folder / 'board'}"]
    assert main([*words, "--count=12", f"--out={out}", "--device=cpu"]) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0].rpartition("/")[2]: line.split() for line in said.splitlines()}
    assert float(lines["board"][-1]) > 10 > float(lines["board"][-2]) > 0.5 and lines["board"][-3] == "12"
    assert "net.safetensors" in lines and "half against half" in said and "against 12 real pictures of 32 pixels" in said
    assert np.array(Image.open(out)).std() > 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give 1 to 7 sets"),
        (["--images={}/board", "--out={}/a.txt"], "must end in .png, .jpg or .webp"),
        (["--images={}/board", "--count=1"], "--count=1: must be at least 2"),
        (["--network={}/net.safetensors", "--size=64"], "makes pictures of 32 pixels, not 64"),
        (["--network={}/nothing.safetensors"], "no such network file"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(folder, words, said, capsys):
    words = [word.format(folder) for word in words]
    assert main(["spectra", f"--data={folder / 'real'}", f"--out={folder / 'no.png'}", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (folder / "no.png").exists()


def test_a_damaged_picture_among_good_ones_is_named(folder, tmp_path, capsys):
    shutil.copytree(folder / "real", tmp_path / "real")
    (tmp_path / "real" / "torn.png").write_bytes(next((folder / "real").iterdir()).read_bytes()[:60])
    words = ["spectra", f"--data={tmp_path / 'real'}", f"--images={folder / 'board'}", f"--out={tmp_path / 's.png'}"]
    assert main(words) == 0 and "torn.png" in capsys.readouterr().err
