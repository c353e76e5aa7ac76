"""Training StyleGAN2 and StyleGAN3: the two penalties, the blur, and the method object that `fit` trains.

A step has up to four parts, each with pictures of its own: G against D; every fourth step G's path-length penalty; D on
fake and real pictures; every sixteenth step D's gradient penalty ("lazy regularisation": rarer, and as much stronger; Karras
et al. 2020, arXiv:1912.04958, appendix B). A batch is split into micro-batches of `batch_gpu` pictures whose gradients add
up; where the settings leave that number open, `StyleGAN.divide` halves it until a step fits into memory.

Whatever is random in a part (z, noise, mixing, augmentation) is drawn from a generator that is seeded with the run's seed, the
step and the part's number. So a resumed run needs no generator's state, and two processes with one part each compute what one
process with two parts does.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from facegen.config import StyleConfig
from facegen.data.packed import Faces, to_pixels
from facegen.files import InputError
from facegen.models import stylegan2, stylegan3
from facegen.models.layers import filter2d
from facegen.training import memory, processes
from facegen.training.ada import AdaController, AugmentPipe, next_p
from facegen.training.augment import diff_augment, parse_policy
from facegen.training.fit import kept_random_state
from facegen.training.losses import AdversarialLoss, adversarial_loss, path_lengths, squared_gradients
from facegen.training.method import FromNoise, Stats, seed_of
from facegen.training.schedules import ema_beta
from facegen.training.steps import frozen

PL_DECAY = 0.01  # of the moving average that path lengths are drawn to
BLUR_SIGMA = 10.0  # pixels: stylegan3-r blurs all that D sees by as much at first
TRAIN_G, TRAIN_D, PATH, PENALTY = range(4)  # the parts of a step, for the seeds
BESIDE_LABELS = -3  # for what is drawn outside of a step


def mix_styles(ws: Tensor, others: Tensor, start: int) -> Tensor:
    """Styles [N, num_ws, w_dim]: of `ws` in the layers before `start`, of `others` from there on (arXiv:1812.04948, 3.1)."""
    return torch.cat([ws[:, :start], others[:, start:]], dim=1)


@torch.no_grad()
def update_ema(G_ema: nn.Module, G: nn.Module, beta: float) -> None:
    """G_ema <- beta G_ema + (1 - beta) G for all weights; buffers are copied (arXiv:2006.06676, appendix C)."""
    torch._foreach_lerp_(list(G_ema.parameters()), list(G.parameters()), 1 - beta)
    for theirs, ours in zip(G.buffers(), G_ema.buffers()):
        ours.copy_(theirs)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of `sigma` pixels; none where its kernel would be a single pixel (Karras et al. 2021, appendix F.1)."""
    reach = math.floor(sigma * 3)
    if reach < 1:
        return pictures
    offsets = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    kernel = (-(offsets / sigma).square() * math.log(2)).exp()  # half the height at one sigma
    return filter2d(pictures, kernel / kernel.sum())


# ------------------------------------------------------------------------------------------------------ the method


