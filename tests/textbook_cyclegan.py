"""One CycleGAN step as usually written: an oracle for the tests and the other side of `bench/cyclegan_step.py`.

Six passes of the generators and six of the discriminators, one after the other, each loss from torch.nn, one backward pass
for the generators and one for each discriminator. The discriminators are frozen in the generators' step, as the published
code does too. Zhu et al. 2017, arXiv:1703.10593, sections 3, 4 and 5.2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def textbook_step(
    nets: tuple[nn.Module, nn.Module, nn.Module, nn.Module],
    opt_G: torch.optim.Optimizer,
    opt_D: torch.optim.Optimizer,
    real_A: Tensor,
    real_B: Tensor,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
    lambda_A: float = 10.0,
    lambda_B: float = 10.0,
    lambda_identity: float = 0.5,
) -> dict[str, float]:
    """One update of G_A and G_B, then one of D_A and D_B. nets: (G_A, G_B, D_A, D_B). Returns the losses."""
    G_A, G_B, D_A, D_B = nets
    squares, absolutes = nn.MSELoss(), nn.L1Loss()

    def judged(logits: Tensor, real: bool) -> Tensor:
        return squares(logits, torch.ones_like(logits) if real else torch.zeros_like(logits))

    fake_B = G_A(real_A)
    rec_A = G_B(fake_B)
    fake_A = G_B(real_B)
    rec_B = G_A(fake_A)

    for D in (D_A, D_B):
        D.requires_grad_(False)
    opt_G.zero_grad()
    losses = {
        "identity_A": absolutes(G_A(real_B), real_B),
        "identity_B": absolutes(G_B(real_A), real_A),
        "loss_G_A": judged(D_A(fake_B), True),
        "loss_G_B": judged(D_B(fake_A), True),
        "cycle_A": absolutes(rec_A, real_A),
        "cycle_B": absolutes(rec_B, real_B),
    }
    loss_G = losses["loss_G_A"] + losses["loss_G_B"] + losses["cycle_A"] * lambda_A + losses["cycle_B"] * lambda_B
    loss_G = loss_G + losses["identity_A"] * lambda_B * lambda_identity + losses["identity_B"] * lambda_A * lambda_identity
    loss_G.backward()
    opt_G.step()

    for D in (D_A, D_B):
        D.requires_grad_(True)
    opt_D.zero_grad()
    for name, D, real, fake in (("loss_D_A", D_A, real_B, pool_B(fake_B)), ("loss_D_B", D_B, real_A, pool_A(fake_A))):
        losses[name] = (judged(D(real), True) + judged(D(fake.detach()), False)) * 0.5
        losses[name].backward()
    opt_D.step()
    return {"loss_G": loss_G.item()} | {name: value.item() for name, value in losses.items()}
