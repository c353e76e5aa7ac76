"""Seeing: what the grids, figures, sliders, films and digests show is what the run made."""

import base64
import io
import json
import math
import warnings
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from facegen import show
from facegen.files import InputError


def run(snapshots=5, n=6, size=16, steps=40):
    """A run from noise to smooth faces-like blobs, with the log that `fit` keeps."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(n, 3, 4, 4, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear") * 255
    noise = torch.rand(n, 3, size, size, generator=generator) * 255
    mix = [i / max(1, snapshots - 1) for i in range(snapshots)]
    stats = [
        {
            "step": step, "kimg": step * 0.1, "epoch": step / 10, "seconds": step * 1.0, "lr_G": 2e-4, "lr_D": 2e-4,
            "loss_D": 1.4 - step / 100, "loss_G": 0.7 + step / 50, "logits_real": step / 40, "logits_fake": -step / 40,
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip
    samples = torch.stack([(noise * (1 - t) + target * t).round().to(torch.uint8) for t in mix])
    return SimpleNamespace(samples=samples, kimg=[t * steps * 0.1 for t in mix], stats=stats)


@pytest.fixture(scope="module")
def history():
    return run()


def pixels(picture):
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)


# -- grids


@pytest.mark.parametrize(("n", "rows", "cols", "expected"), [
    (5, None, None, (2, 3)), (6, 2, None, (2, 3)), (6, None, 4, (2, 4)), (1, None, None, (1, 1)), (9, 2, 2, (2, 2)),
])  # fmt: skip
def test_grid_puts_every_image_in_its_place(n, rows, cols, expected):
    images = torch.randint(0, 256, (n, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    picture = pixels(show.grid(images, rows, cols, padding=3, scale=2))
    down, across = expected
    assert picture.shape == (3, down * (10 + 3) + 3, across * (14 + 3) + 3)
    for i in range(min(n, down * across)):
        y, x = 3 + i // across * 13, 3 + i % across * 17
        tile = picture[:, y : y + 10, x : x + 14]
        assert torch.equal(tile[:, ::2, ::2], images[i]) and torch.equal(tile[:, 1::2, 1::2], images[i])
    for i in range(n, down * across):
        y, x = 3 + i // across * 13, 3 + i % across * 17
        assert (picture[:, y : y + 10, x : x + 14] == 255).all()
    assert (picture[:, :3] == 255).all() and (picture[:, :, -3:] == 255).all()


def test_floats_become_the_nearest_bytes():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    assert torch.equal(show.as_uint8(levels.float() / 127.5 - 1), levels)
    assert torch.equal(show.as_uint8(levels.float() / 255, value_range=(0, 1)), levels)
    assert torch.equal(show.as_uint8((levels.float() / 127.5 - 1) * 1.0 + torch.where(levels == 255, 5.0, 0.0)), levels)
    assert torch.equal(show.as_uint8(levels[:, :1]), levels), "grey is spread over three channels"


@pytest.mark.parametrize("bad", [
    torch.zeros(0, 3, 4, 4), torch.zeros(2, 4, 8, 8), torch.zeros(4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.int64),
    torch.full((1, 3, 4, 4), float("nan")), [1, 2],
])  # fmt: skip
def test_bad_images_are_refused_in_one_line(bad):
    with pytest.raises(InputError) as refusal:
        show.grid(bad)
    assert "\n" not in str(refusal.value)


def test_save_image_writes_the_grid_and_refuses_other_suffixes(tmp_path, history):
    path = show.save_image(history.samples[-1], tmp_path / "sub" / "faces.png")
    assert torch.equal(pixels(Image.open(path)), pixels(show.grid(history.samples[-1])))
    one = show.save_image(history.samples[-1, 0], tmp_path / "sub" / "one.png")
    assert torch.equal(pixels(Image.open(one)), history.samples[-1, 0]), "a single face has no border"
    with pytest.raises(InputError, match=r"\.png"):
        show.save_image(history.samples[-1], tmp_path / "faces.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["sub"]


# -- figures


def figures(history):
    return {
        "grid": show.show_grid(history.samples[-1], "Six faces"),
        "captions": show.show_grid(history.samples[-1], "Six faces", captions=[f"face {i}" for i in range(6)]),
        "compare": show.compare_grids({"before": history.samples[0], "after": history.samples[-1]}),
        "strip": show.strip(history, count=3, images=2),
        "portrait": show.portrait(history, 1),
        "losses": show.loss_curves(history),
        "compared": show.compare_curves({"one": history, "two": run(steps=20)}),
        "histogram": show.attribute_histogram(torch.tensor([0, 2, 2]), ["a", "b", "c"]),
    }


def test_every_figure_has_a_title_labels_and_a_clean_picture(history):
    for name, figure in figures(history).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture = Image.open(io.BytesIO(figure.png(density=1)))
        assert figure.get_suptitle(), name
        assert picture.size == figure.size, name
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10, f"{name}: empty"
        for axes in figure.axes:
            assert not axes.axison or (axes.get_xlabel() and axes.get_title(loc="left")), f"{name}: bare axes"


def test_figures_leave_nothing_in_pyplot(history):
    import matplotlib.pyplot as plt

    figures(history)
    assert plt.get_fignums() == []


def test_a_notebook_gets_each_figure_once_with_its_title_as_text(history, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, metadata, raw: shown.append((data, metadata)))
    figure = show.strip(history)
    figure._ipython_display_()
    (data, metadata), = shown  # fmt: skip
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert data["text/plain"] == metadata["image/png"]["alt"] == "The same 6 faces through training"
    assert picture.width == metadata["image/png"]["width"] * figure.density


def test_strip_shows_the_first_and_last_snapshot_and_the_same_faces(history):
    figure = show.strip(history, count=3, images=2)
    assert [axes.get_title() for axes in figure.axes] == ["0 kimg", "2.00 kimg", "4.00 kimg"]
    for axes, index in zip(figure.axes, (0, 2, 4)):
        drawn = torch.from_numpy(np.asarray(axes.images[0].get_array())).permute(2, 0, 1)
        assert torch.equal(drawn, pixels(show.grid(history.samples[index, :2], cols=1, padding=1)))


def test_portrait_follows_one_face_through_all_snapshots(history):
    figure = show.portrait(history, index=-1)
    for axes, face, kimg in zip(figure.axes, history.samples[:, -1], history.kimg, strict=True):
        assert torch.equal(torch.from_numpy(np.asarray(axes.images[0].get_array())).permute(2, 0, 1), face)
        assert float(axes.get_title().split()[0]) == kimg
    with pytest.raises(InputError, match="no face 6"):
        show.portrait(history, index=6)


def test_loss_curves_draw_the_log_raw_and_smoothed(history):
    figure = show.loss_curves(history)
    losses, logits = figure.axes
    raw_D, smooth_D, raw_G, _ = (line.get_ydata() for line in losses.lines)
    assert np.array_equal(raw_D, [record["loss_D"] for record in history.stats])
    assert np.array_equal(raw_G, [record["loss_G"] for record in history.stats])
    assert np.array_equal(losses.lines[0].get_xdata(), [record["kimg"] for record in history.stats])
    assert np.allclose(smooth_D, raw_D), "a mean over one step leaves a short run as it is"
    assert [text.get_text() for text in logits.get_legend().get_texts()] == ["real faces", "generated faces"]
    bare = SimpleNamespace(stats=[{k: v for k, v in r.items() if "logits" not in k} for r in history.stats])
    assert len(show.loss_curves(bare).axes) == 1


def test_loss_curves_show_both_discriminators_of_a_cyclegan(history):
    keys = ("logits_real_A", "logits_fake_A", "logits_real_B", "logits_fake_B")
    stats = [
        {"kimg": r["kimg"], "loss_D": 1.0, "loss_G": 2.0, **{k: i + r["step"] for i, k in enumerate(keys)}}
        for r in history.stats
    ]
    logits = show.loss_curves(SimpleNamespace(stats=stats)).axes[1]
    for i, (text, raw) in enumerate(zip(logits.get_legend().get_texts(), logits.lines[::2])):
        assert text.get_text() == ("D_A on B", "D_A on G_A's fakes", "D_B on A", "D_B on G_B's fakes")[i]
        assert np.array_equal(raw.get_ydata(), [record[keys[i]] for record in stats])


def test_smoothing_is_a_centred_mean_that_steps_over_nan():
    from facegen.show.figures import smooth

    values = np.array([1.0, np.nan, 3.0, 5.0, 10.0])
    assert np.allclose(smooth(values, 3), [1, 2, 4, 6, 7.5])
    assert np.allclose(smooth(np.full(200, 2.5), 5), 2.5)


def test_curves_survive_spikes_nan_and_a_single_step():
    stats = [{"kimg": i / 10, "loss_D": 1 + i % 7 / 10, "loss_G": 1e6 if i == 150 else 2.0} for i in range(300)]
    stats[20]["loss_G"] = float("nan")
    top = show.loss_curves(SimpleNamespace(stats=stats)).axes[0].get_ylim()[1]
    assert top < 10, "one spike must not flatten the curve"
    show.loss_curves(SimpleNamespace(stats=stats[:1])).png(density=1)
    with pytest.raises(InputError, match="no logged step"):
        show.loss_curves(SimpleNamespace(stats=[]))


@pytest.mark.parametrize(("attributes", "names", "counts", "faces"), [
    (torch.tensor([2, 0, 2, 2]), ["a", "b", "c", "d"], [1, 0, 3, 0], 4),
    (torch.tensor([True, False, True]), ["no", "yes"], [1, 2], 3),
    ({"a": 3, "b": 1}, None, [3, 1], 4),
    ({"glasses": torch.tensor([True, True, False]), "hat": torch.tensor([False, False, False])}, None, [2, 0], 3),
    (torch.linspace(0, 1, 50), None, [5] * 10, 50),
])  # fmt: skip
def test_attribute_histogram_counts_and_shares(attributes, names, counts, faces):
    axes = show.attribute_histogram(attributes, names).axes[0]
    assert [bar.get_width() for bar in axes.patches] == counts
    assert axes.get_title(loc="left") == f"{faces} faces"
    assert [text.get_text() for text in axes.texts] == [f"{c}  ({c / faces:.1%})" for c in counts]


def test_attribute_histogram_refuses_values_without_a_name():
    with pytest.raises(InputError, match="0 to 3"):
        show.attribute_histogram(torch.tensor([0, 3]), ["a", "b"])
    with pytest.raises(InputError, match="nothing"):
        show.attribute_histogram({})


# -- scrubbing


def test_scrubber_shows_the_chosen_snapshot_at_once(history):
    scrubber = show.scrub(history, columns=3, scale=1)
    assert scrubber.slider.max == scrubber.play.max == 4
    for index in (0, 3, 1, 4):
        scrubber.slider.value = index
        shown = pixels(Image.open(io.BytesIO(scrubber.picture.value)))
        assert torch.equal(shown, pixels(show.grid(history.samples[index], cols=3)))
        assert f"{history.kimg[index]:g}" in scrubber.label.value.replace(".00", "")
    assert "epoch 4.0 · step 40 · loss D 1.00 · loss G 1.50" in scrubber.label.value
    scrubber.slider.value = 0
    assert "before training" in scrubber.label.value


def test_scrubber_leaves_a_picture_where_no_widget_runs(history):
    data, metadata = show.scrub(history)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width == 2 * metadata["image/png"]["width"]


def test_one_snapshot_is_shown_and_none_is_refused(history):
    one = SimpleNamespace(samples=history.samples[:1], kimg=[0.0], stats=[])
    assert show.scrub(one).slider.max == 0
    assert len(Page(show.slider_html(one)).frames) == 1
    assert len(show.strip(one).axes) == len(show.portrait(one).axes) == 1
    none = SimpleNamespace(samples=history.samples[:0], kimg=[], stats=[])
    for view in (show.scrub, show.slider_html, show.strip, show.portrait):
        with pytest.raises(InputError, match="no snapshot"):
            view(none)


def test_plain_tensors_and_lists_are_histories_too(history):
    for plain in (history.samples, list(history.samples), history.samples.float() / 127.5 - 1):
        scrubber = show.scrub(plain, columns=3, scale=1)
        assert "snapshot 1" in scrubber.label.value
        shown = pixels(Image.open(io.BytesIO(scrubber.picture.value)))
        assert torch.equal(shown, pixels(show.grid(history.samples[0], cols=3)))
    assert "<figure>" not in show.slider_html(history.samples)
    with pytest.raises(InputError, match="needs a run's history"):
        show.scrub(7)
    with pytest.raises(InputError, match="3 values of kimg"):
        show.scrub(SimpleNamespace(samples=history.samples, kimg=[1.0, 2.0, 3.0], stats=[]))


class Page(HTMLParser):
    """What a browser would find in a slider's page."""

    def __init__(self, text):
        super().__init__()
        self.frames, self.tags, self.texts, self.stack, self.attributes = [], [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs.items()]
        self.stack.append(attrs.get("id") or tag)
        if tag == "img":
            self.frames.append(attrs)

    def handle_data(self, data):
        if self.stack:
            self.texts[self.stack[-1]] = self.texts.get(self.stack[-1], "") + data