class StyleGAN(FromNoise):
    """A StyleGAN2 or StyleGAN3 generator and its discriminator with all that a training step needs.

    Args:
        G, D: networks of `facegen.models.stylegan2` or `stylegan3`, or classes of one's own that are called like these.
            They are moved to `device`, but not initialised.
        config: the settings; `image_size` and `z_dim` have to match the networks.
        device: where to train.
        penalty: logits [N, 1] of D, pictures [N, 3, S, S] -> the penalty on D per picture [N], with a graph.
        mix: styles, other styles, the layer from which the others count -> styles.
        average: G_ema, G, beta: moves the averaged generator.
        rule: p, r_t, target, the most that p may move -> the next p of adaptive augmentation.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        config: StyleConfig,
        *,
        device: torch.device | str = "cpu",
        penalty: Callable[[Tensor, Tensor], Tensor] = squared_gradients,
        mix: Callable[[Tensor, Tensor, int], Tensor] = mix_styles,
        average: Callable[[nn.Module, nn.Module, float], None] = update_ema,
        rule: Callable[[float, float, float, float], float] = next_p,
    ) -> None:
        super().__init__(G.to(device).train(), D.to(device).train(), config, device, config.z_dim)
        self.penalty, self.mix, self.average, self.rule = penalty, mix, average, rule
        # arXiv:2006.06676, appendix C: what suits the size and the batch.
        self.r1_gamma = config.gamma if config.gamma >= 0 else 0.0002 * config.image_size**2 / config.batch
        path = config.pl_interval if config.pl_weight else 0
        self.opt_G = self._lazy_adam(self.G, config.glr, path)
        self.opt_D = self._lazy_adam(self.D, config.dlr, config.r1_interval if self.r1_gamma or config.r2_gamma else 0)
        self.optimizers = {"G": self.opt_G, "D": self.opt_D}
        self.loss: AdversarialLoss = adversarial_loss("bce" if config.loss == "logistic" else "relativistic")
        self.pipe: AugmentPipe | None = None
        self.controller: AdaController | None = None
        self.augment = self._augmentation()
        self.state = _Running(self.device)
        self.stores = {"running": self.state} | ({"controller": self.controller} if self.controller else {})
        self._micro = min(config.batch_gpu or config.batch, config.batch // processes.count())
        if config.batch // processes.count() % self._micro:
            share = config.batch // processes.count()
            raise InputError(f"--batch-gpu={config.batch_gpu} does not divide the {share} pictures of each process")

    def _lazy_adam(self, net: nn.Module, rate: float, interval: int) -> Optimizer:
        """Adam; with a lazy penalty slightly slower, since there are interval + 1 gradients where there were interval."""
        share = interval / (interval + 1) if interval else 1.0
        return self.adam([p for p in net.parameters() if p.requires_grad], rate * share, 0.0, 0.99**share)

    def _augmentation(self) -> Callable[[Tensor], Tensor]:
        config = self.config
        if config.aug == "noaug":
            return lambda pictures: pictures
        if config.aug == "diffaug":
            policy = parse_policy("color,translation,cutout")
            return lambda pictures: diff_augment(pictures, policy)
        self.pipe = AugmentPipe.preset(config.augpipe)
        adaptive = config.aug == "ada"
        self.controller = AdaController(
            config.target if adaptive else None, config.ada_kimg, p=0.0 if adaptive else config.p, rule=self.rule
        )
        return self.pipe

    # -- what fits into memory

    def divide(self, stored: int | None = None) -> tuple[int, str]:
        """Find how many pictures can go through the networks at once, and use that number from now on.

        `batch_gpu` is taken as it is given, and so is what a run that is continued was divided into (`stored`): other parts
        would be other random numbers. Else a whole batch is tried, then ever smaller parts, each at most half as large. Of
        several processes the one with the least memory decides. Weights, optimisers, augmentation and random generators
        are afterwards what they were.

        Returns:
            The number, and one line that says so if a batch had to be divided, else "".
        """
        if self.config.batch_gpu:
            return self._micro, ""
        if stored:
            self._micro = stored
            return stored, ""
        batch = self.config.batch
        share = self._micro = larger = batch // processes.count()
        with self._unchanged():
            while not all(processes.gather(self._fits())):
                if self._micro == 1:
                    raise InputError("not even one picture fits into memory: take a smaller --cbase, --cmax or --image-size")
                larger, self._micro = self._micro, memory.largest_part(share, self._micro // 2)
        if self._micro == share:
            return share, ""
        parts = batch // self._micro
        return (
            self._micro,
            f"batch {batch} is split into {parts} micro-batches of {self._micro}: {larger} do not fit into memory",
        )

    def _fits(self) -> bool:
        """Whether the heaviest step with `_micro` pictures at once fits, with a twentieth of a GPU to spare."""
        try:
            cuda = self.device.type == "cuda"
            spare = torch.cuda.get_device_properties(self.device).total_memory // 20 if cuda else 0
            kept = torch.empty(spare, dtype=torch.uint8, device=self.device)
            for _ in range(2):  # the second time with the moments that Adam keeps
                self._heaviest_step()
            if cuda:
                torch.cuda.synchronize(self.device)
            del kept
            fits = True
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
            fits = False
        # The error is gone only here, and with it what its traceback held.
        self.opt_G.zero_grad(set_to_none=True)
        self.opt_D.zero_grad(set_to_none=True)
        memory.release(self.device)
        return fits

    def _heaviest_step(self) -> None:
        """All four parts of a step, every picture augmented, and gradients from a part before."""
        config, n, c_dim = self.config, self._micro, self.G.c_dim
        reals = torch.zeros(n, 3, config.image_size, config.image_size, device=self.device)
        labels = torch.zeros(n, c_dim, device=self.device) if c_dim else None
        parts = [(i, reals, labels, labels) for i in range(min(2, config.batch // processes.count() // n))]
        controller, self.controller = self.controller, None  # which asks the other processes
        try:
            self._G_step(0, parts, self._blur(0))
            if config.pl_weight:
                self._path_lengths(0, parts)
            self._D_step(0, parts, self._blur(0))
            if self.r1_gamma or config.r2_gamma:
                self._penalty_step(0, parts, self._blur(0))
        finally:
            self.controller = controller

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Afterwards all that has a state is what it was; copies lie in RAM, so that the device is as free as in training."""
        strength = None if self.pipe is None else self.pipe.p.clone()
        owners = (self.G, self.D, self.opt_G, self.opt_D)
        kept = [_copied(owner.state_dict()) for owner in owners]
        if self.pipe and self.config.aug == "ada":
            self.pipe.p.fill_(1.0)
        try:
            with kept_random_state():
                yield
        finally:
            for owner, state in zip(owners, kept):
                owner.load_state_dict(state)
            if self.pipe is not None:
                self.pipe.p.copy_(strength)

    # -- what fit asks for

    def check(self, data: Faces) -> None:
        """Refuse pictures or labels that the networks cannot take."""
        super().check(data)
        if self.G.c_dim:
            if data.labels is None:
                raise InputError(f"{data.name} has no labels (dataset.json), which --cond=1 needs: leave --cond out")
            if int(data.labels.max()) >= self.G.c_dim:
                raise InputError(f"{data.name} has {int(data.labels.max()) + 1} classes, the networks {self.G.c_dim}")

    def batch(self, data: Faces, step: int) -> list[Tensor]:
        """Real pictures [N, 3, S, S] and, for conditional networks, their labels one-hot and those for the fakes."""
        indices, pictures = self.reals(data, step)
        reals = [pictures]
        if self.G.c_dim:  # fakes have labels as often as the data has them
            draws = self.generator(step, BESIDE_LABELS)
            drawn = processes.share(torch.randint(len(data), (self.config.batch,), generator=draws))
            reals += [F.one_hot(data.labels[i], self.G.c_dim).float().to(self.device) for i in (indices, drawn)]
        return reals

    def update(self, step: int, reals: list[Tensor]) -> Stats:
        """One training step: G, sometimes G's penalty, D, sometimes D's penalty. Returns detached scalars."""
        config = self.config
        if self.controller:
            self.pipe.p.fill_(self.controller.p)  # here and not after the step: a resumed run has only the controller
        real, real_c, fake_c = reals if len(reals) == 3 else (reals[0], None, None)
        first = processes.rank() * (len(real) // self._micro)
        parts = [
            (first + i, *(None if x is None else x[i * self._micro : (i + 1) * self._micro] for x in (real, real_c, fake_c)))
            for i in range(len(real) // self._micro)
        ]
        sigma = self._blur(step)
        stats = self._G_step(step, parts, sigma)
        if config.pl_weight and step % config.pl_interval == 0:
            stats |= self._path_step(step, parts)
        stats |= self._D_step(step, parts, sigma)
        if (self.r1_gamma or config.r2_gamma) and step % config.r1_interval == 0:
            stats |= self._penalty_step(step, parts, sigma)
        self._average(step)
        return stats | self._adapt()

    @torch.no_grad()
    def sample(self, fixed: Tensor) -> Tensor:
        """Pictures of the averaged generator: z [N, z_dim] -> uint8 [N, 3, S, S] on the CPU; classes take turns."""
        c = None
        if self.G.c_dim:
            c = F.one_hot(torch.arange(len(fixed)) % self.G.c_dim, self.G.c_dim).float().to(self.device)
        size = min(16, self._micro)  # at once, or samples would need more memory than training
        parts = [
            self.G_ema(z, None if c is None else c[i * size : i * size + len(z)], noise_mode="const")
            for i, z in enumerate(fixed.split(size))
        ]
        return torch.cat([to_pixels(part) for part in parts])

    def label(self, step: int) -> str:
        """What a kept network of this step is called: by the thousands of pictures shown, exactly where they are not whole."""
        thousands, rest = divmod(step * self.config.batch, 1000)
        return f"network-snapshot-{thousands:06d}" + (f".{rest:03d}" if rest else "")

    # -- the parts of a step

    @contextlib.contextmanager
    def _part(self, step: int, kind: int, number: int) -> Iterator[Tensor]:
        """Seed what is drawn inside, for one part of a batch; yields the part's z."""
        torch.manual_seed(seed_of(self.config.seed, step, kind, number))
        yield torch.randn(self._micro, self.config.z_dim).to(self.device)

    def _ws(self, z: Tensor, c: Tensor | None, update_emas: bool = False) -> Tensor:
        """Styles [N, num_ws, w_dim]; with style mixing some layers' from a second z (Karras et al. 2019, section 3.1)."""
        ws = self.G.mapping(z, c, update_emas=update_emas)
        if torch.rand(()) < self.config.style_mixing:
            start = int(torch.randint(1, ws.shape[1], ()))
            others = self.G.mapping(torch.randn(z.shape).to(z.device), c)
            ws = self.mix(ws, others, start)
        return ws

    def _paint(self, ws: Tensor, dtype: torch.dtype | None, update_emas: bool = False) -> Tensor:
        more = {"update_emas": update_emas} if isinstance(self.G, stylegan3.Generator) else {}
        return self.G.synthesis(ws, noise_mode="random", dtype=dtype, **more)

    def _judge(self, pictures: Tensor, c: Tensor | None, sigma: float, dtype: torch.dtype | None) -> Tensor:
        return self.D(self.augment(blurred(pictures, sigma)), c, dtype=dtype)

    def _G_step(self, step: int, parts: list[tuple], sigma: float) -> Stats:
        self.opt_G.zero_grad(set_to_none=True)
        total = 0.0
        with frozen(self.D):
            for number, real, real_c, fake_c in parts:
                with self._part(step, TRAIN_G, number) as z:
                    logits = self._judge(self._paint(self._ws(z, fake_c), self.dtype), fake_c, sigma, self.dtype)
                    if self.loss.g_pair:
                        with torch.no_grad():
                            judged = self._judge(real, real_c, sigma, self.dtype)
                        value = self.loss.g_pair(judged, logits)
                    else:
                        value = self.loss.g(logits)
                (value / len(parts)).backward()
                total = total + value.detach() / len(parts)
        self.opt_G.step()
        return {"loss_G": total, "grad_G": _norm(self.G)}

    def _path_step(self, step: int, parts: list[tuple]) -> Stats:
        mean = processes.average(self._path_lengths(step, parts))
        self.state.path.lerp_(mean, PL_DECAY)
        return {"path_length": mean}

    def _path_lengths(self, step: int, parts: list[tuple]) -> Tensor:
        """Half of each part's pictures: the penalty costs twice the memory (Karras et al. 2020, appendix B)."""
        self.opt_G.zero_grad(set_to_none=True)
        lengths = []
        for number, _, _, fake_c in parts:
            with self._part(step, PATH, number) as z:
                z = z[: max(1, len(z) // 2)]
                ws = self._ws(z, None if fake_c is None else fake_c[: len(z)])
                pictures = self._paint(ws, None)
                found = path_lengths(pictures, ws, torch.randn(pictures.shape).to(pictures.device))
                # Towards the average so far, which this step's lengths move only afterwards: all parts see the same.
                penalty = (found - self.state.path).square().mean()
            (penalty * self.config.pl_weight * self.config.pl_interval / len(parts)).backward()
            lengths.append(found.detach().mean())
        self.opt_G.step()
        return torch.stack(lengths).mean()

    def _D_step(self, step: int, parts: list[tuple], sigma: float) -> Stats:
        self.opt_D.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, real, real_c, fake_c in parts:
            with self._part(step, TRAIN_D, number) as z:
                with torch.no_grad():
                    fake = self._paint(self._ws(z, fake_c, update_emas=True), self.dtype, update_emas=True)
                on_fake = self._judge(fake, fake_c, sigma, self.dtype)
                on_real = self._judge(real, real_c, sigma, self.dtype)
                if self.loss.d_pair:
                    value = self.loss.d_pair(on_real, on_fake)
                else:
                    value = self.loss.d_real(on_real) + self.loss.d_fake(on_fake)
            (value / len(parts)).backward()
            if self.controller:
                self.controller.observe(on_real)
            seen = {
                "loss_D": value.detach(),
                "logits_real": on_real.detach().mean(),
                "logits_fake": on_fake.detach().mean(),
                "r_t": on_real.detach().sign().mean(),
                "signs_fake": on_fake.detach().sign().mean(),
            }
            sums = {name: sums.get(name, 0.0) + number / len(parts) for name, number in seen.items()}
        self.opt_D.step()
        return sums | {"grad_D": _norm(self.D)}

    def _penalty_step(self, step: int, parts: list[tuple], sigma: float) -> Stats:
        """R1 on real pictures, R2 on fakes, in float32: second derivatives lose too much in half precision."""
        self.opt_D.zero_grad(set_to_none=True)
        config, found = self.config, {}
        for number, real, real_c, fake_c in parts:
            with self._part(step, PENALTY, number) as z:
                penalties = {}
                if self.r1_gamma:
                    real = real.detach().requires_grad_()
                    penalties["r1"] = self.r1_gamma, self.penalty(self._judge(real, real_c, sigma, None), real)
                if config.r2_gamma:
                    with torch.no_grad():
                        fake = self._paint(self._ws(z, fake_c), self.dtype)
                    fake = fake.float().requires_grad_()
                    penalties["r2"] = config.r2_gamma, self.penalty(self._judge(fake, fake_c, sigma, None), fake)
                total = sum(gamma / 2 * value.mean() for gamma, value in penalties.values())
            (total * config.r1_interval / len(parts)).backward()
            for name, (_, value) in penalties.items():
                found[name] = found.get(name, 0.0) + value.detach().mean() / len(parts)
        self.opt_D.step()
        return found

    def _blur(self, step: int) -> float:
        """Sigma in pixels: stylegan3-r shows D only coarse pictures at first, so that G does not settle details too early."""
        config = self.config
        fade = 1000 * (config.blur_kimg if config.blur_kimg >= 0 else config.batch * 200 / 32)  # pictures
        if config.architecture != "stylegan3-r" or fade == 0:
            return 0.0
        return max(0.0, 1 - step * config.batch / fade) * BLUR_SIGMA

    def _average(self, step: int) -> None:
        """Move G_ema, faster while there have been few pictures (arXiv:2006.06676, appendix C)."""
        config = self.config
        half_life = 1000 * (config.ema_kimg if config.ema_kimg >= 0 else config.batch * 10 / 32)  # pictures
        beta = ema_beta(step, config.batch, half_life, config.ema_rampup)
        self.average(self.G_ema, self.G, beta)

    def _adapt(self) -> Stats:
        """Let D's signs on real pictures decide how strongly pictures are augmented (arXiv:2006.06676, section 3.1)."""
        if self.controller is None:
            return {}
        return {"ada_p": torch.tensor(self.controller.step())}


def transfer(source: nn.Module, target: nn.Module) -> list[str]:
    """Copy every weight that fits by name and shape, also from a network of another resolution: training from a model.

    StyleGAN3 names its layers after their sizes (L4_52_32), which differ between resolutions: there the number (L4) counts.

    Returns:
        The names of the target's weights that had no counterpart, and stay as they were.
    """
    there = {_place(name): value for name, value in source.state_dict().items()}
    new = []
    for name, value in target.state_dict().items():
        other = there.get(_place(name))
        if other is None or other.shape != value.shape:
            new.append(name)
        elif not _is_filter(name):
            value.copy_(other)  # a state dict's tensors are the network's own
    return [name for name in new if not _is_filter(name)]


def _place(name: str) -> str:
    return re.sub(r"\b(L\d+)_\d+_\d+", r"\1", name)


def _is_filter(name: str) -> bool:
    """Of resampling: it follows from the sizes, and is not learned."""
    return name.endswith(("resample_filter", "up_filter", "down_filter"))


class _Running:
    """The moving average of path lengths."""

    def __init__(self, device: torch.device) -> None:
        self.path = torch.zeros((), device=device)

    def state_dict(self) -> dict[str, Tensor]:
        return {"path": self.path.cpu()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.path.copy_(state["path"])


def _copied(state: object) -> object:
    """A state dict whose tensors are copies in RAM."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state


@torch.no_grad()
def _norm(net: nn.Module) -> Tensor:
    """Length of the gradient over all weights; after an optimiser's step, when it is the mean over all processes."""
    return torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()


def stylegan_from(config: StyleConfig, device: torch.device | str = "cpu", classes: int = 0) -> StyleGAN:
    """The package's own networks, built and initialised from the settings and their seed; leaves torch's state alone.

    Args:
        config: the settings.
        device: where to train.
        classes: of the data set, used if `config.cond`.
    """
    c_dim = classes if config.cond else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        G = _build_G(config, c_dim)
        D = stylegan2.Discriminator(
            c_dim,
            config.image_size,
            3,
            channel_base=config.cbase,
            channel_max=config.cmax,
            block_kwargs={"freeze_layers": config.freezed},
        )
    return StyleGAN(G, D, config, device=device)


def _build_G(config: StyleConfig, c_dim: int) -> nn.Module:
    sizes = (config.z_dim, c_dim, config.w_dim, config.image_size, 3)
    if config.architecture == "stylegan2":
        mapping = {"num_layers": config.map_depth or 8}
        synthesis = {"channel_base": config.cbase, "channel_max": config.cmax}
        return stylegan2.Generator(*sizes, mapping_kwargs=mapping, synthesis_kwargs=synthesis)
    rotated = config.architecture == "stylegan3-r"
    return stylegan3.Generator(
        *sizes,
        mapping_kwargs={"num_layers": config.map_depth or 2},
        num_layers=config.layers or 14,
        channel_base=config.cbase * (2 if rotated else 1),
        channel_max=config.cmax * (2 if rotated else 1),
        conv_kernel=1 if rotated else 3,
        use_radial_filters=rotated,
        magnitude_ema_beta=0.5 ** (config.batch / 20e3),
    )
