"""The fast operators against their textbook forms, their derivatives against finite differences, filters against theory."""

from __future__ import annotations

import math
import random

import pytest
import textbook
import torch
from textbook import relative_error
from torch.autograd import gradcheck, gradgradcheck

from facegen.files import InputError
from facegen.models import layers

# Forms that add in different orders differ by a few units in the last place of the largest intermediate sum.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-13}


def noise(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def any_filter(choose: random.Random) -> torch.Tensor | None:
    """None, separable, full, of low rank, radial: from one tap to thirteen, not symmetric unless by design."""
    kind, n = choose.choice(["none", "1d", "1d", "2d", "outer", "usual", "radial"]), choose.randint(1, 13)
    seed = choose.randrange(10**6)
    if kind == "none":
        return None
    if kind == "1d":
        return noise(n, seed=seed)
    if kind == "2d":
        return noise(choose.randint(1, 6), choose.randint(1, 6), seed=seed)
    if kind == "outer":
        return torch.outer(noise(choose.randint(1, 8), seed=seed), noise(choose.randint(1, 8), seed=seed + 1))
    if kind == "usual":
        return textbook.setup_filter([1, 3, 3, 1])
    return textbook.design_lowpass_filter(12, cutoff=choose.uniform(4, 12), width=10, fs=64, radial=True)


def any_padding(choose: random.Random, low: int = -3, high: int = 8):
    kind = choose.choice(["int", "pair", "four", "four"])
    if kind == "int":
        return choose.randint(0, high)
    return [choose.randint(low, high) for _ in range(2 if kind == "pair" else 4)]


def out_size(size: int, up: int, down: int, before: int, after: int, taps: int) -> int:
    return (size * up + before + after - taps) // down + 1 if size * up + before + after >= taps else 0


def agree(name: str, *args, grad=(0,), theirs=None, **kw) -> None:
    """Our operator and its textbook form give the same result, in x's dtype, and the same gradients with regard to the
    arguments numbered in `grad`."""
    results = []
    for form in (getattr(layers, name), theirs or getattr(textbook, name)):
        given = [a.detach().clone().requires_grad_() if k in grad else a for k, a in enumerate(args)]
        y = form(*given, **kw)
        seed = noise(*y.shape, seed=y.numel() % 97, dtype=y.dtype)
        results.append([y, *torch.autograd.grad(y, [given[k] for k in grad], seed)])
    for k, (got, wanted) in enumerate(zip(*results)):
        assert got.dtype == wanted.dtype == args[0].dtype
        error = relative_error(got, wanted)
        what = f"gradient of argument {grad[k - 1]}" if k else "result"
        shapes = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args]
        assert error <= CLOSE[args[0].dtype], f"{name}: {what} off by {error:.1e} for {shapes} {kw}"


def resampling_cases(count: int, seed: int):
    """(x, f, keyword arguments) with results of at least one pixel: one-pixel edges, odd sizes, and sizes where the fast
    forms change over."""
    choose = random.Random(seed)
    while count:
        shape = [choose.randint(1, 3), choose.randint(1, 4)]
        shape += [choose.choice([1, 2, choose.randint(3, 12), choose.randint(13, 45)]) for _ in range(2)]
        f = any_filter(choose)
        kw = {"up": choose.choice([1, 2, 3, 4, [2, 1], [1, 3]]), "down": choose.choice([1, 2, 3, 4, [1, 2], [3, 1]])}
        kw |= {"padding": any_padding(choose), "flip_filter": choose.random() < 0.5, "gain": choose.choice([1.0, 0.5, 4, 2.5])}
        (ux, uy), (dx, dy) = textbook.pair(kw["up"]), textbook.pair(kw["down"])
        (x0, x1, y0, y1), (w, h) = textbook.four(kw["padding"]), textbook.taps(f)
        if min(out_size(shape[3], ux, dx, x0, x1, w), out_size(shape[2], uy, dy, y0, y1, h)) < 1:
            continue
        if min(shape[3] * ux + min(x0, 0) + min(x1, 0), shape[2] * uy + min(y0, 0) + min(y1, 0)) < 1:
            continue  # everything cropped away: nothing to filter
        count -= 1
        yield noise(*shape, seed=count), f, kw


