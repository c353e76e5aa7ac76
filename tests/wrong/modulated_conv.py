"""modulated_conv(x, weight, styles, demodulate=True): wrong and right solutions."""

import torch
import torch.nn.functional as F

EPS = 1e-8


def grouped(x, weights):
    """Each picture with weights of its own [N, O, I, k, k], as one convolution in N groups."""
    n, outputs, inputs, k, _ = weights.shape
    y = F.conv2d(x.reshape(1, n * inputs, *x.shape[2:]), weights.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)
    return y.reshape(n, outputs, *x.shape[2:])


def modulate(weight, styles):
    return weight[None] * styles[:, None, :, None, None]


def demod(weights, axes=(2, 3, 4)):
    return weights * (weights.square().sum(axes, keepdim=True) + EPS).rsqrt()


def with_weights(make, always=False):
    """A solution whose weights are `make(weight, styles)` where demodulation is wanted."""

    def solution(x, weight, styles, demodulate=True):
        plain = modulate(weight, styles)
        return grouped(x, make(weight, styles) if demodulate or always else plain)

    return solution


def with_styles(change):
    def solution(x, weight, styles, demodulate=True):
        weights = change(weight, styles)
        return grouped(x, demod(weights) if demodulate else weights)

    return solution


def with_axes(*axes):
    return with_weights(lambda weight, styles: demod(modulate(weight, styles), axes))


def scaled_output(x, weight, styles, demodulate=True):
    weights = weight.expand(len(x), *weight.shape)
    return grouped(x, demod(weights) if demodulate else weights) * styles[:, : len(weight), None, None]


def before(weight, styles):
    return demod(weight[None]) * styles[:, None, :, None, None]


def no_demodulation(weight, styles):
    return modulate(weight, styles)


def no_root(weight, styles):
    weights = modulate(weight, styles)
    return weights / (weights.square().sum((2, 3, 4), keepdim=True) + EPS)


def root_multiplied(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.square().sum((2, 3, 4), keepdim=True) + EPS).sqrt()


def mean_of_squares(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.square().mean((2, 3, 4), keepdim=True) + EPS).rsqrt()


def without_squares(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.sum((2, 3, 4), keepdim=True) + EPS).rsqrt()


def absolute(weight, styles):
    weights = modulate(weight, styles)
    return weights / (weights.abs().sum((2, 3, 4), keepdim=True) + EPS)


def by_std(weight, styles):
    weights = modulate(weight, styles)
    return weights / (weights.std((2, 3, 4), keepdim=True) + EPS)


def without_eps(weight, styles):
    weights = modulate(weight, styles)
    return weights * weights.square().sum((2, 3, 4), keepdim=True).rsqrt()


def large_eps(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-4).rsqrt()


def styles_in_the_sum(weight, styles):
    return modulate(weight, styles) * (styles.square().sum(1) + EPS).rsqrt()[:, None, None, None, None]


def weights_in_the_sum(weight, styles):
    return modulate(weight, styles) * (weight.square().sum((1, 2, 3)) + EPS).rsqrt()[None, :, None, None, None]


def sum_detached(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.detach().square().sum((2, 3, 4), keepdim=True) + EPS).rsqrt()


def instance_norm(x, weight, styles, demodulate=True):
    y = grouped(x, modulate(weight, styles))
    return F.instance_norm(y) if demodulate else y


def never_demodulated(x, weight, styles, demodulate=True):
    return grouped(x, modulate(weight, styles))


def always_demodulated(x, weight, styles, demodulate=True):
    return grouped(x, demod(modulate(weight, styles)))


def not_by_default(x, weight, styles, demodulate=False):
    weights = modulate(weight, styles)
    return grouped(x, demod(weights) if demodulate else weights)


def padded_by(amount, mode="constant"):
    def solution(x, weight, styles, demodulate=True):
        weights = modulate(weight, styles)
        weights = demod(weights) if demodulate else weights
        p = amount(weight.shape[-1])
        pictures = F.pad(x, (p, p, p, p), mode=mode)
        return torch.cat([F.conv2d(picture[None], w) for picture, w in zip(pictures, weights)])

    return solution


def mixed(x, weight, styles, demodulate=True):
    """Channels before pictures on the way into the groups."""
    weights = modulate(weight, styles)
    weights = demod(weights) if demodulate else weights
    n, outputs, inputs, k, _ = weights.shape
    x = x.transpose(0, 1).reshape(1, n * inputs, *x.shape[2:])
    y = F.conv2d(x, weights.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)
    return y.reshape(n, outputs, *y.shape[2:])


def mixed_on_the_way_out(x, weight, styles, demodulate=True):
    weights = modulate(weight, styles)
    weights = demod(weights) if demodulate else weights
    n, outputs, inputs, k, _ = weights.shape
    x = x.reshape(1, n * inputs, *x.shape[2:])
    y = F.conv2d(x, weights.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)
    return y.reshape(outputs, n, *y.shape[2:]).transpose(0, 1)


