"""cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, ...): one update of both generators (Zhu and others 2017)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import steps
from exercises.base import Exercise
from exercises.judging import untouched
from exercises.networks import stepped
from exercises.probing import Answer, Case
from facegen.training import cyclegan


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, size, options in ((3, 8, {}), (1, 9, {"lambda_cycle": 3.0, "lambda_identity": 0.8}), (2, 7, {})):
        nets = {name: steps.layer(3, 3, 3, 3, g=g) for name in ("G_A", "G_B")}
        nets |= {name: [*steps.layer(4, 3, 3, 3, g=g), *steps.layer(1, 4, 2, 2, g=g, times=3)] for name in ("D_A", "D_B")}
        pictures = {name: torch.tanh(torch.randn(n, 3, size, size, generator=g)) for name in ("real_A", "real_B")}
        more = {"train": ["G_A", "G_B"], "stale": steps.stale(nets, g), "rate": 0.01}
        found.append({"nets": nets, "inputs": pictures, "options": options, **more})
    return found


def probe(cycle_generator_step: Callable, case: Case) -> Answer:
    # Without norms, so that pictures may share a pass.
    def translation(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.conv2d(x, a, b, padding=1).tanh()

    def patches(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, a, b, stride=2).tanh(), c, d)

    formulas = {"G_A": translation, "G_B": translation, "D_A": patches, "D_B": patches}
    return stepped(cycle_generator_step, formulas, case)


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, *case["inputs"])
    found = steps.judged(case, answer, "optimizer", "loss_G")
    value = answer["value"]
    if isinstance(value, dict) and {"adversarial", "cycle", "identity"} <= set(value):
        by_cycle, by_identity = case["options"].get("lambda_cycle", 10.0), case["options"].get("lambda_identity", 0.5)
        adversarial, cycle, identity = (steps.returned(value, key) for key in ("adversarial", "cycle", "identity"))
        whole = adversarial + by_cycle * (cycle + by_identity * identity)
    else:
        whole = found["the returned loss_G"]
    return found | {"adversarial + lambda_cycle * (cycle + lambda_identity * identity), of the returned parts": whole}


def cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """The package's step, which is given the finished pictures."""
    nets = cyclegan.Networks(G_A, G_B, D_A, D_B)
    weights = {"lambda_A": lambda_cycle, "lambda_B": lambda_cycle, "lambda_identity": lambda_identity}
    return cyclegan.update_generators(nets, optimizer, cyclegan.translate(nets, real_A, real_B), **weights)


# -- mistakes

l1 = F.l1_loss


def to(logits: Tensor, target: float) -> Tensor:
    return (logits - target).square().mean()


def judged(s: SimpleNamespace, of_A: Tensor, of_B: Tensor, target: float = 1) -> Tensor:
    """By D_A and D_B."""
    return to(s.D_A(of_A), target) + to(s.D_B(of_B), target)


def apart(a: Tensor, x: Tensor, b: Tensor, y: Tensor, loss: Callable = F.l1_loss) -> Tensor:
    return loss(a, x) + loss(b, y)


def seen(G_A: nn.Module, G_B: nn.Module, D_A: nn.Module, D_B: nn.Module, A: Tensor, B: Tensor, c: float, i: float):
    """All that the loss is made of: the networks, pictures and weights, and its six parts."""
    s = SimpleNamespace(G_A=G_A, G_B=G_B, D_A=D_A, D_B=D_B, A=A, B=B, c=c, i=i, ci=c * i, fake_B=G_A(A), fake_A=G_B(B))
    s.to_A, s.to_B = to(D_A(s.fake_B), 1), to(D_B(s.fake_A), 1)
    s.cycle_A, s.cycle_B = l1(G_B(s.fake_B), A), l1(G_A(s.fake_A), B)
    s.same_A, s.same_B = l1(G_A(B), B), l1(G_B(A), A)
    s.verdicts, s.cycles, s.identities = s.to_A + s.to_B, s.cycle_A + s.cycle_B, s.same_A + s.same_B
    return s