# -- resampling


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_upfirdn2d_is_its_textbook_form(dtype):
    for x, f, kw in resampling_cases(150, seed=1):
        f = f if f is None else f.to(dtype)
        agree("upfirdn2d", x.to(dtype), f, **kw)


@pytest.mark.parametrize("name, factor", [("filter2d", None), ("upsample2d", "up"), ("downsample2d", "down")])
def test_filters_and_resizers_are_their_textbook_forms(name, factor):
    theirs, choose, tried = getattr(textbook, name), random.Random(2), 0
    for x, f, kw in resampling_cases(60, seed=3):
        kw = {"padding": kw["padding"], "flip_filter": kw["flip_filter"], "gain": kw["gain"]}
        if factor:
            kw[factor] = choose.choice([1, 2, 3, 4, [2, 1]])
        try:
            theirs(x, f, **kw)
        except RuntimeError:  # cropped to nothing
            continue
        tried += 1
        agree(name, x, f, **kw)
    assert tried >= 40


def test_a_filter_that_changes_is_seen():
    """A form that keeps something it computed from a filter must notice that the filter is no longer the same."""
    x, f = noise(1, 2, 32, 32), textbook.setup_filter([1, 3, 3, 1])
    for filt in (f, f[0] / f[0].sum(), textbook.design_lowpass_filter(12, 8, 10, 64, radial=True)):
        filt = filt.clone()
        for kw in ({"up": 2, "padding": 12}, {"down": 2, "padding": 12}, {"padding": 12}):
            layers.upfirdn2d(x, filt, **kw)
            old = filt.clone()
            filt.copy_(filt.flip(0) * torch.linspace(0.5, 2, filt.shape[0]).reshape(-1, *[1] * (filt.ndim - 1)))
            assert relative_error(layers.upfirdn2d(x, filt, **kw), textbook.upfirdn2d(x, filt, **kw)) < 3e-6
            filt = old


def test_filters_made_without_gradients_work():
    with torch.inference_mode():
        f = textbook.design_lowpass_filter(12, 8, 10, 64, radial=True)
        wanted = textbook.upfirdn2d(noise(1, 2, 24, 24), f, down=2)
        assert relative_error(layers.upfirdn2d(noise(1, 2, 24, 24), f, down=2), wanted) < 3e-6


def test_use_without_gradients_does_not_spoil_later_use_with_them():
    x, f = noise(2, 3, 33, 35), textbook.design_lowpass_filter(11, 7.1, 9, 64, radial=True)
    weight, styles = noise(4, 3, 3, 3, seed=1), noise(2, 3, seed=2)

    def everything(x):
        y = layers.upfirdn2d(x, f, up=2, padding=9)
        y = layers.filtered_lrelu(y, f, f, up=2, down=2, padding=10)
        return layers.modulated_conv2d(y, weight, styles, up=2, padding=1, resample_filter=f).square().sum()

    with torch.inference_mode():
        first = everything(x)
    with torch.no_grad():
        everything(x)
    leaf = x.clone().requires_grad_()
    y = everything(leaf)
    (gradient,) = torch.autograd.grad(y, leaf, create_graph=True)
    gradient.square().sum().backward()
    assert torch.allclose(first, y) and bool(leaf.grad.isfinite().all())


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "expanded"])
def test_any_memory_layout_gives_the_same_numbers(layout):
    f = textbook.setup_filter([1, 3, 3, 1])
    x = {
        "channels_last": noise(2, 4, 21, 30).contiguous(memory_format=torch.channels_last),
        "transposed": noise(2, 4, 30, 21).transpose(2, 3),
        "expanded": noise(1, 4, 21, 1).expand(2, 4, 21, 30),
    }[layout]
    weight, styles = noise(5, 4, 3, 3, seed=1), noise(2, 4, seed=2)
    for kw in ({"up": 2, "padding": [2, 1, 2, 1]}, {"down": 2, "padding": 1}, {"padding": 2}):
        agree("upfirdn2d", x, f, **kw)
    kw = {"up": 2, "padding": 1, "resample_filter": f, "flip_weight": False}
    agree("modulated_conv2d", x, weight, styles, grad=(0, 1, 2), **kw)