def without_groups(x, weight, styles, demodulate=True):
    weights = modulate(weight, styles)
    weights = demod(weights) if demodulate else weights
    n, outputs, inputs, k, _ = weights.shape
    y = F.conv2d(x.reshape(1, n * inputs, *x.shape[2:]), weights.reshape(n * outputs, inputs, k, k), padding=k // 2)
    return y.reshape(n, outputs, *x.shape[2:])


def not_split(x, weight, styles, demodulate=True):
    y = reference(x, weight, styles, demodulate)
    return y.reshape(1, -1, *y.shape[2:])


def five_axes(x, weight, styles, demodulate=True):
    return F.conv2d(x, demod(modulate(weight, styles)), padding=weight.shape[-1] // 2)


def batch_not_in_groups(x, weight, styles, demodulate=True):
    weights = demod(modulate(weight, styles))
    n, outputs, inputs, k, _ = weights.shape
    return F.conv2d(x, weights.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)


def axes_missing(x, weight, styles, demodulate=True):
    weights = weight * styles[:, :, None, None]
    return grouped(x, demod(weights[None].expand(len(x), -1, -1, -1, -1)))


def all_outputs(x, weight, styles, demodulate=True):
    """Each picture with the weights of all pictures, summed."""
    weights = modulate(weight, styles)
    weights = demod(weights) if demodulate else weights
    return sum(F.conv2d(x, w, padding=weight.shape[-1] // 2) for w in weights)


def changes_weight(x, weight, styles, demodulate=True):
    if demodulate:
        weight *= (weight.square().sum((1, 2, 3), keepdim=True) + EPS).rsqrt()
    return reference(x, weight, styles, demodulate)


def changes_styles(x, weight, styles, demodulate=True):
    styles += 1e-3
    return reference(x, weight, styles, demodulate)


def changes_x(x, weight, styles, demodulate=True):
    x *= styles[:, :, None, None]
    y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return y * (styles.square() @ weight.square().sum((2, 3)).T + EPS).rsqrt()[:, :, None, None] if demodulate else y


def styles_cut(x, weight, styles, demodulate=True):
    return reference(x, weight, styles.detach(), demodulate)


def weight_cut(x, weight, styles, demodulate=True):
    return reference(x, weight.data, styles, demodulate)


def x_cut(x, weight, styles, demodulate=True):
    return reference(x.detach(), weight, styles, demodulate)


def no_graph(x, weight, styles, demodulate=True):
    with torch.no_grad():
        return reference(x, weight, styles, demodulate)


def gained(x, weight, styles, demodulate=True):
    return 2**0.5 * reference(x, weight, styles, demodulate)


def batch_mean_of_the_sum(weight, styles):
    weights = modulate(weight, styles)
    return weights * (weights.square().sum((2, 3, 4), keepdim=True).mean(0, keepdim=True) + EPS).rsqrt()


def reference(x, weight, styles, demodulate=True):
    weights = modulate(weight, styles)
    return grouped(x, demod(weights) if demodulate else weights)


def strided(x, weight, styles, demodulate=True):
    return reference(x, weight, styles, demodulate)[:, :, ::2, ::2]


def nothing(x, weight, styles, demodulate=True):
    reference(x, weight, styles, demodulate)


WRONG = [
    (
        "styles on the outputs",
        with_styles(lambda w, s: w * s[:, : len(w), None, None, None]),
        "the styles scale the output channels",
    ),
    ("demodulation first", with_weights(before), "modulate first, then demodulate"),
    ("over the kernel", with_axes(3, 4), "only over the kernel, the input channels are missing"),
    ("root multiplied", with_weights(root_multiplied), "it multiplies by the root, expected a division"),
    ("no root", with_weights(no_root), "the root is missing"),
    ("no eps", with_weights(without_eps), "a style of zeros gives NaN"),
    ("large eps", with_weights(large_eps), "outweighs the sum, expected 1e-8"),
    (
        "one style",
        with_styles(lambda w, s: modulate(w, s[:1]).expand(len(s), -1, -1, -1, -1)),
        "one picture's style counts for all",
    ),
    ("averaged styles", with_styles(lambda w, s: modulate(w, s.mean(0, True).expand_as(s))), "the batch's styles are averaged"),
    ("neighbour's style", with_styles(lambda w, s: modulate(w, s.roll(1, 0))), "each picture gets its neighbour's style"),
    ("no styles", with_styles(lambda w, s: modulate(w, torch.ones_like(s))), "the styles are not used"),
    ("flipped", with_styles(lambda w, s: modulate(w.flip(2, 3), s)), "the kernel is flipped"),
    ("transposed kernel", with_styles(lambda w, s: modulate(w.transpose(2, 3), s)), "rows and columns of the kernel"),
    (
        "transposed weights",
        with_styles(lambda w, s: modulate(w.transpose(0, 1), s)),
        "input and output channels of the weights",
    ),
    ("1 + styles", with_styles(lambda w, s: modulate(w, 1 + s)), "1 is added to the styles"),
    ("added", with_styles(lambda w, s: w + s[:, None, :, None, None]), "the styles are added to the weights"),
    ("squared", with_styles(lambda w, s: modulate(modulate(w, s)[0], s) if len(s) == 1 else modulate(w, s * s)), "count twice"),
    ("divided", with_styles(lambda w, s: modulate(w, 1 / s)), "it divides by the styles"),
    ("normalised styles", with_styles(lambda w, s: modulate(w, F.normalize(s))), "the styles are normalised first"),
    ("equalised", with_styles(lambda w, s: modulate(w, s) / w[0].numel() ** 0.5), "equalised learning rate"),
    ("styles on the result", scaled_output, "the styles scale the result's channels"),
    ("gain", gained, "a gain of sqrt(2) is inside"),
    ("missing demodulation", with_weights(no_demodulation), "the demodulation is missing"),
    ("over the inputs", with_axes(2), "only over the input channels, the kernel is missing"),
    ("over the outputs", with_axes(1), "over the output channels, expected over input channels"),
    ("over outputs and kernel", with_axes(1, 3, 4), "over output channels and kernel"),
    ("over the outputs as well", with_axes(1, 2, 3, 4), "over the output channels as well"),
    ("over the batch as well", with_axes(0, 2, 3, 4), "over the batch as well"),
    ("over everything", with_axes(0, 1, 2, 3, 4), "over everything"),
    ("mean over the batch", with_weights(batch_mean_of_the_sum), "the mean over the batch is taken"),
    ("mean", with_weights(mean_of_squares), "it takes the mean of the squares"),
    ("sum without squares", with_weights(without_squares), "Square before you sum"),
    ("absolute values", with_weights(absolute), "it sums absolute values"),
    ("standard deviation", with_weights(by_std), "it divides by the standard deviation"),
    ("styles in the sum", with_weights(styles_in_the_sum), "only the styles are in the sum"),
    ("weights in the sum", with_weights(weights_in_the_sum), "only the weights are in the sum of squares"),
    ("sum detached", with_weights(sum_detached), "not the gradient for weight"),
    ("instance norm", instance_norm, "the result is normalised"),
    ("demodulate ignored, never", never_demodulated, "the demodulation is missing"),
    ("demodulate ignored, always", always_demodulated, "it is demodulated although demodulate is False"),
    ("not by default", not_by_default, "demodulate has to be True by default"),
    ("no padding", padded_by(lambda k: 0), "padding k // 2"),
    ("padding k", padded_by(lambda k: k), "padding k // 2"),
    ("padding 1", padded_by(lambda k: 1), "padding k // 2"),
    ("reflected", padded_by(lambda k: k // 2, "reflect"), "padded by reflection, expected zeros"),
    ("replicated", padded_by(lambda k: k // 2, "replicate"), "the border is repeated"),
    ("circular", padded_by(lambda k: k // 2, "circular"), "padded circularly"),
    ("stride", strided, "stride 1 keep the size"),
    ("channels before pictures", mixed, "the batch is mixed"),
    ("mixed on the way out", mixed_on_the_way_out, "the batch is mixed"),
    ("all weights for each picture", all_outputs, "depends on another one's style"),
    ("no groups", without_groups, "groups=N"),
    ("not split", not_split, "split the one grouped picture into N again"),
    ("five axes", five_axes, "groups=N"),
    ("batch not in groups", batch_not_in_groups, "groups=N"),
    ("styles without axes", axes_missing, "the styles need the shape [N, 1, I, 1, 1]"),
    ("changes the weights", changes_weight, "it changed weight itself"),
    ("changes the styles", changes_styles, "it changed styles itself"),
    ("changes x", changes_x, "it changed x itself"),
    ("styles detached", styles_cut, "no gradient reaches styles"),
    ("weight.data", weight_cut, "no gradient reaches weight"),
    ("x detached", x_cut, "no gradient reaches x"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("no return", nothing, "return statement missing"),
]


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
    weights = modulate(weight, styles)
    weights = demod(weights) if demodulate else weights
    p = weight.shape[-1] // 2
    turned = weights.transpose(1, 2).flip(3, 4)
    return torch.cat([F.conv_transpose2d(picture[None], w, padding=p) for picture, w in zip(x, turned)])


RIGHT = [
    ("grouped", reference),
    ("scaled inputs and outputs", by_scaling),
    ("loop", by_loop),
    ("unfold", by_unfold),
    ("vmap", by_vmap),
    ("transposed convolution", by_transposed),
]