def test_slider_page_holds_every_frame_and_needs_nothing_else(history, tmp_path):
    text = show.slider_html(history, tmp_path / "slider.html", columns=3, scale=4)
    assert (tmp_path / "slider.html").read_text(encoding="utf-8") == text
    page = Page(text)
    assert len(page.frames) == 5 and ["hidden" in frame for frame in page.frames] == [False, True, True, True, True]
    for frame, images in zip(page.frames, history.samples):
        kind, data = frame["src"].removeprefix("data:").split(";base64,")
        assert kind in ("image/png", "image/jpeg", "image/webp")
        shown = pixels(Image.open(io.BytesIO(base64.b64decode(data)))).float()
        wanted = pixels(show.grid(images, cols=3, scale=4)).float()
        assert shown.shape == wanted.shape and (shown - wanted).abs().mean() < 6, "the frame is another picture"
    addresses = [value for _, key, value in page.attributes if key in ("src", "href", "srcset", "data")]
    assert all(value.startswith("data:") for value in addresses) and "link" not in page.tags
    assert "http" not in text.replace("http-equiv", "") and "default-src 'none'" in text


def test_slider_page_knows_labels_and_marks_of_every_snapshot(history):
    page = Page(show.slider_html(history))
    data = json.loads(page.texts["data"])
    assert [label["title"] for label in data["labels"]] == [
        "0 kimg",
        "1.00 kimg",
        "2.00 kimg",
        "3.00 kimg",
        "4.00 kimg",
    ]
    assert data["labels"][2]["details"] == "epoch 2.0 · step 20 · loss D 1.20 · loss G 1.10"
    assert [mark["x"] for mark in data["marks"]] == [0, 25, 50, 75, 100]
    assert "D" not in data["marks"][0], "no loss is known before training"
    heights = [mark["G"] for mark in data["marks"][1:]]
    assert heights == sorted(heights, reverse=True), "a rising loss rises on the page"
    lines = [value for tag, key, value in page.attributes if tag == "polyline" and key == "points"]
    assert len(lines) == 2 and all(len(line.split()) == 40 for line in lines)


