"""Several processes that train one network, one for each GPU: `torchrun --nproc-per-node=2 -m facegen train ...`.

Every process sees its share of each batch, and before an optimiser's step the gradients are averaged, so that all of them
make the step that one process would have made with the whole batch. In a single process all of this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from facegen.files import InputError


def join(device: str = "auto") -> str:
    """Meet the other processes that torchrun has started, if there are any.

    Args:
        device: what the user asked for.

    Returns:
        The name of this process's device: with CUDA one for each process, else `device`.

    Raises:
        InputError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        return device
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and place >= torch.cuda.device_count():
        raise InputError(
            f"process {place + 1} on this machine has no GPU of its own: give --gpus={torch.cuda.device_count()} at most"
        )
    if cuda:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if cuda else "gloo")
    return f"cuda:{place}" if cuda else device


def leave() -> None:
    """Part from the other processes; call it before the program ends."""
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; process 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(batch: Tensor) -> Tensor:
    """This process's rows of a batch [N, ...]: N / count of them."""
    n = len(batch) // count()
    return batch[rank() * n : (rank() + 1) * n]


def share_gradients(optimizers: Iterable[Optimizer]) -> None:
    """Average the gradients over all processes before each step of these optimisers."""
    if count() == 1:
        return

    def average(optimizer: Optimizer, *_) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])  # one message instead of hundreds
        dist.all_reduce(flat)
        for grad, mean in zip(grads, (flat / count()).split([grad.numel() for grad in grads])):
            grad.copy_(mean.view_as(grad))

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(average)


def average(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    if count() > 1:
        dist.all_reduce(values)
        values = values / count()
    return values


def gather(value: object) -> list[object]:
    """What every process gives, in the order of their ranks; the same list in all of them."""
    if count() == 1:
        return [value]
    values: list[object] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def wait() -> None:
    """Go on when all processes are here."""
    if count() > 1:
        dist.barrier()
