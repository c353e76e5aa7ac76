"""What changes with the steps of a run, as pure functions of the step: a resumed run needs no scheduler's state."""

from __future__ import annotations

import math

from facegen.files import InputError


def learning_rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """What the base learning rate is multiplied with in step `step` (from 0) of `steps`.

    A linear ramp over `warmup` steps, times: 1 ("constant"), 1 and then a line to 0 over the second half ("linear"), or
    half a cosine from 1 to 0 ("cosine").
    """
    ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
    done = step / max(1, steps)
    if schedule == "linear":
        return ramp * min(1.0, 2 * (1 - done))
    if schedule == "cosine":
        return ramp * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return ramp


def linear_decay(epoch: int, constant: int, decay: int) -> float:
    """What the base learning rate is multiplied with in epoch `epoch`, counted from 0 (Zhu et al. 2017, section 4).

    1 for `constant` epochs, then equal steps down over `decay` epochs; 0 is reached only after the last one, since an
    epoch at rate 0 would be spent for nothing.

    Raises:
        InputError: a negative number, or no epochs at all.
    """
    if min(epoch, constant, decay) < 0 or constant + decay == 0:
        raise InputError(f"epoch={epoch} of {constant} constant and {decay} decaying ones: expected 0 or more, and some")
    return min(1.0, max(0.0, (constant + decay - epoch) / (decay + 1)))


def ema_beta(step: int, images: int, half_life: float, rampup: float | None) -> float:
    """The share of the old average that an averaged generator keeps in step `step` (arXiv:2006.06676, appendix C).

    Args:
        images: real pictures in a step.
        half_life: of the average, in pictures; 0 is no average.
        rampup: the half-life is at most this share of the pictures shown so far; None or 0: no such limit.
    """
    if rampup:
        half_life = min(half_life, (step + 1) * images * rampup)
    return 0.5 ** (images / half_life) if half_life > 0 else 0.0