def test_an_empty_batch_stays_empty():
    f = textbook.setup_filter([1, 3, 3, 1])
    assert layers.upfirdn2d(noise(0, 3, 24, 24), f, up=2, padding=[2, 1, 2, 1]).shape == (0, 3, 48, 48)
    assert layers.upfirdn2d(noise(0, 3, 8, 8), f, down=2, padding=1).shape == (0, 3, 4, 4)


# -- convolutions


def convolution_cases(count: int, seed: int, kernels):
    choose = random.Random(seed)
    while count:
        groups, (kh, kw) = choose.choice([1, 1, 2, 3]), choose.choice(kernels)
        I, O, H, W = choose.randint(1, 4), choose.randint(1, 4), choose.randint(1, 24), choose.randint(1, 24)
        f = any_filter(choose)
        up, down = choose.choice([(1, 1), (2, 1), (1, 2), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3), (4, 1), (1, 4), (4, 3)])
        args = {"up": up, "down": down, "padding": any_padding(choose, -1, 4), "groups": groups}
        args |= {"flip_weight": choose.random() < 0.5, "flip_filter": choose.random() < 0.5}
        x = noise(choose.randint(1, 3), groups * I, H, W, seed=count)
        w = noise(groups * O, I, kh, kw, seed=count + 1)
        around = textbook.resample_padding(args["padding"], f, up, down)
        if min(H, W) * up + min(*around, 0) * 2 < 1:
            continue
        try:
            textbook.conv2d_resample_literal(x, w, f, **args)
        except RuntimeError:  # the result would have no pixel
            continue
        count -= 1
        yield x, w, f, args


