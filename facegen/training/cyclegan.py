"""One training step of CycleGAN: both generators, both discriminators, the pool of past fakes, the learning rate's decay.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593.
Letters follow the published code: G_A paints B from A and D_A judges pictures of B; G_B paints A from B and D_B judges
pictures of A. Pictures carry the letter of the domain they belong to: fake_B is G_A(real_A), rec_A is G_B(fake_B), and
same_B is G_A(real_B).

A step is put together like this; each part in an autocast context of its own, because one that lives across an optimiser's
step would go on using the old weights' casts:

    cycle = translate(nets, real_A, real_B)
    stats = update_generators(nets, opt_G, cycle, loss)
    fake_A, fake_B = pool_A.query(cycle.fake_A), pool_B.query(cycle.fake_B)
    stats |= update_discriminators(nets, opt_D, real_A, real_B, fake_A, fake_B, loss)

`CycleGAN` does that, and is what `facegen.training.fit` trains.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from facegen.config import CycleConfig
from facegen.data.packed import to_pixels
from facegen.data.unpaired import Unpaired
from facegen.files import InputError
from facegen.models import pretrained
from facegen.models.cyclegan import PatchDiscriminator, PixelDiscriminator, ResnetGenerator, UnetGenerator
from facegen.training import processes
from facegen.training.losses import AdversarialLoss, cycle_loss, gradient_penalty, identity_loss, patch_loss
from facegen.training.method import Method, Stats
from facegen.training.schedules import linear_decay
from facegen.training.steps import as_stats, frozen

LSGAN = patch_loss("lsgan")


class Networks(NamedTuple):
    """The four networks: G_A: A -> B and G_B: B -> A, D_A for pictures of B and D_B for pictures of A."""

    G_A: nn.Module
    G_B: nn.Module
    D_A: nn.Module
    D_B: nn.Module


class Cycle(NamedTuple):
    """All pictures of one step, float32 [N, 3, H, W] in [-1, 1]; those that a generator made carry its graph."""

    real_A: Tensor
    real_B: Tensor
    fake_A: Tensor  # G_B(real_B)
    fake_B: Tensor  # G_A(real_A)
    rec_A: Tensor  # G_B(fake_B)
    rec_B: Tensor  # G_A(fake_A)
    same_A: Tensor | None  # G_B(real_A)
    same_B: Tensor | None  # G_A(real_B)


def treats_pictures_alone(net: nn.Module) -> bool:
    """Whether a batch of pictures gives exactly what the same pictures give one by one: true without batch norm.

    Layers of one's own are taken to treat pictures alone.
    """
    return not any(isinstance(m, _BatchNorm) for m in net.modules())


def passes(net: nn.Module, *batches: Tensor) -> list[Tensor]:
    """[net(batch) for batch in batches] in one pass where that is exact and the pictures' sizes allow it.

    Batch norm has to see each sort of picture alone: together they would share their mean and spread. What autocast gives
    in half precision comes back as float32.
    """
    together = treats_pictures_alone(net) and len({batch.shape[1:] for batch in batches}) == 1
    if not together:
        return [_widened(net(batch)) for batch in batches]
    return list(_widened(net(torch.cat(batches))).split([len(batch) for batch in batches]))


def _widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def translate(nets: Networks, real_A: Tensor, real_B: Tensor, identity: bool = True) -> Cycle:
    """Run both cycles: A -> B -> A and B -> A -> B, and, for the identity loss, each generator on its own target domain.

    Args:
        real_A, real_B: pictures [N, 3, H, W] in [-1, 1]; N may differ between the two.
        identity: False leaves same_A and same_B out (None), a third of the generators' work.
    """
    if identity:
        fake_B, same_B = passes(nets.G_A, real_A, real_B)
        fake_A, same_A = passes(nets.G_B, real_B, real_A)
    else:
        (fake_B,), (fake_A,) = passes(nets.G_A, real_A), passes(nets.G_B, real_B)
        same_A = same_B = None
    (rec_A,), (rec_B,) = passes(nets.G_B, fake_B), passes(nets.G_A, fake_A)
    return Cycle(real_A, real_B, fake_A, fake_B, rec_A, rec_B, same_A, same_B)


def update_generators(
    nets: Networks,
    optimizer: Optimizer,
    cycle: Cycle,
    loss: AdversarialLoss = LSGAN,
    *,
    lambda_A: float = 10.0,
    lambda_B: float = 10.0,
    lambda_identity: float = 0.5,
    face: Callable[[Tensor, Tensor], Tensor] | None = None,
    lambda_face: float = 0.0,
) -> Stats:
    """One step of both generators through frozen discriminators (Zhu et al. 2017, eq. 3, section 5.2).

    The sum that is minimised, with D_A's and D_B's verdict on the fakes in loss_G_A and loss_G_B:

        loss_G = loss_G_A + loss_G_B + lambda_A cycle_A + lambda_B cycle_B
               + lambda_identity (lambda_B identity_A + lambda_A identity_B) + lambda_face (face_A + face_B)

    Args:
        optimizer: holds both generators' weights.
        cycle: from `translate`, its graph not yet used.
        loss: one with a part `g`, from `patch_loss` for example.
        lambda_A, lambda_B: weights of the cycles that begin in A and in B.
        lambda_identity: weight of the identity losses as a share of the cycle's; the pictures same_A and same_B of the
            cycle are needed unless it is 0. identity_A is G_A's, measured on B.
        face: a distance between the faces in two batches of pictures, before and after, as a scalar with a graph.
        lambda_face: its weight; with 0 it is not computed.

    Returns:
        Detached scalars, each before it is weighted: loss_G (the sum), loss_G_A, loss_G_B, cycle_A, cycle_B, and
        identity_A, identity_B, face_A, face_B where they are computed.

    Raises:
        InputError: the loss has no part for G alone, or the cycle lacks the identity's pictures.
    """
    if loss.g is None:
        raise InputError("a relativistic loss pairs reals and fakes, which unpaired domains have not: choose another")
    optimizer.zero_grad(set_to_none=True)
    with frozen(nets.D_A), frozen(nets.D_B):
        terms = {
            "loss_G_A": (1.0, loss.g(nets.D_A(cycle.fake_B))),
            "loss_G_B": (1.0, loss.g(nets.D_B(cycle.fake_A))),
            "cycle_A": (lambda_A, cycle_loss(cycle.real_A, cycle.rec_A)),
            "cycle_B": (lambda_B, cycle_loss(cycle.real_B, cycle.rec_B)),
        }
        if lambda_identity:
            if cycle.same_A is None or cycle.same_B is None:
                raise InputError("the identity loss needs same_A and same_B: call translate with identity=True")
            terms["identity_A"] = lambda_identity * lambda_B, identity_loss(cycle.real_B, cycle.same_B)
            terms["identity_B"] = lambda_identity * lambda_A, identity_loss(cycle.real_A, cycle.same_A)
        if face is not None and lambda_face:
            terms["face_A"] = lambda_face, face(cycle.real_A, cycle.fake_B)
            terms["face_B"] = lambda_face, face(cycle.real_B, cycle.fake_A)
        total = sum(weight * value for weight, value in terms.values())
        total.backward()
    optimizer.step()
    return {"loss_G": total.detach()} | {name: value.detach() for name, (_, value) in terms.items()}


def update_discriminators(
    nets: Networks,
    optimizer: Optimizer,
    real_A: Tensor,
    real_B: Tensor,
    fake_A: Tensor,
    fake_B: Tensor,
    loss: AdversarialLoss = LSGAN,
    penalty: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
) -> Stats:
    """One step of both discriminators, each on one batch of its domain and one of fakes.

    Args:
        optimizer: holds both discriminators' weights.
        real_A, real_B, fake_A, fake_B: pictures [N, 3, H, W] in [-1, 1]; fakes, from an `ImagePool` for example, are
            detached here.
        loss: one with the parts `d_real` and `d_fake`.
        penalty: an optional function (D, real, fake) -> scalar, added to the loss.

    Returns:
        Detached scalars: loss_D, its parts loss_D_A and loss_D_B without the penalty, the mean logits_real_A,
        logits_fake_A, logits_real_B and logits_fake_B, and penalty_A and penalty_B. Letters are the discriminator's.

    Raises:
        InputError: the loss has no parts for D.
    """
    if loss.d_real is None or loss.d_fake is None:
        raise InputError("a relativistic loss pairs reals and fakes, which unpaired domains have not: choose another")
    optimizer.zero_grad(set_to_none=True)
    stats: Stats = {}
    for letter, D, real, fake in (("A", nets.D_A, real_B, fake_B.detach()), ("B", nets.D_B, real_A, fake_A.detach())):
        real_logits, fake_logits = passes(D, real, fake)
        # Halved, so that D learns at half of G's pace (Zhu et al. 2017, section 4, training details).
        total = (loss.d_real(real_logits) + loss.d_fake(fake_logits)) / 2
        stats[f"loss_D_{letter}"] = total.detach()
        stats[f"logits_real_{letter}"] = real_logits.detach().mean()
        stats[f"logits_fake_{letter}"] = fake_logits.detach().mean()
        if penalty is not None:
            extra = penalty(D, real, fake)
            stats[f"penalty_{letter}"] = extra.detach()
            total = total + extra / 2
        total.backward()  # one discriminator at a time: they share nothing, and only one graph has to be kept
    optimizer.step()
    return {"loss_D": stats["loss_D_A"] + stats["loss_D_B"]} | stats


class ImagePool:
    """A store of past fakes, so that D does not forget what G painted a while ago.

    Shrivastava et al. 2017 (arXiv:1612.07828), section 2.3, in the form of Zhu et al. 2017, section 4: 50 pictures; until
    they are there every picture is stored and returned; afterwards, with probability 1/2, a picture is put into a random
    place of the store and what stood there is returned.

    The draws come from a generator of the pool's own, so that a pool whose state is restored goes on exactly as before.

    Args:
        size: how many pictures are stored; 0 returns every picture as it came.
        seed: of the draws.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise InputError(f"pool={size}: must be 0 or more")
        self.size = size
        self._generator = torch.Generator().manual_seed(seed)
        self._images: list[Tensor] = []  # [C, H, W] each

    def __len__(self) -> int:
        return len(self._images)

    @torch.no_grad()
    def query(self, images: Tensor) -> Tensor:
        """Pass fakes [N, C, H, W] through the pool, one after the other.

        Returns:
            As many pictures, detached, on the same device and in the same order, some of them older ones instead.
        """
        if not self.size:
            return images.detach()
        if self._images and self._images[0].shape != images.shape[1:]:
            stored = list(self._images[0].shape)
            raise InputError(f"pictures of shape {list(images.shape[1:])}, but the pool holds {stored}: start a new pool")
        answer = images.clone()
        for i, image in enumerate(images):
            if len(self._images) < self.size:
                self._images.append(image.clone())
            elif torch.rand((), generator=self._generator) < 0.5:
                place = int(torch.randint(self.size, (), generator=self._generator))
                answer[i] = self._images[place]  # copies, also from another device after a restored state
                self._images[place] = image.clone()
        return answer

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that decides the next answers, as tensors on the CPU: images [n, C, H, W] ([0] if none), generator."""
        images = torch.stack(self._images).cpu() if self._images else torch.empty(0)
        return {"images": images, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where the pool stood whose `state_dict` this is; refuses what is no pool's state, and then stays as it was."""
        images, generator = state.get("images"), state.get("generator")
        if not (isinstance(images, Tensor) and isinstance(generator, Tensor) and images.dim() in (1, 4)):
            raise InputError("this is not the state of an image pool: it needs the tensors images and generator")
        if len(images) > self.size:
            raise InputError(f"the state holds {len(images)} pictures, the pool {self.size}: set pool to what it was")
        try:
            self._generator.set_state(generator)
        except (RuntimeError, TypeError):
            raise InputError("the state's generator is not one of torch's: take the state from an undamaged file") from None
        self._images = [image.clone() for image in images]


