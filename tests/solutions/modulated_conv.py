"""modulated_conv(x, weight, styles, demodulate=True): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F

from exercises.stylegan.modulated_conv import convolved, demodulated, grouped, modulated, plain, right, solution, squares

EPS = 1e-8


def by_scaling(x, weight, styles, demodulate=True):
    """The styles scale the inputs, the demodulation the outputs: one convolution for the whole batch."""
    y = F.conv2d(x * styles[:, :, None, None], weight, padding=weight.shape[-1] // 2)
    if demodulate:
        y = y * (styles.square() @ weight.square().sum((2, 3)).T + EPS).rsqrt()[:, :, None, None]
    return y


def by_loop(x, weight, styles, demodulate=True):
    results = []
    for picture, style in zip(x, styles):
        own = weight * style.view(1, -1, 1, 1)
        if demodulate:
            own = own / torch.sqrt((own**2).sum(dim=(1, 2, 3), keepdim=True) + EPS)
        results.append(F.conv2d(picture.unsqueeze(0), own, padding="same"))
    return torch.cat(results, dim=0)


def by_unfold(x, weight, styles, demodulate=True):
    n, inputs, height, width = x.shape
    k = weight.shape[-1]
    patches = F.unfold(x, k, padding=k // 2).reshape(n, inputs, k * k, height * width)
    own = torch.einsum("oik,ni->noik", weight.flatten(2), styles)
    if demodulate:
        own = F.normalize(own.flatten(2), dim=2, eps=1e-4).reshape(own.shape)
    return torch.einsum("noik,nikp->nop", own, patches).reshape(n, -1, height, width)


def by_vmap(x, weight, styles, demodulate=True):
    def one(picture, style):
        own = weight * style[:, None, None]
        if demodulate:
            own = own * torch.rsqrt(own.pow(2).sum([1, 2, 3], keepdim=True) + EPS)
        return F.conv2d(picture[None], own, padding=(weight.size(2) - 1) // 2)[0]

    return torch.vmap(one)(x, styles)


def by_transposed(x, weight, styles, demodulate=True):
    """A transposed convolution with a turned kernel is the same map."""
    weights = modulated(weight, styles)
    weights = demodulated(weights) if demodulate else weights
    turned = weights.transpose(1, 2).flip(3, 4)
    return torch.cat([F.conv_transpose2d(picture[None], w, padding=weight.shape[-1] // 2) for picture, w in zip(x, turned)])


def by_fourier(x, weight, styles, demodulate=True):
    """Products of spectra, with room for what goes round."""
    k, size = weight.shape[-1], [length + weight.shape[-1] for length in x.shape[2:]]
    own = modulated(weight, styles)
    own = demodulated(own) if demodulate else own
    spectra = torch.einsum("nihw,noihw->nohw", torch.fft.rfft2(x, size), torch.fft.rfft2(own.flip(3, 4), size))
    return torch.fft.irfft2(spectra, size)[:, :, k // 2 :, k // 2 :][:, :, : x.shape[2], : x.shape[3]]


def padded_by(amount):
    def convolve(x, own):
        pictures = F.pad(x, (amount(own.shape[-1]),) * 4)
        return torch.cat([F.conv2d(picture[None], w) for picture, w in zip(pictures, own)])

    return solution(convolve=convolve)


def without_groups(x, own):
    n, outputs, inputs, k, _ = own.shape
    y = F.conv2d(x.reshape(1, n * inputs, *x.shape[2:]), own.reshape(n * outputs, inputs, k, k), padding=k // 2)
    return y.reshape(n, outputs, *x.shape[2:])


def batch_not_in_groups(x, own):
    return F.conv2d(x, own.flatten(0, 1), padding=own.shape[-1] // 2, groups=len(own))


def axes_missing(x, weight, styles, demodulate=True):
    return convolved(x, demodulated((weight * styles[:, :, None, None])[None].expand(len(x), -1, -1, -1, -1)))


def sum_detached(own):
    return own * (squares(own.detach()) + EPS).rsqrt()


def changes_weight(x, weight, styles, demodulate=True):
    if demodulate:
        weight *= (weight.square().sum((1, 2, 3), keepdim=True) + EPS).rsqrt()
    return by_scaling(x, weight, styles, demodulate)


def changes_x(x, weight, styles, demodulate=True):
    x *= styles[:, :, None, None]
    return by_scaling(x, weight, torch.ones_like(styles), demodulate)


def changes_styles(x, weight, styles, demodulate=True):
    styles += 1e-3
    return by_scaling(x, weight, styles, demodulate)


def no_graph(x, weight, styles, demodulate=True):
    with torch.no_grad():
        return by_scaling(x, weight, styles, demodulate)


def output_measured(x, weight, styles, demodulate=True):
    y = plain(x, weight, styles)
    return y / y.std((2, 3), keepdim=True) if demodulate else y


RIGHT = [
    ("grouped", solution(convolve=grouped)),
    ("scaled inputs and outputs", by_scaling),
    ("loop", by_loop),
    ("unfold", by_unfold),
    ("vmap", by_vmap),
    ("transposed convolution", by_transposed),
    ("spectra", by_fourier),
]
WRONG = [
    ("no keepdim", solution(divide=lambda own: own / own.square().sum((2, 3, 4)).sqrt()), "need keepdim=True"),
    ("the wrong way round", lambda x, w, s, demodulate=True: right(x, w, s, not demodulate), "where it is demodulated"),
    ("no padding", padded_by(lambda k: 0), "padding k // 2"),
    ("padding 1", padded_by(lambda k: 1), "padding k // 2"),
    ("stride", lambda x, w, s, demodulate=True: right(x, w, s)[:, :, ::2, ::2], "stride 1 keep the size"),
    ("no groups", solution(convolve=without_groups), "groups=N"),
    (
        "not split",
        lambda x, w, s, demodulate=True: right(x, w, s).flatten(0, 1)[None],
        "split the one grouped picture into N again",
    ),
    ("five axes", solution(convolve=lambda x, own: F.conv2d(x, own)), "groups=N"),
    ("batch not in groups", solution(convolve=batch_not_in_groups), "groups=N"),
    ("styles without axes", axes_missing, "[N, 1, I, 1, 1]"),
    ("transposed weights", solution(lambda w, s: modulated(w.transpose(0, 1), s)), "axis 1 of weight"),
    ("sum without squares", solution(divide=lambda own: own / own.sum((2, 3, 4), keepdim=True).sqrt()), "Square before"),
    ("sum detached", solution(divide=sum_detached), "the gradient for weight"),
    ("changes the weights", changes_weight, "it changed weight in place"),
    ("changes the styles", changes_styles, "it changed styles in place"),
    ("changes x", changes_x, "it changed x in place"),
    ("styles detached", lambda x, w, s, demodulate=True: by_scaling(x, w, s.detach(), demodulate), "the gradient for styles"),
    ("weight.data", lambda x, w, s, demodulate=True: by_scaling(x, w.data, s, demodulate), "the gradient for weight"),
    ("no_grad", no_graph, "not this gradient"),
    ("output measured", output_measured, "each output channel of each picture"),
    ("an eps of 0.01", solution(divide=lambda own: demodulated(own, eps=0.01)), "+ 1e-8"),
    ("eps beside the root", solution(divide=lambda own: own / (squares(own).sqrt() + 0.1)), "+ 1e-8"),
    ("no option", lambda x, w, s: by_scaling(x, w, s), "check the signature"),
    ("no return", lambda x, w, s, demodulate=True: None, "return statement missing"),
]
