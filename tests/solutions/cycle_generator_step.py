"""cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, ...): more wrong solutions, and right ones."""

import torch
import torch.nn.functional as F

from exercises import steps
from exercises.cyclegan.cycle_generator_step import l1, of, returning, right, solution, to

step = steps.step_of(right)


def frozen_D(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    for p in (*D_A.parameters(), *D_B.parameters()):
        p.requires_grad = False
    loss = right(G_A, G_B, D_A, D_B, real_A, real_B, lambda_cycle, lambda_identity)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for p in (*D_A.parameters(), *D_B.parameters()):
        p.requires_grad = True
    return {"loss_G": loss.item(), "cycle": 0.0}


def in_parts(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """One backward for each direction, one step."""
    optimizer.zero_grad(set_to_none=False)
    whole = 0.0
    for there, back, judge, x, y in ((G_A, G_B, D_A, real_A, real_B), (G_B, G_A, D_B, real_B, real_A)):
        fake = there(x)
        loss = ((judge(fake) - 1) ** 2).mean() + lambda_cycle * (back(fake) - x).abs().mean()
        loss = loss + lambda_identity * lambda_cycle * (there(y) - y).abs().mean()
        loss.backward()
        whole += loss.item()
    optimizer.step()
    return whole


def one_pass(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """Fakes and identities in one pass of each generator."""
    fake_B, same_B = G_A(torch.cat([real_A, real_B])).chunk(2)
    fake_A, same_A = G_B(torch.cat([real_B, real_A])).chunk(2)
    loss = to(D_A(fake_B), 1) + to(D_B(fake_A), 1)
    loss = loss + lambda_cycle * (l1(G_B(fake_B), real_A) + l1(G_A(fake_A), real_B))
    loss = loss + lambda_cycle * lambda_identity * (l1(same_A, real_A) + l1(same_B, real_B))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def gradients_of_each_part(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """The gradient of each part on its own, added up by hand with the weights."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = returned_parts(G_A, G_B, D_A, D_B, real_A, real_B)
    weights = {"adversarial": 1, "cycle": lambda_cycle, "identity": lambda_cycle * lambda_identity}
    for p in parameters:
        p.grad = torch.zeros_like(p)
    for name, part in parts.items():
        for p, gradient in zip(parameters, torch.autograd.grad(part, parameters, retain_graph=True)):
            p.grad += weights[name] * gradient
    optimizer.step()
    loss = sum(weights[name] * part.detach() for name, part in parts.items())
    return {"loss_G": loss, **{name: part.detach() for name, part in parts.items()}}


def returned_parts(G_A, G_B, D_A, D_B, A, B):
    fake_B, fake_A = G_A(A), G_B(B)
    return {
        "adversarial": to(D_A(fake_B), 1) + to(D_B(fake_A), 1),
        "cycle": l1(G_B(fake_B), A) + l1(G_A(fake_A), B),
        "identity": l1(G_A(B), B) + l1(G_B(A), A),
    }


def without(forgotten):
    """A step of which one call is left out, or comes too late."""

    def wrong(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
        if forgotten == "D only":
            D_A.zero_grad()
            D_B.zero_grad()
        loss = right(G_A, G_B, D_A, D_B, real_A, real_B, lambda_cycle, lambda_identity)
        loss.backward()
        if forgotten == "too late":
            optimizer.zero_grad()
        if forgotten != "step":
            optimizer.step()
        return loss

    return wrong


def with_default_lambdas(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    return step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B)


def other_defaults(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=5.0, lambda_identity=0.5):
    return step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity)


def positions_only(G_A, G_B, D_A, D_B, optimizer, real_A, real_B):
    return step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B)


def two_updates(*arguments, **options):
    """One for each direction."""
    there = of(lambda s: s.to_A + s.c * (s.cycle_A + s.i * s.same_A))
    back = of(lambda s: s.to_B + s.c * (s.cycle_B + s.i * s.same_B))
    return sum(steps.step_of(loss)(*arguments, **options) for loss in (there, back))


def D_asleep(G_A, G_B, D_A, D_B, *others, **options):
    D_B.eval()
    return step(G_A, G_B, D_A, D_B, *others, **options)


def clamped(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, **options):
    return step(G_A, G_B, D_A, D_B, optimizer, real_A.clamp_(-0.5, 0.5), real_B, **options)


def trains_D(G_A, G_B, D_A, D_B, *others, **options):
    loss = step(G_A, G_B, D_A, D_B, *others, **options)
    torch.optim.SGD([*D_A.parameters(), *D_B.parameters()], lr=0.01).step()
    return loss


def D_frozen(G_A, G_B, D_A, *others, **options):
    D_A.requires_grad_(False)
    return step(G_A, G_B, D_A, *others, **options)


def G_asleep(G_A, *others, **options):
    G_A.eval()
    loss = step(G_A, *others, **options)
    G_A.train()
    return loss


def under_no_grad(*arguments, **options):
    with torch.no_grad():
        return right(*arguments, **options)


def verdicts_returned(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, **options):
    kept = returned_parts(G_A, G_B, D_A, D_B, real_A, real_B)["adversarial"].detach()
    step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, **options)
    return kept


def instead(change):
    """Another value returned by the right step."""
    return lambda *arguments, **options: change(step(*arguments, **options))


def with_verdicts(part):
    return steps.step_of(solution(verdicts=part))


RIGHT = [
    ("one sum", step),
    ("D frozen meanwhile", frozen_D),
    ("two backward passes", in_parts),
    ("one pass", one_pass),
    ("gradients of each part", gradients_of_each_part),
    ("parts returned", returning(lambda s: 1, lambda s: 1)),
]
WRONG = [
    ("two updates", two_updates, "called 2 times"),
    ("D left in eval", D_asleep, "leaves D_B in eval mode"),
    ("real changed", clamped, "changed real_A in place"),
    ("only D cleared", without("D only"), "zero_grad()"),
    ("zero_grad after backward", without("too late"), "zero_grad()"),
    ("no step", without("step"), "optimizer.step() was not called"),
    ("defaults written in", with_default_lambdas, "10 and 0.5 are written into it"),
    ("other defaults", other_defaults, "expected both verdicts"),
    ("no lambdas", positions_only, "check the signature"),
    ("D trained too", trains_D, "D_A's weights moved"),
    ("D left frozen", D_frozen, "leaves D_A frozen"),
    ("G in eval meanwhile", G_asleep, "G_A is in eval mode while it learns"),
    ("no_grad", steps.step_of(under_no_grad), "the graph is cut"),
    ("D sees real pictures", with_verdicts(lambda s: to(s.D_A(s.B), 1) + to(s.D_B(s.A), 1)), "teaches nothing"),
    (
        "fakes cut off before D",
        with_verdicts(lambda s: to(s.D_A(s.fake_B.detach()), 1) + to(s.D_B(s.fake_A.detach()), 1)),
        "teaches nothing",
    ),
    ("summed", with_verdicts(lambda s: (s.D_A(s.fake_B) - 1).square().sum() + s.to_B), "expected both verdicts"),
    ("no mean", with_verdicts(lambda s: (s.D_A(s.fake_B) - 1).square()), "take the mean"),
    ("no target tensor", with_verdicts(lambda s: F.mse_loss(s.D_A(s.fake_B), 1)), "raised"),
    ("loss after the update", steps.step_of(right, again=True), "after the update"),
    ("part of the loss returned", verdicts_returned, "the returned loss_G"),
    ("no return", instead(lambda loss: None), "return statement missing"),
    ("another key", instead(lambda loss: {"loss": loss}), "'loss_G'"),
    ("pictures returned", instead(lambda loss: torch.zeros(1, 3, 4, 4)), "expected one number"),
    ("a part halved in the dict", returning(lambda s: 0.5, lambda s: 1), "returned parts"),
    ("None among the parts", instead(lambda loss: dict(loss_G=loss, adversarial=loss, cycle=None, identity=loss)), "is None"),
]
