"""The same numbers on every device: needs an accelerator, and says so where there is none."""

from __future__ import annotations

import contextlib

import pytest
import torch
from test_stylegan import GENERATORS, discriminator, labels, noise
from textbook import relative_error

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()
ACCELERATOR = "cuda" if CUDA else "mps"
pytestmark = pytest.mark.skipif(not (CUDA or MPS), reason="needs a CUDA or MPS device: there is none here")


@contextlib.contextmanager
def exact_products():
    """Without TF32, whose products keep ten bits of the mantissa."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("name", list(GENERATORS))
def test_generators_and_their_gradients_agree_with_the_cpu(name):
    results = []
    for device in ("cpu", ACCELERATOR):
        G = GENERATORS[name]().to(device)
        c = labels(4, G.c_dim)
        ws = G.mapping(noise(4, 8).to(device), None if c is None else c.to(device)).detach().requires_grad_()
        with exact_products():
            image = G.synthesis(ws, noise_mode="const")
            (gradient,) = torch.autograd.grad(image.square().sum(), ws, create_graph=True)
            second = torch.autograd.grad(gradient.square().sum(), G.synthesis.parameters(), allow_unused=True)
        results.append([image, gradient, *(g for g in second if g is not None)])
    for on_cpu, on_device in zip(*results):
        assert relative_error(on_device.cpu(), on_cpu) < 1e-4


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_discriminators_and_r1_agree_with_the_cpu(architecture):
    results = []
    for device in ("cpu", ACCELERATOR):
        D = discriminator(c_dim=3, architecture=architecture).to(device)
        image = noise(4, 3, 16, 16).to(device).requires_grad_()
        with exact_products():
            logits = D(image, labels(4, 3).to(device))
            (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
            second = torch.autograd.grad(gradient.square().sum(), D.parameters(), allow_unused=True)
        results.append([logits, gradient, *(g for g in second if g is not None)])
    for on_cpu, on_device in zip(*results):
        assert relative_error(on_device.cpu(), on_cpu) < 1e-4


def test_half_precision_runs_and_is_near():
    G = GENERATORS["2"]().to(ACCELERATOR)
    z = noise(4, 8).to(ACCELERATOR)
    full = G(z, noise_mode="const")
    assert relative_error(G(z, noise_mode="const", dtype=torch.float16).cpu(), full.cpu()) < 0.05