FaceDistance = Callable[[Tensor, Tensor], Tensor]
DIRECTIONS = ("AtoB", "BtoA")


class CycleGAN(Method):
    """Two generators and two discriminators with everything that one training step needs: what `fit` trains.

    Args:
        nets: any modules; G's map pictures [N, 3, S, S] in [-1, 1] to such pictures, D's map them to logits of any shape.
            A learner's own classes go in here. They are moved to `device`, but not initialised.
        config: the settings; those of networks and data have to match what is given.
        steps_per_epoch: `Unpaired.steps_per_epoch(config.batch)`, on which the learning rate's decay depends.
        device: where to train.
        face: the face-identity loss, a distance between two batches of pictures; needed if lambda_face is not 0.
        g_step: an optional generators' step of one's own, with the signature of the course's:
            g_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity). It decides all losses of
            the generators; pools, discriminators, precision and decay stay with this class.

    Raises:
        InputError: a face-identity loss with a weight but no distance.
    """

    def __init__(
        self,
        nets: Networks,
        config: CycleConfig,
        steps_per_epoch: int,
        *,
        device: torch.device | str = "cpu",
        face: FaceDistance | None = None,
        g_step: Callable[..., object] | None = None,
    ) -> None:
        if config.lambda_face and face is None:
            given = f"--lambda-face={config.lambda_face:g}"
            raise InputError(f"{given} needs something that compares faces: give face, or set it to 0")
        super().__init__(config, device)
        self._epoch = steps_per_epoch
        # Planar memory on CPUs: with 3 channels at full size channels_last was slower there.
        layout = torch.channels_last if self.device.type == "cuda" else torch.contiguous_format
        self.nets = Networks(*(net.to(self.device, memory_format=layout).train() for net in nets))
        self.networks = self.nets._asdict()
        weights = [itertools.chain(*(net.parameters() for net in pair)) for pair in (self.nets[:2], self.nets[2:])]
        self.opt_G, self.opt_D = (self.adam(each, config.lr, config.beta1, config.beta2) for each in weights)
        self.optimizers = {"G": self.opt_G, "D": self.opt_D}
        seeds = (2 * config.seed + 2 * processes.rank() * 2**32 + letter for letter in range(2))
        self.pool_A, self.pool_B = (ImagePool(config.pool, seed % 2**63) for seed in seeds)
        self.stores = {"pool_A": self.pool_A, "pool_B": self.pool_B}
        self.loss = patch_loss(config.loss)
        self.face, self.g_step = face, g_step

    @property
    def steps(self) -> int:
        """Steps in the run."""
        return (self.config.epochs + self.config.epochs_decay) * self._epoch

    def steps_per_epoch(self, data: Unpaired) -> int:
        """Steps that show the larger domain once."""
        return self._epoch

    def check(self, data: Unpaired) -> None:
        """Refuse data that these settings were not made for."""
        config, there = self.config, (data.image_size, data.A.images.shape[2])
        if there != (config.image_size, config.load_size):
            raise InputError(
                f"{data.name}: crops of {there[0]} from pictures of {there[1]} pixels, but the settings say "
                f"--image-size={config.image_size} and --load-size={config.load_size}: load the data with these"
            )
        if data.steps_per_epoch(config.batch) != self._epoch:
            raise InputError(
                f"{data.name}: an epoch is {data.steps_per_epoch(config.batch)} steps, the training was built for {self._epoch}"
            )

    def fixed(self, data: Unpaired, n: int) -> Tensor:
        """The pictures of A whose translations are followed through the run: the first n test pictures, where there are some.

        Returns:
            float32 [n or fewer, 3, image_size, image_size] in [-1, 1]; pictures for training are cut to their middle.
        """
        faces = data.test_A if data.test_A is not None else data.A
        pictures = faces.to(self.device).batch(range(min(n, len(faces))))
        top, left = ((side - self.config.image_size) // 2 for side in pictures.shape[2:])
        return pictures[:, :, top : top + self.config.image_size, left : left + self.config.image_size]

    def batch(self, data: Unpaired, step: int) -> list[Tensor]:
        """real_A and real_B of a step, or a process's share of them."""
        pictures = data.batch(self.config.batch, step, seed=self.config.seed, mirror=self.config.mirror)
        return [processes.share(part) for part in pictures]

    def update(self, step: int, reals: list[Tensor]) -> Stats:
        """One step of all four networks. Returns detached scalars."""
        real_A, real_B = reals
        factor = linear_decay(step // self._epoch, self.config.epochs, self.config.epochs_decay)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * factor
        stats, fake_A, fake_B = (self._own_step if self.g_step else self._generators)(real_A, real_B)
        fake_A, fake_B = self.pool_A.query(fake_A), self.pool_B.query(fake_B)
        penalty = self._penalty if self.config.loss == "wgangp" else None
        with self.autocast():
            stats |= update_discriminators(self.nets, self.opt_D, real_A, real_B, fake_A, fake_B, self.loss, penalty)
        return stats | {"lr": torch.tensor(self.config.lr * factor)}

    def _generators(self, real_A: Tensor, real_B: Tensor) -> tuple[Stats, Tensor, Tensor]:
        config = self.config
        with self.autocast():
            cycle = translate(self.nets, real_A, real_B, identity=config.lambda_identity > 0)
            stats = update_generators(
                self.nets,
                self.opt_G,
                cycle,
                self.loss,
                lambda_A=config.lambda_A,
                lambda_B=config.lambda_B,
                lambda_identity=config.lambda_identity,
                face=self.face,
                lambda_face=config.lambda_face,
            )
        return stats, cycle.fake_A, cycle.fake_B

    def _own_step(self, real_A: Tensor, real_B: Tensor) -> tuple[Stats, Tensor, Tensor]:
        with torch.no_grad(), self.autocast():  # what D is shown comes from before the step, as in the package's own
            fake_B, fake_A = _widened(self.nets.G_A(real_A)), _widened(self.nets.G_B(real_B))
        with self.autocast():
            result = self.g_step(*self.nets, self.opt_G, real_A, real_B, self.config.lambda_A, self.config.lambda_identity)
        return as_stats(result, "loss_G"), fake_A, fake_B

    def _penalty(self, D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        with self.autocast(enabled=False):  # second derivatives lose too much in bfloat16
            return self.config.gp_weight * gradient_penalty(lambda x: D(x).flatten(1).mean(1), real, fake)

    @torch.no_grad()
    def sample(self, fixed: Tensor) -> Tensor:
        """A -> B: pictures [N, 3, S, S] in [-1, 1] -> uint8 [N, 3, S, S] on the CPU."""
        return paint(self.nets.G_A, fixed)

    def label(self, step: int) -> str:
        """What the networks kept after this step are called: by their epoch."""
        return f"epoch-{step // self._epoch:04d}"

    def export(self, path: Path, info: dict[str, object]) -> None:
        """Write both generators, each with the discriminator of its pictures, into two network files.

        `path` network.safetensors becomes network-AtoB.safetensors and network-BtoA.safetensors.

        Raises:
            InputError: networks that a file cannot rebuild; nothing is written then.
        """
        pairs = dict(zip(DIRECTIONS, ((self.nets.G_A, self.nets.D_A), (self.nets.G_B, self.nets.D_B))))
        for G, _ in pairs.values():
            if not pretrained.can_save(G):
                raise InputError(f"{path}: a {type(G).__name__} of your own cannot be rebuilt from a file")
        for direction, (G, D) in pairs.items():
            judged = D if pretrained.can_save(D) else None
            pretrained.save(path.with_name(f"{path.stem}-{direction}.safetensors"), G, judged, {**info, "direction": direction})


@torch.no_grad()
def paint(G: nn.Module, pictures: Tensor, batch: int = 8) -> Tensor:
    """What a generator makes of pictures, in evaluation mode and float32.

    Args:
        G: a network of pictures to pictures.
        pictures: float32 [N, 3, H, W] in [-1, 1], on G's device.
        batch: how many at once.

    Returns:
        uint8 [N, 3, H, W] on the CPU.
    """
    training = G.training
    G.eval()
    parts = [to_pixels(G(part)) for part in pictures.split(batch)]
    G.train(training)
    return torch.cat(parts)


def cyclegan_from(
    config: CycleConfig, steps_per_epoch: int, device: torch.device | str = "cpu", face: FaceDistance | None = None
) -> CycleGAN:
    """The package's own CycleGAN, built and initialised from the settings and their seed; leaves torch's random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        nets = Networks(_generator(config), _generator(config), _discriminator(config), _discriminator(config))
    return CycleGAN(nets, config, steps_per_epoch, device=device, face=face)


def _generator(config: CycleConfig) -> nn.Module:
    if config.generator.startswith("resnet"):
        if config.image_size % 4:
            raise InputError(f"--image-size={config.image_size}: {config.generator} halves twice, take a multiple of 4")
        return ResnetGenerator(width=config.width, blocks=int(config.generator.removeprefix("resnet")), norm=config.norm)
    size = int(config.generator.removeprefix("unet"))
    downs = size.bit_length() - 1
    if size != 1 << downs or downs < 5 or config.image_size % size:
        raise InputError(
            f"--generator={config.generator} with --image-size={config.image_size}: a U-Net's size is a power of 2 from 32 on "
            "that divides the picture's"
        )
    return UnetGenerator(width=config.width, downs=downs, norm=config.norm)


def _discriminator(config: CycleConfig) -> nn.Module:
    if config.layers_D == 0:
        return PixelDiscriminator(width=config.width_D, norm=config.norm)
    least = 3 * 2**config.layers_D
    if config.image_size < least:
        raise InputError(
            f"--layers-D={config.layers_D} needs pictures of {least} pixels, not {config.image_size}: take fewer layers"
        )
    return PatchDiscriminator(width=config.width_D, layers=config.layers_D, norm=config.norm)
