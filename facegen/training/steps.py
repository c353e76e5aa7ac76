"""One D update and one G update, and the method object that `fit` trains.

Level two of three: the losses know only logits, a step knows networks and an optimiser, `fit` knows time and files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facegen.config import TrainConfig
from facegen.data.packed import Faces, to_pixels
from facegen.files import InputError
from facegen.models import dcgan
from facegen.training import processes
from facegen.training.augment import diff_augment, parse_policy
from facegen.training.losses import AdversarialLoss, adversarial_loss, gradient_penalty, zero_centred_penalty
from facegen.training.method import FromNoise, Stats
from facegen.training.schedules import ema_beta, learning_rate_factor

BCE = adversarial_loss("bce")


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Inside, gradients flow through `net` to its input but none are computed for its weights, a fifth of a G step's work."""
    trained = [p for p in net.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


def update_D(
    D: nn.Module, optimizer: Optimizer, real: Tensor, fake: Tensor, loss: AdversarialLoss = BCE, penalty=None
) -> Stats:
    """One step of D on one batch of each sort.

    Args:
        real, fake: pictures [N, 3, S, S] in [-1, 1]; `fake` is detached here, so G gets no gradient.
        penalty: an optional function (D, real, fake) -> scalar, added to the loss.

    Returns:
        Detached scalars: loss_D, loss_real and loss_fake where the loss has the two parts, logits_real, logits_fake, penalty.
    """
    optimizer.zero_grad(set_to_none=True)
    fake = fake.detach()
    # Two passes, not one over both: batch norm has to see each sort alone, or D tells them apart by the batch's statistics.
    real_logits, fake_logits = D(real), D(fake)
    stats = {"logits_real": real_logits.detach().float().mean(), "logits_fake": fake_logits.detach().float().mean()}
    if loss.d_pair:
        total = loss.d_pair(real_logits, fake_logits)
    else:
        on_real, on_fake = loss.d_real(real_logits), loss.d_fake(fake_logits)
        total = on_real + on_fake
        stats |= {"loss_real": on_real.detach(), "loss_fake": on_fake.detach()}
    stats["loss_D"] = total.detach()  # without the penalty, so that runs with and without one can be compared
    if penalty is not None:
        extra = penalty(D, real, fake)
        stats["penalty"] = extra.detach()
        total = total + extra
    total.backward()
    optimizer.step()
    return stats


def update_G(
    D: nn.Module, optimizer: Optimizer, fake: Tensor, loss: AdversarialLoss = BCE, real: Tensor | None = None
) -> Stats:
    """One step of G through a frozen D. `fake` is G's output with its graph; `real` is needed by relativistic losses only."""
    optimizer.zero_grad(set_to_none=True)
    with frozen(D):
        fake_logits = D(fake)
        if loss.g_pair:
            with torch.no_grad():
                real_logits = D(real)
            value = loss.g_pair(real_logits, fake_logits)
        else:
            value = loss.g(fake_logits)
        value.backward()
    optimizer.step()
    return {"loss_G": value.detach()}


def discriminator_step(D: nn.Module, G: nn.Module, d_optimizer: Optimizer, real: Tensor, z: Tensor) -> Stats:
    """The course's D step: binary cross-entropy on a real batch and on a batch that G makes from z. G is left untouched."""
    with torch.no_grad():
        fake = G(z)
    return update_D(D, d_optimizer, real, fake)


def generator_step(D: nn.Module, G: nn.Module, g_optimizer: Optimizer, z: Tensor) -> Stats:
    """The course's G step: G is moved so that D calls its pictures real. D's weights stay."""
    return update_G(D, g_optimizer, G(z))


class _Augmented(nn.Module):
    """D behind the augmenting glass; shares D's weights."""

    def __init__(self, D: nn.Module, policy: tuple[str, ...]) -> None:
        super().__init__()
        self.D, self.policy = D, policy

    def forward(self, x: Tensor) -> Tensor:
        return self.D(diff_augment(x, self.policy))


class GAN(FromNoise):
    """A generator and a discriminator with everything that one training step needs: what `fit` trains.

    Args:
        G, D: any modules: G maps z [N, z_size] to pictures [N, 3, S, S] in [-1, 1], D maps pictures to logits, one each.
            The learner's own classes go in here. They are moved to `device`, but not initialised.
        config: the settings; `image_size` and `z_size` have to match the networks.
        device: where to train.
        d_step, g_step: optional steps of one's own, with the signatures of `discriminator_step` and `generator_step`. They
            then decide loss and update, and one that is missing is the course's (binary cross-entropy); augmentation,
            precision, schedule and averaging stay with this class.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        config: TrainConfig,
        *,
        device: torch.device | str = "cpu",
        d_step: Callable[..., Stats] | None = None,
        g_step: Callable[..., Stats] | None = None,
    ) -> None:
        # channels_last: convolutions run faster on it, on CPUs with bfloat16 units and on GPUs alike; values are the same.
        G, D = (net.to(device, memory_format=torch.channels_last).train() for net in (G, D))
        super().__init__(G, D, config, device, config.z_size)
        self.opt_G = self.adam(G.parameters(), config.lr_G, config.beta1, config.beta2)
        self.opt_D = self.adam(D.parameters(), config.lr_D, config.beta1, config.beta2)
        self.optimizers = {"G": self.opt_G, "D": self.opt_D}
        self.loss = adversarial_loss(config.loss, config.smooth)
        policy = parse_policy(config.augment)
        self.seen_by_D = _Augmented(self.D, policy) if policy else self.D
        self.d_step, self.g_step = d_step, g_step

    def batch(self, data: Faces, step: int) -> list[Tensor]:
        """The real pictures of a step, one batch [N, 3, S, S] for each D step; N is `batch`, or a process's share of it."""
        d_steps = self.config.d_steps
        return [self.reals(data, step * d_steps + part)[1] for part in range(d_steps)]

    def update(self, step: int, reals: list[Tensor]) -> Stats:
        """One training step: a D update for each batch in `reals`, then a G update. Returns detached scalars."""
        factor = learning_rate_factor(step, self.config.steps, self._in_steps(self.config.warmup_kimg), self.config.schedule)
        for optimizer, rate in ((self.opt_G, self.config.lr_G), (self.opt_D, self.config.lr_D)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for part, real in enumerate(reals):
            z = processes.share(self.noise(len(real) * processes.count(), step, part))
            last = part == len(reals) - 1
            stats = self._own_steps(real, z, last) if self.d_step or self.g_step else self._fast_steps(step, real, z, last)
        self._average(step)
        return stats | {"lr_G": torch.tensor(self.config.lr_G * factor), "lr_D": torch.tensor(self.config.lr_D * factor)}

    def _fast_steps(self, step: int, real: Tensor, z: Tensor, with_G: bool) -> Stats:
        """The package's own steps: one forward pass of G serves both updates, since G does not change in between."""
        with self.autocast():
            with contextlib.nullcontext() if with_G else torch.no_grad():
                fake = self.G(z).float()
            stats = update_D(self.seen_by_D, self.opt_D, real, fake, self.loss, self._penalty(step))
        self._clip()
        if with_G:
            with self.autocast():  # a new context: the old one may hold casts of the weights that D had before
                stats |= update_G(self.seen_by_D, self.opt_G, fake, self.loss, real)
        return stats

    def _own_steps(self, real: Tensor, z: Tensor, with_G: bool) -> Stats:
        d_step, g_step = self.d_step or discriminator_step, self.g_step or generator_step
        with self.autocast():
            stats = as_stats(d_step(self.seen_by_D, self.G, self.opt_D, real, z), "loss_D")
        self._clip()
        if with_G:
            with self.autocast():
                stats |= as_stats(g_step(self.seen_by_D, self.G, self.opt_G, z), "loss_G")
        return stats

    def _penalty(self, step: int):
        """The penalty of this D step as a function (D, real, fake) -> scalar, or None."""
        config = self.config
        if (config.loss != "wgan-gp" and not (config.r1_gamma or config.r2_gamma)) or step % config.penalty_every:
            return None

        def penalty(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
            with self.autocast(enabled=False):  # second derivatives lose too much in bfloat16, and gain no time
                total = config.gp_weight * gradient_penalty(D, real, fake) if config.loss == "wgan-gp" else real.new_zeros(())
                if config.r1_gamma:
                    total = total + config.r1_gamma / 2 * zero_centred_penalty(D, real)
                if config.r2_gamma:
                    total = total + config.r2_gamma / 2 * zero_centred_penalty(D, fake)
            return total * config.penalty_every

        return penalty

    @torch.no_grad()
    def _clip(self) -> None:
        if self.config.loss == "wgan":
            for p in self.D.parameters():
                p.clamp_(-self.config.clip, self.config.clip)

    def _in_steps(self, kimg: float) -> int:
        return round(kimg * 1000 / self.config.images_per_step)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """G_ema <- beta G_ema + (1 - beta) G, with a half-life of ema_kimg, shorter at the start (Karras et al. 2020)."""
        beta = ema_beta(step, self.config.images_per_step, self.config.ema_kimg * 1000, 0.05)
        torch._foreach_lerp_(list(self.G_ema.parameters()), list(self.G.parameters()), 1 - beta)

    @torch.no_grad()
    def refresh(self) -> None:
        """Give G_ema batch statistics of its own: averaged weights do not fit the statistics of the weights they average."""
        for theirs, ours in zip(self.G.buffers(), self.G_ema.buffers()):
            ours.copy_(theirs)
        norms = [m for m in self.G_ema.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain mean over all batches below
            m.train()
        for part in range(8 if norms else 0):
            self.G_ema(self.noise(64, -1, part))
        for m, momentum in zip(norms, momenta):
            m.momentum = momentum
            m.eval()

    @torch.no_grad()
    def sample(self, z: Tensor) -> Tensor:
        """Pictures uint8 [N, 3, S, S] of the averaged generator in evaluation mode, on the CPU. z: [N, z_size]."""
        pictures = torch.cat([self.G_ema(part.to(self.device)) for part in z.split(64)])
        return to_pixels(pictures)


def as_stats(result: object, name: str) -> Stats:
    """A learner's step may return its loss, or a dict of several numbers; both become a dict of detached tensors."""
    values = result if isinstance(result, dict) else {name: result}
    stats = {key: torch.as_tensor(value).detach().float() for key, value in values.items() if value is not None}
    for key, value in stats.items():
        if value.numel() != 1:
            raise InputError(f"a step returned {key} with shape {tuple(value.shape)}: return one number, such as its mean")
    return {key: value.reshape(()) for key, value in stats.items()}


def dcgan_from(config: TrainConfig, device: torch.device | str = "cpu") -> GAN:
    """The package's own DCGAN, built and initialised from the settings and their seed; leaves torch's random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        G = dcgan.Generator(config.z_size, config.conv_dim, config.image_size, config.norm_G, config.padding_mode)
        D = dcgan.Discriminator(config.conv_dim, config.image_size, config.norm_D, config.slope, config.padding_mode)
        dcgan.initialise(G, config.init)
        dcgan.initialise(D, config.init)
    return GAN(G, D, config, device=device)