def test_slider_page_escapes_its_title(history):
    text = show.slider_html(history.samples, title='</title><script>alert("x")</script> & Söhne')
    page = Page(text)
    assert page.texts["h1"].strip() == page.texts["title"].strip() == '</title><script>alert("x")</script> & Söhne'
    assert page.tags.count("script") == 2


def test_slider_in_a_notebook_is_a_frame_with_the_whole_page(history):
    outer = Page(show.show_slider(history, title='A "run"').data)
    assert outer.tags == ["div", "iframe"]
    attributes = {key: value for tag, key, value in outer.attributes if tag == "iframe"}
    assert attributes["srcdoc"] == show.slider_html(history, title='A "run"')
    assert attributes["title"] == 'A "run"'


# -- films


@pytest.mark.parametrize(("suffix", "index"), [("webp", None), ("gif", None), ("webp", 2)])
def test_film_shows_every_snapshot_in_order(history, tmp_path, suffix, index):
    path = show.save_film(history, tmp_path / f"run.{suffix}", index=index, columns=3)
    film = Image.open(path)
    assert film.n_frames == 5 and film.width >= 256
    chosen = history.samples if index is None else history.samples[:, index : index + 1]
    columns = min(3, chosen.shape[1])
    scale = math.ceil(256 / (columns * 16))
    wanted = torch.stack([pixels(show.grid(images, cols=columns, scale=scale)) for images in chosen]).float()
    for number in range(5):
        film.seek(number)
        frame = pixels(film)[:, : wanted.shape[2]].float()
        distances = (wanted - frame).abs().mean(dim=(1, 2, 3))
        assert distances.argmin() == number and distances[number] < 12
    assert film.info["duration"] >= 1500, "the last frame rests"
    with pytest.raises(InputError, match=r"\.webp or \.gif"):
        show.save_film(history, tmp_path / "run.avi")


