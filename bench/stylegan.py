"""StyleGAN2 and StyleGAN3 with our operators against the same networks with textbook operators: `python bench/stylegan.py`.

The textbook side is the same network class and the same weights, with every operator of facegen.models.layers replaced by
its form in tests/textbook.py: zero insertion and depthwise convolutions for resampling, weights of their own for every
sample in one grouped convolution, strided and transposed convolutions where a picture changes size, plain memory layout.
The sides take turns round by round, so that a machine that slows down slows all of them, and beside each ratio stands how
far the two results are apart. "cpu" is the ratio of processor seconds, the steadier figure on a busy machine. On a CPU the
memory of freed tensors is kept between steps, for all sides alike, as training does (`facegen.training.fit.keep_memory`).

    python bench/stylegan.py --only sg2-64,sg3t-64 --rounds 5 --out build/bench

Workloads: sg2-64 (batch 8), sg2-256, sg3t-64, sg3r-64 (batch 2). What is timed of each:
    forward    pictures from z, without gradients
    backward   pictures, and the gradients of their sum with regard to all of G's weights
    G step     pictures, D's logits, the non-saturating loss, and its gradients with regard to all of G's weights
    R1 step    the squared gradient of D's logits with regard to real pictures, and its gradients with regard to D's weights
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from facegen.devices import device
from facegen.files import replacing
from facegen.models import layers, stylegan2, stylegan3
from facegen.training.fit import keep_memory
from tests import textbook

WORKLOADS = {  # name: generator, picture size, usual batch, what is timed
    "sg2-64": (stylegan2.Generator, 64, 8, ("forward", "backward", "G step", "R1 step")),
    "sg2-256": (stylegan2.Generator, 256, 2, ("forward", "backward", "G step", "R1 step")),
    "sg3t-64": (stylegan3.Generator, 64, 2, ("forward", "backward")),
    "sg3r-64": (partial(stylegan3.Generator, conv_kernel=1, use_radial_filters=True), 64, 2, ("forward", "backward")),
}
OPERATORS = (
    "upfirdn2d",
    "filter2d",
    "upsample2d",
    "downsample2d",
    "conv2d_resample",
    "bias_act",
    "modulated_conv2d",
    "filtered_lrelu",
)
SIDES = {  # name: textbook operators?, type of the features
    "textbook": (True, torch.float32),
    "fp32": (False, torch.float32),
    "bf16": (False, torch.bfloat16),
    "fp16": (False, torch.float16),
    "textbook bf16": (True, torch.bfloat16),
}


@contextlib.contextmanager
def textbook_operators() -> Iterator[None]:
    """Within this block the networks use the operators of tests/textbook.py and plain memory layout."""
    with contextlib.ExitStack() as stack:
        for module in (layers, stylegan2, stylegan3):
            for name in OPERATORS:
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, getattr(textbook, name)))
            if hasattr(module, "fast_layout"):
                stack.enter_context(mock.patch.object(module, "fast_layout", lambda x, kernel_size=3: x))
        yield


@dataclass
class Row:
    """One side of one measurement. Times in seconds, medians over the rounds."""

    workload: str
    what: str
    side: str
    batch: int
    seconds: float
    cpu_seconds: float
    ratio: float = 1.0
    cpu_ratio: float = 1.0
    error: float = 0.0


class Networks:
    """A generator, its discriminator and fixed inputs, and one step of each kind."""

    def __init__(self, name: str, batch: int | None, widths: dict[str, int], on: torch.device) -> None:
        make_G, size, usual_batch, self.kinds = WORKLOADS[name]
        self.batch = batch or usual_batch
        torch.manual_seed(0)
        if make_G is stylegan2.Generator:
            self.G = make_G(512, 0, 512, size, 3, synthesis_kwargs=widths)
        else:
            self.G = make_G(512, 0, 512, size, 3, **widths)
        self.D = stylegan2.Discriminator(0, size, 3, **widths) if "R1 step" in self.kinds else None
        with torch.no_grad():  # at its initial strength of zero the noise could be left out
            for key, value in self.G.state_dict().items():
                if key.endswith("noise_strength"):
                    value.fill_(0.1)
        self.z = torch.randn(self.batch, 512).to(on)
        self.real = torch.randn(self.batch, 3, size, size).clamp(-1, 1).to(on)
        for net in (self.G, self.D):
            if net is not None:
                net.to(on).train()

    def pictures(self, dtype: torch.dtype) -> Tensor:
        return self.G(self.z, None, noise_mode="const", dtype=dtype)

    @staticmethod
    def gradients(loss: Tensor, net: nn.Module) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(net.parameters())))

    def step(self, kind: str, dtype: torch.dtype) -> list[Tensor]:
        """One step; returns what it computed."""
        if kind == "forward":
            with torch.no_grad():
                return [self.pictures(dtype)]
        if kind == "backward":
            return self.gradients(self.pictures(dtype).sum(), self.G)
        if kind == "G step":
            return self.gradients(F.softplus(-self.D(self.pictures(dtype), None, dtype=dtype)).mean(), self.G)
        real = self.real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.D(real, None, dtype=dtype).sum(), real, create_graph=True)
        # A bias behind the last activation moves no gradient and has none here.
        weights = [p for name, p in self.D.named_parameters() if name != "b4.out.bias"]
        return list(torch.autograd.grad(slope.square().sum(dim=(1, 2, 3)).mean(), weights))


def finished(on: torch.device) -> tuple[float, float]:
    """Wall-clock and processor seconds, once the device has done what it was given."""
    if on.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def timed(step: Callable[[], list[Tensor]], is_textbook: bool, on: torch.device) -> tuple[float, float, list[Tensor]]:
    with textbook_operators() if is_textbook else contextlib.nullcontext():
        start = finished(on)
        result = step()
        end = finished(on)
    return end[0] - start[0], end[1] - start[1], result


def largest_error(got: list[Tensor], wanted: list[Tensor]) -> float:
    """Largest difference over largest value of all that a step computed: of the picture, or of all weights' gradients.

    Not weight by weight: some gradients, such as those of the noise strengths, are sums that all but cancel.
    """
    return textbook.relative_error(torch.cat([t.flatten() for t in got]), torch.cat([t.flatten() for t in wanted]))


def measure(networks: Networks, name: str, kind: str, sides: list[str], rounds: int, on: torch.device) -> list[Row]:
    """All sides in turn, round by round; the first round warms up and gives the errors."""
    wall: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    wanted, errors = None, {}
    for k in range(rounds + 1):
        for side in sides:
            is_textbook, dtype = SIDES[side]
            seconds, cpu_seconds, result = timed(partial(networks.step, kind, dtype), is_textbook, on)
            if k == 0:
                wanted = result if wanted is None else wanted
                errors[side] = largest_error(result, wanted)
                continue
            wall[side].append(seconds)
            cpu[side].append(cpu_seconds)
            del result
    rows = [
        Row(name, kind, side, networks.batch, statistics.median(wall[side]), statistics.median(cpu[side]), error=errors[side])
        for side in sides
    ]
    for row in rows:
        row.ratio, row.cpu_ratio = rows[0].seconds / row.seconds, rows[0].cpu_seconds / row.cpu_seconds
    return rows


def line(row: Row) -> str:
    error = "" if row.error == 0 else f"{row.error:.0e}"
    return (
        f"{row.workload:8} {row.what:9} {row.side:14}{row.seconds * 1000:10.1f}{row.batch / row.seconds:10.2f}"
        f"{row.ratio:8.2f}{row.cpu_ratio:8.2f}{error:>9}"
    )


HEADER = f"{'':8} {'':9} {'':14}{'ms':>10}{'images/s':>10}{'ratio':>8}{'cpu':>8}{'error':>9}"


def chart(rows: list[Row], path: Path, title: str) -> None:
    """Bars of the ratios, one group per measurement, with the textbook's speed as a line at 1 and the error above each bar."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((row.workload, row.what) for row in rows))
    sides = [side for side in dict.fromkeys(row.side for row in rows) if side != rows[0].side]
    figure = Figure(figsize=(1.6 + 1.15 * len(groups), 5), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(len(sides), 1)
    for k, side in enumerate(sides):
        mine = [row for row in rows if row.side == side]
        at = [groups.index((row.workload, row.what)) + (k - (len(sides) - 1) / 2) * width for row in mine]
        axes.bar(at, [row.ratio for row in mine], width * 0.92, label=f"ours, {side}" if "textbook" not in side else side)
        for x, row in zip(at, mine):
            above = {"textcoords": "offset points", "ha": "center"}
            above["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.2}  # legible on the line at 1
            axes.annotate(f"{row.error:.0e}", (x, row.ratio), xytext=(0, 2), fontsize=6, color="dimgrey", **above)
            axes.annotate(f"{row.ratio:.2f}", (x, row.ratio), xytext=(0, 9), fontsize=8, **above)
    axes.axhline(1, color="black", linewidth=1, zorder=0.5, label="textbook form, fp32")
    axes.set_xticks(range(len(groups)), [f"{workload}\n{what}" for workload, what in groups])
    axes.set_ylabel("times as fast as the textbook form")
    axes.set_ylim(0, max([1.0, *(row.ratio for row in rows)]) * 1.15)
    axes.set_title(f"{title}\nabove each bar: the ratio, and the largest relative error in grey", fontsize=9)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, separated by commas")
    parser.add_argument("--what", default="forward,backward,G step,R1 step", help="what to time, separated by commas")
    parser.add_argument("--sides", default="textbook,fp32,bf16", help=f"the first is the baseline; of {', '.join(SIDES)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, help="instead of each workload's usual one")
    parser.add_argument("--channel-base", type=int, default=32768)
    parser.add_argument("--channel-max", type=int, default=512)
    parser.add_argument("--threads", type=int, help="processor threads instead of PyTorch's own choice")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tf32", action="store_true", help="CUDA: let both sides' float32 products use TF32")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder for stylegan.png and stylegan.json")
    args = parser.parse_args()
    for option, known in (("only", WORKLOADS), ("sides", SIDES)):
        setattr(args, option, [name.strip() for name in getattr(args, option).split(",")])
        unknown = [name for name in getattr(args, option) if name not in known]
        if unknown:
            parser.error(f"--{option} knows {', '.join(known)}, not {', '.join(unknown)}")
    args.what = [name.strip() for name in args.what.split(",")]
    if args.rounds < 1:
        parser.error("--rounds is 1 or more")
    return args


def main() -> None:
    args = parsed()
    on = device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    if on.type == "cpu":
        keep_memory()
    where = torch.cuda.get_device_name() if on.type == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    widths = {"channel_base": args.channel_base, "channel_max": args.channel_max}
    where += ", TF32" if args.tf32 else ""
    about = f"torch {torch.__version__}, {on.type}, {where}, channel_base {args.channel_base}, median of {args.rounds} rounds"
    print(about)
    print("ratio: the baseline's time / this side's; cpu: the same of processor seconds; error: largest relative difference")
    print(HEADER, flush=True)
    rows: list[Row] = []
    for name in args.only:
        networks = Networks(name, args.batch, widths, on)
        for kind in networks.kinds:
            if kind not in args.what:
                continue
            measured = measure(networks, name, kind, args.sides, args.rounds, on)
            rows += measured
            print("\n".join(line(row) for row in measured), flush=True)
    if not rows:
        sys.exit(f"nothing to time: --what {','.join(args.what)} and --only {','.join(args.only)} have nothing in common")
    with replacing(args.out / "stylegan.json") as temporary:
        temporary.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1))
    chart(rows, args.out / "stylegan.png", about)
    print(f"written: {args.out / 'stylegan.json'}, {args.out / 'stylegan.png'}")


if __name__ == "__main__":
    main()