KERNELS = [(1, 1), (2, 2), (3, 3), (3, 3), (5, 5), (1, 3), (4, 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_conv2d_resample_is_its_textbook_form(dtype):
    for x, w, f, kw in convolution_cases(100, 4, KERNELS):
        f = f if f is None else f.to(dtype)
        agree("conv2d_resample", x.to(dtype), w.to(dtype), f, grad=(0, 1), theirs=textbook.conv2d_resample_literal, **kw)


def test_the_two_textbook_forms_of_conv2d_resample_agree():
    for x, w, f, kw in convolution_cases(60, 5, KERNELS):
        f = f if f is None else f.double()
        quick = textbook.conv2d_resample(x.double(), w.double(), f, **kw)
        assert relative_error(quick, textbook.conv2d_resample_literal(x.double(), w.double(), f, **kw)) < 1e-13


def modulation_cases(count: int, seed: int):
    choose = random.Random(seed)
    for k in range(count):
        N, I, O, size = choose.choice([1, 2, 5]), choose.randint(4, 7), choose.randint(1, 6), choose.choice([1, 2, 5, 16, 23])
        kernel, up = choose.choice([1, 3]), choose.choice([1, 1, 2])
        kw = {"demodulate": choose.random() < 0.7, "up": up, "padding": kernel // 2 if up == 2 else choose.randint(0, kernel)}
        if size + 2 * kw["padding"] < kernel:
            kw["padding"] = 1
        kw |= {"flip_weight": choose.random() < 0.5}
        if up == 2 or choose.random() < 0.3:
            kw["resample_filter"] = textbook.setup_filter([1, 3, 3, 1])
        out = size * up + (2 * kw["padding"] - kernel + 1)
        extra = choose.choice(["none", "noise", "noise per sample", "gain", "gain per channel"])
        if extra.startswith("noise"):
            kw["noise"] = noise(N if "per" in extra else 1, 1, out, out, seed=k)
        if extra.startswith("gain"):
            kw["input_gain"] = noise(*([I] if "per" in extra else []), seed=k).abs() + 0.5
        yield noise(N, I, size, size + k % 2, seed=k), noise(O, I, kernel, kernel, seed=k + 1), noise(N, I, seed=k + 2), kw


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_modulated_conv2d_is_its_textbook_form(dtype):
    for x, w, s, kw in modulation_cases(120, 6):
        kw = {name: v.to(dtype) if isinstance(v, torch.Tensor) else v for name, v in kw.items()}
        if "noise" in kw:
            x = x[..., : x.shape[2]]
        agree("modulated_conv2d", x.to(dtype), w.to(dtype), s.to(dtype), grad=(0, 1, 2), **kw)


def test_demodulation_makes_unit_variance():
    """Karras et al. 2020, section 2.2: for white input every output map has standard deviation one, whatever the styles."""
    x, w = noise(4, 64, 32, 32), noise(16, 64, 3, 3, seed=1)
    styles = noise(4, 64, seed=2) * torch.tensor([0.01, 1, 10, 300.0])[:, None]
    deviation = layers.modulated_conv2d(x, w, styles, padding=1)[..., 1:-1, 1:-1].std(dim=(1, 2, 3))
    assert torch.allclose(deviation, torch.ones(4), atol=0.03)
    plain = layers.modulated_conv2d(x, w, styles, padding=1, demodulate=False)
    wanted = torch.cat([torch.nn.functional.conv2d(x[n : n + 1] * styles[n, :, None, None], w, padding=1) for n in range(4)])
    assert relative_error(plain, wanted) < 3e-6


# -- bias, activation, filtered leaky ReLU


@pytest.mark.parametrize("act", list(textbook.ACTIVATIONS))
def test_bias_act_is_its_textbook_form(act):
    choose = random.Random(act)
    for k in range(12):
        shape = [choose.randint(1, 5) for _ in range(choose.choice([2, 3, 4]))]
        kw = {"dim": choose.randrange(len(shape)), "act": act, "gain": choose.choice([None, 0.5, 3.0])}
        kw |= {"clamp": choose.choice([None, 0.4, 256.0]), "alpha": choose.choice([None, 0.1]) if act == "lrelu" else None}
        x, b = noise(*shape, seed=k) * 3, noise(shape[kw["dim"]], seed=k + 1)
        agree("bias_act", x, b, grad=(0, 1), **kw)
        kw["dim"] = 1
        agree("bias_act", x, **kw)


def test_bias_act_has_the_published_gains():
    x = torch.tensor([[-1.0, 2.0]])
    gains = {"linear": 1, "relu": 2**0.5, "lrelu": 2**0.5, "tanh": 1, "sigmoid": 1, "elu": 1, "selu": 1, "softplus": 1}
    for act, gain in (gains | {"swish": 2**0.5}).items():
        assert torch.allclose(layers.bias_act(x, act=act), gain * layers.bias_act(x, act=act, gain=1.0)), act
    assert torch.allclose(layers.bias_act(x, act="lrelu", gain=1.0), torch.tensor([[-0.2, 2.0]]))


def lrelu_cases(count: int, seed: int):
    choose = random.Random(seed)
    while count:
        fu, fd = any_filter(choose), any_filter(choose)
        up, down, size = choose.choice([1, 2, 4]), choose.choice([1, 2, 4]), choose.choice([1, 5, 13, 24, 40])
        kw = {"up": up, "down": down, "padding": any_padding(choose, -3, 12), "flip_filter": choose.random() < 0.5}
        kw |= {"gain": choose.choice([1.0, 2**0.5]), "slope": choose.choice([0.2, 0.1, 1.0])}
        kw |= {"clamp": choose.choice([None, 0.5, 256])}
        shape = (choose.randint(1, 3), choose.randint(1, 4), size, size + choose.randint(0, 3))
        (x0, x1, y0, y1), (w, h), (w2, h2) = textbook.four(kw["padding"]), textbook.taps(fu), textbook.taps(fd)
        cropped = [shape[3] * up + min(x0, 0) + min(x1, 0), shape[2] * up + min(y0, 0) + min(y1, 0)]
        if min(*cropped, shape[3] * up + x0 + x1 - w - w2 + 2, shape[2] * up + y0 + y1 - h - h2 + 2) < 1:
            continue
        count -= 1
        yield noise(*shape, seed=count), noise(shape[1], seed=count + 1), fu, fd, kw


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_filtered_lrelu_is_its_textbook_form(dtype):
    for x, b, fu, fd, kw in lrelu_cases(80, 7):
        fu, fd = (f if f is None else f.to(dtype) for f in (fu, fd))
        if dtype == torch.float32 and near_a_kink(x, b, fu, kw):
            ours, theirs = (m.filtered_lrelu(x, fu, fd, b, **kw) for m in (layers, textbook))
            assert relative_error(ours, theirs) <= CLOSE[dtype], kw
        else:
            agree("filtered_lrelu", x.to(dtype), fu, fd, b.to(dtype), grad=(0, 3), **kw)


def near_a_kink(x, b, fu, kw) -> bool:
    """Whether some sample lies so near to 0 or to the clamp that rounding decides between two slopes."""
    resample = {name: kw[name] for name in ("up", "padding", "flip_filter")}
    middle = textbook.upfirdn2d(textbook.bias_act(x, b).double(), fu, gain=kw["up"] ** 2, **resample)
    kinks = [middle]
    if kw["clamp"]:
        kinks += [middle * kw["gain"] - kw["clamp"], middle * kw["gain"] * kw["slope"] + kw["clamp"]]
    near = torch.stack(kinks).abs().amin(0) < 2e-6 * middle.abs().max()
    return bool((near & (middle != 0)).any())


# -- half precision


@pytest.mark.parametrize("half, error", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_half_precision_stays_half_and_close(half, error):
    f, radial = textbook.setup_filter([1, 3, 3, 1]), textbook.design_lowpass_filter(12, 8, 10, 64, radial=True)
    low = textbook.design_lowpass_filter(12, 8, 10, 64)
    x, w, s, b = noise(2, 8, 24, 24), noise(6, 8, 3, 3, seed=1), noise(2, 8, seed=2), noise(8, seed=3)
    forms = {
        "up": lambda m, x, w, s, b: m.upfirdn2d(x, f, up=2, padding=[2, 1, 2, 1], gain=4),
        "down": lambda m, x, w, s, b: m.upfirdn2d(x, f, down=2, padding=1),
        "modulated": lambda m, x, w, s, b: m.modulated_conv2d(x, w, s, padding=1),
        "modulated up": lambda m, x, w, s, b: m.modulated_conv2d(
            x, w, s, up=2, padding=1, resample_filter=f, flip_weight=False
        ),
        "conv down": lambda m, x, w, s, b: m.conv2d_resample(x, w, f, down=2, padding=1),
        "lrelu T": lambda m, x, w, s, b: m.filtered_lrelu(x, low, low, b, up=2, down=2, padding=[9, 8, 9, 8], clamp=256),
        "lrelu R": lambda m, x, w, s, b: m.filtered_lrelu(x, low, radial, b, up=2, down=2, padding=[11, 10, 11, 10]),
    }
    for name, form in forms.items():
        wanted = form(textbook, x, w, s, b)
        got = form(layers, x.to(half), w.to(half) if name == "conv down" else w, s, b.to(half))
        assert got.dtype == half, name
        assert relative_error(got, wanted) < error, name


# -- derivatives in float64: first against finite differences, second against finite differences of the first

F1331 = [1.0, 3.0, 3.0, 1.0]
TINY = {
    "up": lambda x: layers.upfirdn2d(x, noise(3, 2).double(), up=2, padding=[2, 1, 0, 1]),
    "down": lambda x: layers.upfirdn2d(x, noise(4).double(), down=2, padding=[2, 2, 3, 1], flip_filter=True),
    "up and down": lambda x: layers.upfirdn2d(x, noise(5).double(), up=3, down=2, padding=[2, 2, 3, -1], gain=2.0),
}


@pytest.mark.parametrize("name", list(TINY))
def test_upfirdn2d_has_two_derivatives(name):
    for size in (4, 24):  # below and above where the fast form changes over
        x = noise(1, 1, size, 3, dtype=torch.float64).requires_grad_()
        assert gradcheck(TINY[name], x) and gradgradcheck(TINY[name], x)


@pytest.mark.parametrize(
    "kw", [{"up": 2, "padding": 1}, {"down": 2, "padding": 1}, {"padding": [1, 0, 2, 1]}, {"up": 2, "groups": 2}]
)
def test_conv2d_resample_has_two_derivatives(kw):
    f = textbook.setup_filter(F1331).double()
    x = noise(1, 2, 4, 5, dtype=torch.float64).requires_grad_()
    for kernel in (1, 3):
        w = noise(2, 2 // kw.get("groups", 1), kernel, kernel, dtype=torch.float64, seed=1).requires_grad_()

        def form(x, w, kw=kw):
            return layers.conv2d_resample(x, w, f, **kw)

        assert gradcheck(form, (x, w)) and gradgradcheck(form, (x, w))


@pytest.mark.parametrize("act", list(textbook.ACTIVATIONS))
def test_bias_act_has_two_derivatives(act):
    x, b = noise(3, 2, dtype=torch.float64).requires_grad_(), noise(2, dtype=torch.float64, seed=1).requires_grad_()

    def form(x, b):
        return layers.bias_act(x, b, act=act, clamp=1.0)

    assert gradcheck(form, (x, b)) and gradgradcheck(form, (x, b))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kw", [{}, {"demodulate": False}, {"up": 2, "flip_weight": False}, {"gain": True}, {"noise": True}])
def test_modulated_conv2d_has_two_derivatives(kw, batch):
    x = noise(batch, 2, 3, 3, dtype=torch.float64).requires_grad_()
    w = noise(2, 2, 3, 3, dtype=torch.float64, seed=1).requires_grad_()
    s = noise(batch, 2, dtype=torch.float64, seed=2).requires_grad_()
    f = textbook.setup_filter(F1331).double()
    kw, extra = {"padding": 1, "resample_filter": f, **kw}, ()
    if kw.pop("noise", False):
        extra = (noise(batch, 1, 3, 3, dtype=torch.float64, seed=3).requires_grad_(),)
    if kw.pop("gain", False):
        kw["input_gain"] = torch.tensor(0.7, dtype=torch.float64)

    def form(x, w, s, noise=None):
        return layers.modulated_conv2d(x, w, s, noise=noise, **kw)

    assert gradcheck(form, (x, w, s, *extra)) and gradgradcheck(form, (x, w, s, *extra))


@pytest.mark.parametrize("radial", [False, True])
def test_filtered_lrelu_has_two_derivatives(radial):
    fu = textbook.design_lowpass_filter(6, 4, 9, 32).double()
    fd = textbook.design_lowpass_filter(6, 4, 9, 32, radial=radial).double()
    x = noise(1, 2, 4, 3, dtype=torch.float64).requires_grad_()
    b = noise(2, dtype=torch.float64, seed=1).requires_grad_()

    def form(x, b):
        return layers.filtered_lrelu(x, fu, fd, b, up=2, down=2, padding=[5, 4, 5, 4], clamp=1.5)

    assert gradcheck(form, (x, b)) and gradgradcheck(form, (x, b))


# -- filters


def test_setup_filter_is_its_textbook_form():
    shapes = ([1, 3, 3, 1], [1, 2, 1], [5], list(range(1, 9)), [[1, 2, 3], [4, 5, 6]], None, torch.tensor([1.0, 2.0]))
    options = ({}, {"gain": 4}, {"flip_filter": True}, {"normalize": False}, {"separable": True}, {"separable": False})
    for f in shapes:
        for kw in options:
            if kw.get("separable") and isinstance(f, list) and isinstance(f[0], list):
                continue
            got = layers.setup_filter(f, **kw)
            assert got.dtype == torch.float32 and torch.allclose(got, textbook.setup_filter(f, **kw), rtol=1e-6), (f, kw)


def response(f: torch.Tensor, frequencies: torch.Tensor, fs: float) -> torch.Tensor:
    """Magnitude of a one-dimensional filter's frequency response."""
    t = torch.arange(len(f), dtype=torch.float64) / fs
    return (f.double() * torch.exp(-2j * math.pi * frequencies[:, None] * t)).sum(1).abs()


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("design", [(12, 8.0, 9.9, 64), (24, 8.0, 8.0, 128), (13, 4.0, 6.0, 32), (24, 16.0, 19.7, 256)])
def test_lowpass_filters_pass_what_is_low_and_stop_what_is_high(design, radial):
    taps, cutoff, width, fs = design
    f = layers.design_lowpass_filter(taps, cutoff, width, fs, radial=radial)
    assert f.dtype == torch.float32 and f.shape == ((taps, taps) if radial else (taps,))
    assert abs(f.sum().item() - 1) < 1e-6
    assert torch.allclose(f, f.flip(0), atol=1e-7)
    assert relative_error(f, textbook.design_lowpass_filter(taps, cutoff, width, fs, radial=radial)) < 1e-6
    if radial:  # the same along both axes and after a quarter turn
        assert torch.allclose(f, f.T, atol=1e-7) and torch.allclose(f, f.rot90(), atol=1e-7)
    axis = f.sum(0) if radial else f  # its response along one axis of the plane of frequencies
    passed = response(axis, torch.linspace(0, cutoff - width / 2, 20, dtype=torch.float64), fs)
    stopped = response(axis, torch.linspace(cutoff + width / 2, fs / 2, 50, dtype=torch.float64), fs)
    ripple = 10 ** (-(2.285 * (taps - 1) * math.pi * width / (fs / 2) + 7.95) / 20)  # what Kaiser's formula promises
    assert stopped.max() < 1.3 * ripple
    assert (passed - 1).abs().max() < 4 * ripple  # so few taps cannot keep the promise at the edge of the pass band
    assert 0.4 < response(axis, torch.tensor([cutoff], dtype=torch.float64), fs).item() < 0.6


@pytest.mark.parametrize("angle", [15, 30, 45])
def test_radial_filters_treat_every_direction_alike(angle):
    """The point of the jinc (Karras et al. 2021, section 3.2): rotating a wave does not change what passes."""
    taps, cutoff, width, fs = 24, 8.0, 10.0, 64
    t, turn = torch.arange(taps, dtype=torch.float64) / fs, math.radians(angle)
    spread = {}
    for radial in (True, False):
        f = layers.design_lowpass_filter(taps, cutoff, width, fs, radial=radial).double()
        f = f if radial else torch.outer(f, f)
        along, turned = (
            (f * torch.exp(-2j * math.pi * 9.5 * (math.cos(a) * t[None, :] + math.sin(a) * t[:, None]))).sum().abs().item()
            for a in (0.0, turn)
        )
        spread[radial] = abs(along - turned)
    assert spread[True] < 0.02 and spread[True] < 0.25 * spread[False]


def test_one_tap_needs_no_filter():
    assert layers.design_lowpass_filter(1, 4, 2, 32) is None
    assert layers.design_lowpass_filter(1, 4, 2, 32, radial=True) is None


# -- refusals


def test_what_cannot_be_used_is_refused_in_one_line():
    x = noise(1, 2, 8, 8)
    wrong = {
        "an unknown activation": lambda: layers.bias_act(x, act="gelu"),
        "a result of no pixels": lambda: layers.upfirdn2d(x, noise(12), padding=0),
        "a filter of three dimensions": lambda: layers.setup_filter(torch.ones(2, 2, 2)),
    }
    for what, call in wrong.items():
        with pytest.raises(InputError) as refusal:
            call()
        assert "\n" not in str(refusal.value), what