def of(loss: Callable[[SimpleNamespace], Tensor]) -> steps.Loss:
    def whole(G_A, G_B, D_A, D_B, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
        return loss(seen(G_A, G_B, D_A, D_B, real_A, real_B, lambda_cycle, lambda_identity))

    return whole


def solution(**changed: Callable[[SimpleNamespace], Tensor | float]) -> steps.Loss:
    """With other verdicts, cycles or identities, or other weights of the last two, c and ci."""

    def loss(s: SimpleNamespace) -> Tensor:
        for name, value in {name: change(s) for name, change in changed.items()}.items():
            setattr(s, name, value)
        return s.verdicts + s.c * s.cycles + s.ci * s.identities

    return of(loss)


def returning(by_cycle: Callable, by_identity: Callable) -> Callable:
    """The right step, which returns its parts with weights of cycle and identity."""

    def step(*arguments, **options):
        s = of(lambda s: s)(*(a for a in arguments if not isinstance(a, torch.optim.Optimizer)), **options)
        parts = {"adversarial": s.verdicts, "cycle": by_cycle(s) * s.cycles, "identity": by_identity(s) * s.identities}
        return {"loss_G": steps.step_of(right)(*arguments, **options), **parts}

    return step


right = solution()

VERDICTS = {
    "D_A and D_B are exchanged: D_A judges pictures of B, so G_A(A)": lambda s: judged(s, s.fake_A, s.fake_B),
    "the fakes' target is 0, so G learns to be found out: it is 1 here": lambda s: judged(s, s.fake_B, s.fake_A, 0),
    "D's verdict on the fakes teaches nothing: it is missing, cut off (detach), or about the real pictures": lambda s: 0,
    "D judges the reconstructions, expected the fakes": lambda s: judged(s, s.G_A(s.fake_A), s.G_B(s.fake_B)),
    "the adversarial loss is cross-entropy, expected least squares": lambda s: (
        F.softplus(-s.D_A(s.fake_B)).mean() + F.softplus(-s.D_B(s.fake_A)).mean()
    ),
    "the adversarial loss is halved, which is for D's": lambda s: s.verdicts / 2,
    "the targets are smoothed, expected 1": lambda s: judged(s, s.fake_B, s.fake_A, 0.9),
    "lambda_cycle is on D's verdicts, too": lambda s: s.c * s.verdicts,
    "D_A's verdict on G_A is missing": lambda s: s.to_B,
    "D_B's verdict on G_B is missing": lambda s: s.to_A,
}
CYCLES = {
    "the cycle losses are missing": lambda s: 0,
    "only the cycle A -> B -> A counts, expected both": lambda s: s.cycle_A,
    "only the cycle B -> A -> B counts, expected both": lambda s: s.cycle_B,
    "the two cycles are averaged, expected their sum": lambda s: s.cycles / 2,
    "lambda_cycle is missing on the cycle": lambda s: s.cycles / s.c,
    "lambda_identity is on the cycle, too": lambda s: s.i * s.cycles,
    "the fakes are cut off (detach) before the way back, so one generator learns nothing from a cycle": lambda s: apart(
        s.G_B(s.fake_B.detach()), s.A, s.G_A(s.fake_A.detach()), s.B
    ),
    "the cycle compares with the fakes, expected with the real pictures": lambda s: apart(
        s.G_B(s.fake_B), s.fake_A, s.G_A(s.fake_A), s.fake_B
    ),
    "the cycle compares fakes with their originals: the way back is missing": lambda s: apart(s.fake_B, s.A, s.fake_A, s.B),
    "reconstructions of A are compared with B": lambda s: apart(s.G_B(s.fake_B), s.B, s.G_A(s.fake_A), s.A),
    "the same generator goes there and back, G_A(G_A(A)): expected G_B(G_A(A))": lambda s: apart(
        s.G_A(s.fake_B), s.A, s.G_B(s.fake_A), s.B
    ),
    "the cycle is measured in squares, expected absolute values": lambda s: apart(
        s.G_B(s.fake_B), s.A, s.G_A(s.fake_A), s.B, F.mse_loss
    ),
}
IDENTITIES = {
    "the identity losses are missing": lambda s: 0,
    "only G_A's identity loss counts, expected both": lambda s: s.same_A,
    "only G_B's identity loss counts, expected both": lambda s: s.same_B,
    "the identities are averaged, expected their sum": lambda s: s.identities / 2,
    "the identity gets the wrong pictures: G_A(real_B) is compared with real_B": lambda s: apart(s.fake_B, s.A, s.fake_A, s.B),
    "the identity compares the fakes of A with B: G_A(real_B) is compared with real_B": lambda s: apart(
        s.fake_B, s.B, s.fake_A, s.A
    ),
    "the identity is measured in squares, expected absolute values": lambda s: apart(
        s.G_A(s.B), s.B, s.G_B(s.A), s.A, F.mse_loss
    ),
    "the identity has the weight lambda_identity, expected lambda_cycle * lambda_identity": lambda s: s.identities / s.c,
    "the identity has the weight lambda_cycle, expected lambda_cycle * lambda_identity": lambda s: s.identities / s.i,
    "the identity has no weight, expected lambda_cycle * lambda_identity": lambda s: s.identities / s.c / s.i,
    "lambda_identity has no effect: 0.5 is written into it": lambda s: 0.5 / s.i * s.identities,
}
WRONG = {
    **{text: solution(verdicts=part) for text, part in VERDICTS.items()},
    **{text: solution(cycles=part) for text, part in CYCLES.items()},
    **{text: solution(identities=part) for text, part in IDENTITIES.items()},
    "lambda_cycle and lambda_identity have no effect: 10 and 0.5 are written into it": solution(c=lambda s: 10, ci=lambda s: 5),
    "G_A and G_B are exchanged: G_A paints B from A": lambda G_A, G_B, *more, **options: right(G_B, G_A, *more, **options),
    "half of the loss: expected the sum over both directions": of(
        lambda s: (s.verdicts + s.c * s.cycles + s.ci * s.identities) / 2
    ),
    "the sign is wrong: it climbs": of(lambda s: -s.verdicts - s.c * s.cycles - s.ci * s.identities),
}
RETURNED = {
    "cycle and identity are returned with their weights, expected without": returning(lambda s: s.c, lambda s: s.ci),
    "cycle is returned with its weight, expected without": returning(lambda s: s.c, lambda s: 1),
    "identity is returned with its weights, expected without": returning(lambda s: 1, lambda s: s.ci),
    "identity is returned times lambda_identity, expected without": returning(lambda s: 1, lambda s: s.i),
}


EXERCISE = Exercise(
    component="cycle_generator_step",
    chapter=3,
    place=10,
    minutes=25,
    difficulty=3,
    task="One update of both generators: verdicts, cycles and identities.",
    verified="only the generators move, along the right gradient, both lambdas, loss and parts returned",
    reference=cycle_generator_step,
    cases=cases,
    probe=probe,
    judge=judge,
    rule="expected both verdicts, lambda_cycle times both cycles, and lambda_cycle * lambda_identity times both identities",
    mistakes=steps.mistakes(right, WRONG) | RETURNED,
    hints=steps.HINTS,
    note=steps.note("loss_G"),
)
