"""A folder of different faces from a generator, and generators that have only a few to give."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.data.drawn import drawn
from facegen.data.packed import load_faces
from facegen.files import InputError
from facegen.latent.fakes import THUMB, make_fakes
from facegen.latent.sample import sample
from facegen.models import cyclegan, dcgan, stylegan2


def stylegan2_net(classes=0, size=16, grey=False):
    torch.manual_seed(0)
    kwargs = {"channel_base": 8 * size, "channel_max": 8}
    G = stylegan2.Generator(8, classes, 8, size, 1 if grey else 3, {"num_layers": 2}, kwargs)
    return G.eval().requires_grad_(False)


class FewModes(torch.nn.Module):
    """A generator that has collapsed to `modes` faces: whatever z is, one of them comes out, with a little noise."""

    z_dim, c_dim, img_resolution, img_channels = 8, 0, 32, 3

    def __init__(self, modes):
        super().__init__()
        self.made = 0
        self.faces = torch.nn.Parameter(drawn(modes, 32).images.float() / 127.5 - 1)

    def forward(self, z):
        self.made += len(z)
        mode = (z[:, 0] * 1e4).long() % len(self.faces)
        return self.faces[mode] + 0.004 * z[:, 1, None, None, None].clamp(-1, 1)


def clearly_other(images):
    """Keep what differs by more than 8 of 255 on average from everything kept before."""
    assert images.dtype == torch.uint8 and max(images.shape[2:]) <= THUMB
    kept = []
    for i, image in enumerate(images.float()):
        if all((image - images[k].float()).abs().mean() > 8 for k in kept):
            kept.append(i)
    return kept


def everything(images):
    return range(len(images))


def read(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_the_folder_holds_the_faces_of_its_seeds(tmp_path):
    G = stylegan2_net()
    report = make_fakes(G, 70, tmp_path / "fakes", seed=100, network="tiny.pkl", batch=9, same=everything)
    assert report.seeds == tuple(range(100, 170)) and report.tried == 70
    files = sorted(path.name for path in (tmp_path / "fakes").iterdir())
    assert files == ["SOURCE.json", *(f"seed{seed:06d}.png" for seed in range(100, 170))]
    faces = sample(G, range(100, 170), trunc=0.7)  # the truncation for a StyleGAN that is not told another
    for seed, face in zip(range(100, 170), faces):
        difference = (read(tmp_path / "fakes" / f"seed{seed:06d}.png").int() - face.int()).abs()
        assert difference.max() <= 1  # other batches, other rounding
    card = json.loads((tmp_path / "fakes" / "SOURCE.json").read_text())
    assert (card["network"], card["trunc"], card["seeds"]) == ("tiny.pkl", 0.7, list(range(100, 170)))
    assert "70 faces of 16x16, 0 near-duplicates left out" in str(report)


def test_the_folder_is_a_data_set_without_a_complaint(tmp_path):
    make_fakes(stylegan2_net(grey=True), 3, tmp_path / "fakes", same=everything)
    faces = load_faces(tmp_path / "fakes", 16, cache=False)
    assert len(faces) == 3 and faces.report == ()


def test_the_truncation_is_used_and_written_down(tmp_path):
    G = stylegan2_net()
    for trunc in (0.3, 1.0):
        make_fakes(G, 2, tmp_path / str(trunc), trunc=trunc, same=everything)
        assert json.loads((tmp_path / str(trunc) / "SOURCE.json").read_text())["trunc"] == trunc
        expected = sample(G, [0, 1], trunc=trunc)
        assert (read(tmp_path / str(trunc) / "seed000001.png").int() - expected[1].int()).abs().max() <= 1


def test_networks_without_w_and_with_classes(tmp_path):
    torch.manual_seed(0)
    plain = dcgan.initialise(dcgan.Generator(8, 4, 32))
    assert make_fakes(plain, 3, tmp_path / "dcgan", same=everything).trunc == 1
    with pytest.raises(InputError, match="no w to truncate"):
        make_fakes(plain, 3, tmp_path / "other", trunc=0.5, same=everything)
    G = stylegan2_net(classes=3)
    make_fakes(G, 2, tmp_path / "class 1", label=1, same=everything)
    assert json.loads((tmp_path / "class 1" / "SOURCE.json").read_text())["class"] == 1
    expected = sample(G, [0, 1], trunc=0.7, labels=1)
    assert (read(tmp_path / "class 1" / "seed000000.png").int() - expected[0].int()).abs().max() <= 1
    with pytest.raises(InputError, match="3 classes"):
        make_fakes(G, 2, tmp_path / "no class", same=everything)


def test_faces_that_look_like_earlier_ones_are_left_out(tmp_path):
    G = FewModes(40)
    report = make_fakes(G, 30, tmp_path / "fakes", same=clearly_other)
    assert len(report.seeds) == 30 < report.tried == G.made
    assert list(report.seeds) == sorted(set(report.seeds)) and report.seeds[0] == 0
    faces = torch.stack([read(tmp_path / "fakes" / f"seed{seed:06d}.png") for seed in report.seeds])
    assert len(clearly_other(faces)) == 30
    assert len(list((tmp_path / "fakes").glob("*.png"))) == 30
    assert clearly_other(sample(G, range(report.tried))) == list(report.seeds)  # none was left out that differs


def test_the_packages_own_comparison_is_used_where_none_is_given(tmp_path):
    report = make_fakes(FewModes(40), 30, tmp_path / "fakes")
    assert report.seeds == make_fakes(FewModes(40), 30, tmp_path / "other", same=clearly_other).seeds
    with pytest.raises(InputError, match="only 5 of"):
        make_fakes(FewModes(5), 8, tmp_path / "few")


def test_large_faces_are_compared_in_small_and_written_in_full(tmp_path):
    seen = []

    def remember(images):
        seen.append(images)
        return range(len(images))

    make_fakes(stylegan2_net(size=128), 2, tmp_path / "fakes", same=remember)
    (small,) = seen
    assert small.shape == (2, 3, THUMB, THUMB)
    full = torch.stack([read(tmp_path / "fakes" / f"seed{seed:06d}.png") for seed in range(2)])
    assert full.shape == (2, 3, 128, 128)
    assert (small.float() - torch.nn.functional.avg_pool2d(full.float(), 2)).abs().max() <= 0.5


@pytest.mark.parametrize("modes", [1, 5])
@pytest.mark.parametrize("count", [8, 2000])
def test_a_collapsed_generator_is_given_up_soon_and_leaves_nothing(tmp_path, modes, count):
    G = FewModes(modes)
    with pytest.raises(InputError, match="the generator has collapsed") as error:
        make_fakes(G, count, tmp_path / "fakes", same=clearly_other)
    assert "\n" not in str(error.value) and f"{count:,} were wanted" in str(error.value)
    found = re.match(r"only (\d+) of ([\d,]+) faces", str(error.value))
    assert int(found[1]) == modes
    assert G.made == int(found[2].replace(",", "")) <= 128
    assert list(tmp_path.iterdir()) == []


def test_a_stylegan_at_its_mean_face_has_collapsed(tmp_path):
    with pytest.raises(InputError, match="only 1 of 64 faces"):
        make_fakes(stylegan2_net(), 100, tmp_path / "fakes", trunc=0.0, same=clearly_other)


def test_what_makes_no_sense_is_refused_in_one_line(tmp_path):
    G = stylegan2_net()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")

    def refused(match, G, count=2, dest=tmp_path / "fakes", **options):
        with pytest.raises(InputError, match=match) as error:
            make_fakes(G, count, dest, same=everything, **options)
        assert "\n" not in str(error.value)

    refused("count is 0", G, 0)
    refused("seed is -1", G, seed=-1)
    refused("not empty", G, dest=tmp_path / "full")
    refused("too large", G, seed=2**32)
    refused("translates pictures", cyclegan.ResnetGenerator(width=4, blocks=1))
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]