# -- numbers as text


def test_digest_tells_pictures_apart_and_forgives_rounding_noise():
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    line = show.digest(images)
    assert line == show.digest(images.double() + 1e-7).replace("float64", "float32")
    assert line == show.digest(images.numpy()) != show.digest(images + 0.02)
    assert show.digest(torch.tensor([-1e-9, 0.0])) == "2 float32: mean 0.00, std 0.00, min 0.00, max 0.00"
    assert show.digest(torch.tensor([[0, 255]], dtype=torch.uint8)) == "1x2 uint8: mean 0.50, std 0.50, min 0.00, max 1.00"
    assert show.digest([1.0, float("nan")]).endswith("max 1.00, 1 not finite")
    assert show.digest({"a": [1], "b": 2.0}, digits=1).splitlines()[1].startswith("b: one number float64: mean 2.0")
    assert show.digest(torch.zeros(0, 3)) == "0x3 float32: empty"
    with pytest.raises(InputError):
        show.digest("text")


def test_digest_of_a_figure_changes_with_its_data(history):
    before = show.digest(show.loss_curves(history))
    changed = [dict(record, loss_G=record["loss_G"] + 0.1) for record in history.stats]
    after = show.digest(show.loss_curves(SimpleNamespace(stats=changed)))
    assert before.splitlines()[1] == after.splitlines()[1] and before != after
    assert show.digest(show.strip(history)) != show.digest(show.strip(history.samples.flip(1)))
    assert "bars 2 float64: mean 1.50" in show.digest(show.attribute_histogram({"a": 1, "b": 2}))


def test_tables_align_and_escape():
    rows = [["BCE", 1.23456, 3], ["hinge <&>", float("nan"), 12]]
    assert show.table(rows, ["loss", "final", "steps"]).splitlines() == [
        "loss       final  steps",
        "---------  -----  -----",
        "BCE        1.235      3",
        "hinge <&>      –     12",
    ]
    page = show.html_table(rows, ["loss", "final", "steps"], caption="a < b")
    assert '<td style="text-align:left">hinge &lt;&amp;&gt;</td>' in page and "a &lt; b" in page
    with pytest.raises(InputError, match="row 1 has 1 cells for 2"):
        show.table([["a"]], ["x", "y"])
