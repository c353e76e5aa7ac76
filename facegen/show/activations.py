"""Looking inside a generator: what each layer hands to the next, as pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor, nn

from facegen.files import InputError
from facegen.latent.sample import Labels, evaluating, has_styles, one_hot
from facegen.models.layers import upsample2d
from facegen.show.figures import HEADLINE, INK, Chart
from facegen.show.grids import as_uint8

# Blue below zero, white at zero, red above: told apart by colour-blind readers too.
COLOURS = "RdBu_r"
SCALE = "the strongest channels, each on its own scale: white is zero, red above, blue below"


def activations(
    G: nn.Module,
    z_or_ws: Tensor,
    *,
    layers: Sequence[str] | None = None,
    channels: int | None = None,
    labels: Labels | None = None,
) -> dict[str, Tensor]:
    """What every layer of a generator gives for some faces, in the order in which the layers are computed.

    Args:
        G: a DCGAN, StyleGAN2 or StyleGAN3 generator.
        z_or_ws: z [N, z_dim], or for the StyleGANs ws [N, num_ws, w_dim], as `G.mapping` gives them.
        layers: only these, by name: of StyleGAN2 "b8.conv0", "b8.conv1" and "b8.torgb" in every block, of StyleGAN3
            "input" and the layers such as "L3_52_512", of DCGAN the stages such as "main.2" (after normalisation and ReLU).
        channels: only so many channels of each layer, those that vary most over the picture, the strongest first. A
            layer of at most three channels (colours) stays whole.
        labels: classes, as for `facegen.latent.sample.sample`; only with z and a network that has classes.

    Returns:
        name -> float32 [N, C, H, W] on the CPU.
    """
    chosen = _chosen(_layers(G), layers)
    return _run(G, z_or_ws, chosen, channels, labels)[0]


def show_activations(
    G: nn.Module,
    z_or_ws: Tensor,
    *,
    layers: Sequence[str] | None = None,
    channels: int = 8,
    labels: Labels | None = None,
    title: str = "How a face is made, layer by layer",
) -> Chart:
    """One row per layer, from the first to the last: its strongest channels, and the picture as far as it has come.

    Each channel has a colour scale of its own: white is zero, red above, blue below. The last column is the sum of all
    colours so far (StyleGAN2 with skip connections), or the finished picture in the last row.

    Args:
        z_or_ws: as for `activations`; only the first face is shown.
        layers: which rows; without it every layer but StyleGAN2's torgb, whose result is the last column.
        channels: how many channels in a row.
        labels: as for `activations`; those of all faces in `z_or_ws`.
        title: the figure's title.
    """
    known = _layers(G)
    rows = _chosen(known, [name for name in known if not name.endswith("torgb")] if layers is None else layers)
    colours = {name: module for name, module in known.items() if name.endswith("torgb")}
    wanted = {name: module for name, module in known.items() if name in rows or name in colours}
    if labels is not None and z_or_ws.ndim == 2:
        labels = one_hot(G, labels, len(z_or_ws))[:1]  # a network without classes has refused them
    found, counts, image = _run(G, z_or_ws[:1], wanted, channels, labels)
    pictures = _running_colours(G, found) or {list(known)[-1]: image}
    heads = {name: f"{name}\n{found[name].shape[3]} × {found[name].shape[2]}, {counts[name]} channels" for name in rows}
    return _draw({name: found[name] for name in rows}, heads, pictures, title)


def _chosen(known: dict[str, nn.Module], names: Sequence[str] | None) -> dict[str, nn.Module]:
    """Those of the known layers, in their order."""
    for name in names or ():
        if name not in known:
            raise InputError(f"the network has no layer {name!r}: it has {', '.join(known)}")
    if names is not None and not names:
        raise InputError("activations: no layer named")
    return {name: module for name, module in known.items() if names is None or name in names}


def _layers(G: nn.Module) -> dict[str, nn.Module]:
    """The layers worth looking at, by name, in the order in which they are computed."""
    if has_styles(G):
        inside = dict(G.synthesis.named_modules())
        wanted = re.compile(r"input|L\d+_\d+_\d+|b\d+\.(conv0|conv1|torgb)")
        return {name: module for name, module in inside.items() if wanted.fullmatch(name)}
    stages = {f"main.{name}": m for name, m in getattr(G, "main", nn.Sequential()).named_children()}
    found = {name: m for name, m in stages.items() if isinstance(m, (nn.ReLU, nn.LeakyReLU, nn.Tanh))}
    if not found or not hasattr(G, "z_dim"):
        raise InputError("activations: this is neither a DCGAN nor a StyleGAN2 or StyleGAN3 generator of the package")
    return found


@torch.no_grad()
def _run(
    G: nn.Module, z_or_ws: Tensor, modules: dict[str, nn.Module], channels: int | None, labels: Labels | None
) -> tuple[dict[str, Tensor], dict[str, int], Tensor]:
    """The strongest channels that `modules` give, how many channels they have, and the finished pictures; float32, CPU."""
    if channels is not None and channels < 1:
        raise InputError(f"activations: channels must be at least 1, got {channels}")
    found: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def keeper(name: str):
        def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            counts[name] = output.shape[1]
            # Chosen here, because all channels of a large network take gigabytes; a copy, because a later layer may write
            # into the same memory.
            strongest = output if channels is None else output[:, _strongest(output, channels)]
            found[name] = strongest.detach().float().cpu().clone()

        return keep

    device = next(G.parameters()).device
    handles = [module.register_forward_hook(keeper(name)) for name, module in modules.items()]
    try:
        with evaluating(G):
            image = _pictures(G, z_or_ws.to(device), labels)
    finally:
        for handle in handles:
            handle.remove()
    return found, counts, image.float().cpu()


def _pictures(G: nn.Module, x: Tensor, labels: Labels | None) -> Tensor:
    """Pictures [N, C, H, W] from z [N, z_dim] or ws [N, num_ws, w_dim]."""
    if x.ndim == 2 and x.shape[1] == G.z_dim:
        c = one_hot(G, labels, len(x))
        return G(x, None if c is None else c.to(x.device), noise_mode="const") if has_styles(G) else G(x)
    if has_styles(G) and x.shape[1:] == (G.num_ws, G.w_dim):
        if labels is not None:
            raise InputError("activations: labels go with z; ws have their classes in them, so leave the labels out")
        return G.synthesis(x, noise_mode="const")
    ws = f" or ws [N, {G.num_ws}, {G.w_dim}]" if has_styles(G) else ""
    raise InputError(f"activations: needs z [N, {G.z_dim}]{ws}, got {list(x.shape)}")


def _strongest(x: Tensor, count: int) -> Tensor:
    """Which channels of [N, C, H, W] vary most over the picture, at most `count`; all of at most three, in their order."""
    if x.shape[1] <= 3:
        return torch.arange(x.shape[1], device=x.device)
    return x.float().std(dim=(2, 3), correction=0).mean(0).argsort(descending=True, stable=True)[:count]


def _running_colours(G: nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """StyleGAN2: the sum of all colours up to each block [N, 3, H, W], under the name of the block's last convolution.

    With skip connections the picture of a block is the one before, enlarged, plus the block's torgb (Karras et al. 2020,
    arXiv:1912.04958, section 4.1). In the other architectures only the last block has colours.
    """
    running: Tensor | None = None
    sums = {}
    for name, colours in found.items():
        block, _, layer = name.partition(".")
        if layer == "torgb":
            larger = None if running is None else upsample2d(running, getattr(G.synthesis, block).resample_filter.cpu())
            running = colours if larger is None else larger + colours
            sums[f"{block}.conv1"] = running
    return sums


# ------------------------------------------------------------------------------------------------------ the figure

TILE, GAP, HEAD, LABEL = 72, 4, 74, 150  # CSS pixels


def _draw(rows: dict[str, Tensor], heads: dict[str, str], pictures: dict[str, Tensor], title: str) -> Chart:
    """Rows of tiles, placed by hand as in `figures`, because matplotlib's layout leaves gaps around pictures."""
    columns = max(x.shape[1] for x in rows.values())
    across = columns + any(name in pictures for name in rows)
    left = LABEL + 8
    width = left + across * (TILE + GAP) + 2 * GAP
    height = HEAD + len(rows) * (TILE + GAP) + GAP
    figure = Chart(max(width, 9.5 * len(title), left + 6.2 * len(SCALE)), height, title, density=2)
    figure.set_layout_engine("none")
    width, height = figure.size
    figure.suptitle(title, y=1 - 20 / height, va="center", **HEADLINE)
    figure.text(left / width, 1 - 44 / height, SCALE, va="center", fontsize=9, color=INK)
    if across > columns:  # on a line of its own: with few columns the words above reach over this one
        middle = left + columns * (TILE + GAP) + GAP + TILE / 2
        figure.text(middle / width, 1 - 64 / height, "picture", ha="center", va="center", fontsize=9, color=INK)
    for row, (name, maps) in enumerate(rows.items()):
        top = HEAD + row * (TILE + GAP)
        figure.text(LABEL / width, 1 - (top + TILE / 2) / height, heads[name], ha="right", va="center", fontsize=9, color=INK)
        tiles = [_coloured(channel) for channel in maps[0]]
        if name in pictures:
            tiles += [None] * (columns - len(tiles)) + [as_uint8(pictures[name])[0].permute(1, 2, 0).numpy()]
        for column, tile in enumerate(tiles):
            if tile is not None:
                x = left + column * (TILE + GAP) + GAP * (column == columns)
                box = (x / width, 1 - (top + TILE) / height, TILE / width, TILE / height)
                axes = figure.add_axes(box)
                axes.imshow(tile)
                axes.set_axis_off()
    return figure


def _coloured(channel: Tensor) -> np.ndarray:
    """[H, W] -> RGB uint8 [H, W, 3]: zero is white, and the ends of the scale are where all but 0.5 % of the pixels lie."""
    values = channel.numpy()
    limit = float(np.quantile(np.abs(values), 0.995)) or 1.0
    return colormaps[COLOURS](0.5 + 0.5 * np.clip(values / limit, -1, 1), bytes=True)[..., :3]
