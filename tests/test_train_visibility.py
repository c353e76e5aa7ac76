"""How the network that sees eyes and mouths is taught: it learns, its examples say what is hidden, some portraits are kept."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from facegen.data import visibility
from facegen.data.drawn import drawn
from facegen.data.faces import framed
from facegen.files import InputError
from tools import train_visibility as tool


def picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def test_the_network_learns_from_covered_portraits(tmp_path):
    people = drawn(24, 64, seed=3, weights={"glasses": [1, 0, 0, 0]})
    portraits = [(framed(picture(i), p, 64)[0], False) for i, p in zip(people.images, people.landmarks)]
    portraits = [(np.array(image), dark) for image, dark in portraits]
    losses = []
    network = tool.learn(portraits, 25, seed=0, batch=16, told=losses.append)
    again = tool.learn(portraits, 2, seed=0, batch=16)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) and not network.training
    assert not torch.equal(again.head[2].weight, network.head[2].weight)
    save_file(network.state_dict(), tmp_path / "small.safetensors")
    loaded = visibility.load_visibility(tmp_path / "small.safetensors")
    crops = torch.from_numpy(np.stack([tool.example(np.random.default_rng(1), portraits)[0] for _ in range(3)])).permute(
        0, 3, 1, 2
    )
    chances = visibility.seen(crops, loaded)
    torch.testing.assert_close(chances, visibility.seen(crops, network))
    assert chances.shape == (3, 3) and bool(((chances >= 0) & (chances <= 1)).all())
    torch.testing.assert_close(visibility.seen(crops.flip(3), loaded), chances[:, [1, 0, 2]])


def test_examples_say_what_is_hidden():
    rng = np.random.default_rng(0)
    portraits = [(np.full((96, 96, 3), 150, np.uint8), True)]
    made = [tool.example(rng, portraits) for _ in range(40)]
    assert all(image.shape == (64, 64, 3) and image.dtype == np.uint8 for image, _ in made)
    assert all((hidden[:2] == 1).all() and 0 <= hidden[2] <= 1 for _, hidden in made)
    assert {0.0, 1.0} <= {float(hidden[2]) for _, hidden in made}


def test_four_of_five_portraits_are_learned_from(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/3.jpg").touch()
    files = [path.name for path in tool.learned_from(tmp_path, tmp_path / "out") if path.parent == tmp_path]
    assert files == ["1.png", "2.png", "4.png", "6.png", "7.png", "8.png", "9.png"]
    with pytest.raises(InputError, match="no pictures in"):
        tool.main(["--portraits", str(tmp_path / "out"), "--leave-out", str(tmp_path), "--out", str(tmp_path / "x")])
