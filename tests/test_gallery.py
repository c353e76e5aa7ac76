"""The gallery: one file, every picture and number in it, nothing that a caption could run."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.data.drawn import drawn
from facegen.files import InputError
from facegen.show.gallery import Person, gallery, gallery_html, show_gallery

EPOCHS = (10, 100, 160)
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def people():
    originals, outputs = drawn(3, 48, 1).images, {epoch: drawn(3, 48, epoch).images for epoch in EPOCHS}
    names = ("Ada", NASTY, "Zoë \"Z\" & '$title'")
    return [
        Person(
            name,
            originals[i],
            {epoch: outputs[epoch][i] for epoch in reversed(EPOCHS)},
            {epoch: {"identity kept": epoch / 200, "change made": 0.012 + i} for epoch in EPOCHS},
        )
        for i, name in enumerate(names)
    ]


class Page(HTMLParser):
    """Tags with attributes, and the text of each person's section."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sections, self.titles, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "section":
            self.sections.append([])

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if "section" in self._open and data.strip():
            self.sections[-1].append(data.strip())
        if self._open and self._open[-1] in ("title", "h1", "h2"):
            self.titles.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(source):
    picture = Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)


def test_a_row_per_person_with_original_epochs_and_numbers(people, tmp_path):
    path = gallery(people, tmp_path / "deep" / "index.html", title="Eight faces & <b>fakes</b>")
    page = Page(path.read_text(encoding="utf-8"))
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    assert page.titles == ["Eight faces & <b>fakes</b>"] * 2 + [p.name for p in people]
    assert len(page.sections) == 3
    for i, words in enumerate(page.sections):
        shown = words[words.index("original", 2) :]  # after the large pair, which the script fills
        change = f"{1.012 + i - 1:.2f}" if i else "0.012"
        expected = ["original"]
        for epoch in EPOCHS:
            expected += [f"epoch {epoch}", "identity kept", f"{epoch / 200:.3f}" if epoch == 10 else f"{epoch / 200:.2f}"]
            expected += ["change made", change]
        assert shown == expected


def test_every_picture_is_in_the_file_and_is_the_right_one(people):
    page = Page(gallery_html(people))
    pictures = [img for img in page.of("img") if "src" in img]
    assert len(pictures) == 3 * 4
    for i, person in enumerate(people):
        wanted = [person.original, *(person.outputs[epoch] for epoch in EPOCHS)]
        for img, original in zip(pictures[4 * i :], wanted):
            shown = decoded(img["src"]).float()
            assert shown.shape == original.shape and (shown - original.float()).abs().mean() < 4
            assert img["alt"].startswith(person.name + ", ")


def test_nothing_points_out_of_the_file(people):
    text = gallery_html(people)
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r'src="data:[^"]*"', "", text))
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "http" not in policy


def test_captions_stay_text(people):
    number = {NASTY: 0.5}
    rows = [Person(NASTY, p.original, p.outputs, {10: number}) for p in people]
    text = gallery_html(rows, title="</title>" + NASTY)
    page = Page(text)
    assert NASTY not in text
    assert len(page.of("script")) == len(Page(gallery_html(people[:1])).of("script")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.titles == ["</title>" + NASTY] * 2 + [NASTY] * 3
    breaking = Page(gallery_html([Person('x" onload="alert(1)', people[0].original, people[0].outputs)]))
    assert not any("onload" in attributes for _, attributes in breaking.tags)


def test_each_person_has_a_slider_over_their_own_epochs(people):
    fewer = Person("one epoch", people[0].original, {7: people[0].original})
    page = Page(gallery_html([people[0], fewer]))
    sliders = page.of("input")
    assert [(s["type"], s["min"], s["max"], s["value"], "disabled" in s) for s in sliders] == [
        ("range", "0", "2", "2", False), ("range", "0", "0", "0", True),
    ]  # fmt: skip
    assert [s["aria-label"] for s in sliders] == ["Epoch of Ada", "Epoch of one epoch"]
    assert [b["data-epoch"] for b in page.of("button")] == ["10", "100", "160", "7"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "labels need ids of their own"


def test_numbers_that_are_not_there_are_dashes_or_nothing(people):
    first = people[0]
    page = Page(
        gallery_html([Person("Ada", first.original, first.outputs, {10: {"identity kept": float("nan"), "change": -0.0}})])
    )
    words = page.sections[0]
    assert words[-6:] == ["identity kept", "–", "change", "0.00", "epoch 100", "epoch 160"]


def test_a_notebook_shows_the_page_in_a_frame(people):
    shown = Page(show_gallery(people[:1], title="In a notebook").data)
    (frame,) = shown.of("iframe")
    assert frame["srcdoc"] == gallery_html(people[:1], title="In a notebook")


@pytest.mark.parametrize(("change", "words"), [
    ({"outputs": {}}, "no output of 'Ada'"),
    ({"original": torch.zeros(3, 8, 8)}, "original.*float32"),
    ({"outputs": {10: torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}}, "epoch 10"),
    ({"outputs": {10: "face.png"}}, "str"),
    ({"numbers": {50: {"identity kept": 0.1}}}, "epoch 50.*10, 100, 160"),
])  # fmt: skip
def test_bad_people_are_refused_and_nothing_is_written(people, tmp_path, change, words):
    first = people[0]
    bad = Person(**({"name": "Ada", "original": first.original, "outputs": first.outputs} | change))
    with pytest.raises(InputError, match=words) as refusal:
        gallery([first, bad], tmp_path / "index.html")
    assert "\n" not in str(refusal.value) and list(tmp_path.iterdir()) == []


def test_nobody_and_a_folder_are_refused(people, tmp_path):
    with pytest.raises(InputError, match="nobody"):
        gallery([], tmp_path / "index.html")
    with pytest.raises(InputError, match=r"index\.html"):
        gallery(people, tmp_path)
