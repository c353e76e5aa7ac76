"""The upload button, driven as a browser drives it: a file comes in, a line says how it goes, a projection comes out."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from test_edit_verbs import small
from test_project import perceptual
from torch import Tensor

from facegen.data.drawn import drawn
from facegen.data.faces import framed
from facegen.files import InputError
from facegen.latent.project import Search
from facegen.models import dcgan
from facegen.show import projection_widgets
from facegen.show.projection_widgets import ProjectionUpload, project_upload

SHORT = Search(steps=6, tune_steps=4)


def embed(pictures: Tensor) -> Tensor:
    return pictures.flatten(1)


@pytest.fixture(scope="module")
def people() -> list[Image.Image]:
    images = drawn(4, 256, seed=21).images
    return [Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in images]


@pytest.fixture
def yours() -> ProjectionUpload:
    return project_upload(small("stylegan2", size=32), perceptual=perceptual, search=SHORT, embed=embed, count=8)


def as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def choose(yours: ProjectionUpload, data: bytes, name: str = "me.png") -> list[str]:
    """What a browser sends when a file is chosen; every text that the line had meanwhile."""
    said: list[str] = []
    yours.line.observe(lambda change: said.append(change["new"]), names="value")
    file = {"name": name, "type": "image/png", "size": len(data), "content": memoryview(data), "last_modified": 0}
    yours.upload.set_state({"value": [file]})
    yours.line.unobserve_all()
    return said


def test_a_photo_ends_in_a_projection(yours, people):
    assert yours.picture not in yours.children and yours.result is None
    said = choose(yours, as_png(people[0]))
    check, result = yours.check, yours.result
    wanted = framed(people[0], check.landmarks, 32)[0]
    assert np.array_equal(yours.target.permute(1, 2, 0), np.array(wanted))
    assert torch.equal(result.target, yours.target) and result.image.shape == (3, 32, 32)
    assert [row["phase"] for row in result.history] == ["search"] * 6
    assert yours.scores.space == "w+" and yours.scores.identity is not None
    assert str(yours.scores) in yours.line.value and said[-1] == yours.line.value
    shares = [line for line in said if "searching in w+" in line]
    assert "looking for a face" in said[0] and len(shares) == 7 and "100%" in shares[-1]
    assert all("\n" not in line and "<br" not in line for line in said)
    assert yours.upload.value == () and not yours.upload.disabled  # the same file can be chosen again

    shown = np.array(Image.open(io.BytesIO(yours.picture.value)))
    found = result.image.permute(1, 2, 0).repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert yours.picture in yours.children and np.array_equal(shown[-256:, -256:], found)


def test_the_dropdown_says_where_to_search(yours, people):
    yours.space.value = "pti"
    said = choose(yours, as_png(people[0]))
    assert [row["phase"] for row in yours.result.history] == ["search"] * 6 + ["tune"] * 4
    assert yours.scores.space == "pti" and yours.scores.tuned > 0 and "searching in pti" in said[-2]


def test_warnings_are_given_and_the_search_goes_on(yours, people):
    choose(yours, as_png(people[1]))  # wears sunglasses
    assert "occluded: " in yours.notes.value and yours.result is not None

    pair = Image.new("RGB", (512, 256))
    pair.paste(people[0], (0, 0))
    pair.paste(people[2], (256, 0))
    choose(yours, as_png(pair))
    assert "several-faces: " in yours.notes.value and "occluded" not in yours.notes.value and yours.result is not None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (as_png(Image.new("RGB", (200, 200), "#4060A0")), "me.png: no-face: "),
        (b"no picture at all", "me.png: "),
        (b"", "me.png: "),
    ],
)
def test_what_goes_wrong_is_one_line(yours, people, data, line):
    choose(yours, as_png(people[0]))
    choose(yours, data)
    assert yours.line.value.startswith(line) and len(yours.line.value) > len(line)
    assert yours.result is None and yours.target is None and yours.notes.value == ""  # nothing of the photo before
    assert yours.picture not in yours.children and not yours.upload.disabled
    assert yours.project(as_png(people[0]), "again.png") is yours.result is not None


def test_a_file_that_is_too_large_and_an_error_of_the_search_are_said(yours, people, monkeypatch):
    monkeypatch.setattr(projection_widgets, "LARGEST", 10)
    choose(yours, as_png(people[0]), "<b>.png")
    assert "MB are too many" in yours.line.value and "&lt;b&gt;.png" in yours.line.value
    monkeypatch.undo()

    def broken(*args, **options):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(projection_widgets, "project", broken)
    choose(yours, as_png(people[0]))
    assert "failed with RuntimeError: out of memory" in yours.line.value and not yours.upload.disabled


def test_the_twin_shows_three_pictures(yours, people):
    before = yours._repr_mimebundle_()[0]
    assert "choose a photo" in before["text/plain"]
    yours.project(as_png(people[0]))
    bundle, facts = yours._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert bundle["image/png"] != before["image/png"] and picture.width == facts["image/png"]["width"] == 3 * 256 + 16
    assert "PSNR" in bundle["text/plain"]


def test_what_cannot_be_projected_is_refused():
    with pytest.raises(InputError, match="no w"):
        project_upload(dcgan.Generator(), perceptual=perceptual)
