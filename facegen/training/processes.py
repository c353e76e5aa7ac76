"""Several processes that train one network, one for each GPU: `facegen train --gpus=2`, or torchrun on several computers.

Every process sees its share of each batch, and before an optimiser's step the gradients are averaged, so that all of them
make the step that one process would have made with the whole batch. In a single process all of this does nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from facegen.files import InputError

GRACE = 10.0  # seconds in which the first process may say itself what has stopped another


def start(count: int, argv: Sequence[str]) -> int:
    """Run `facegen ARGV` in `count` processes on this computer and wait for them.

    The first of them has the terminal. Of the others is shown what stopped them, if it did not stop the first as well. When
    one fails, the others are ended. Ctrl-C reaches all of them, and they finish their step.

    Returns:
        0, or the exit code of what failed.
    """
    if count < 1:
        raise InputError(f"--gpus={count}: give at least 1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))} | os.environ
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    command = [sys.executable, "-m", "facegen", *argv]
    children: list[subprocess.Popen] = []
    with contextlib.ExitStack() as files, _forwarding_signals(children):
        said = [None, *(files.enter_context(tempfile.TemporaryFile()) for _ in range(1, count))]
        for place, stderr in enumerate(said):
            environment = common | {"RANK": str(place), "LOCAL_RANK": str(place)}
            children.append(subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True))
        failed = _wait(children)
        spoke = (children[0].returncode or 0) > 0  # the first process has said what was wrong, and it was not ended by us
        if failed and not spoke:
            said[failed].seek(0)
            sys.stderr.write(said[failed].read().decode("utf-8", "replace"))
    code = children[0 if spoke else failed].returncode
    return code if code >= 0 else 128 - code


def _wait(children: list[subprocess.Popen]) -> int:
    """Until all have ended; when one has failed the others are ended. Returns the place of the first that failed, else 0."""
    failed, since = 0, None
    while any(child.poll() is None for child in children):
        ended = [place for place, child in enumerate(children) if child.poll()]
        if ended and since is None:
            failed, since = ended[0], time.monotonic()
        # After Ctrl-C the first process may take its time: it writes a checkpoint.
        patient = since is None or children[failed].returncode == 130 or time.monotonic() - since < GRACE
        if children[0].poll() or not patient:
            for child in children:
                child.kill()
        time.sleep(0.02)
    return failed or next((place for place, child in enumerate(children) if child.returncode), 0)


@contextlib.contextmanager
def _forwarding_signals(children: list[subprocess.Popen]) -> Iterator[None]:
    """Hand on what would end us: the processes have sessions of their own, so that Ctrl-C reaches each of them once."""

    def hand_on(number: int, frame: object) -> None:
        for child in children:
            child.send_signal(number)  # nothing happens to one that has ended

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {name: signal.signal(getattr(signal, name), hand_on) for name in names if hasattr(signal, name)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def join(device: str = "auto") -> str:
    """Meet the other processes that torchrun has started, if there are any.

    Args:
        device: what the user asked for.

    Returns:
        The name of this process's device: with CUDA one for each process, else `device`.
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


@contextlib.contextmanager
def together(device: str) -> Iterator[str]:
    """`join`, and in the end `leave`; yields the device's name. Of several processes one speaks."""
    name = join(device)
    try:
        with contextlib.redirect_stdout(io.StringIO()) if rank() else contextlib.nullcontext():
            yield name
    finally:
        leave()


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
