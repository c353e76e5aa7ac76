"""cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, ...): wrong and right solutions."""

import torch
import torch.nn.functional as F


def to(logits, target):
    return F.mse_loss(logits, torch.full_like(logits, float(target)))


def parts(G_A, G_B, D_A, D_B, A, B):
    """The right losses by name, and the pictures."""
    fake_B, fake_A = G_A(A), G_B(B)
    return {
        "fake_A": fake_A,
        "fake_B": fake_B,
        "adversarial": to(D_A(fake_B), 1) + to(D_B(fake_A), 1),
        "cycle": F.l1_loss(G_B(fake_B), A) + F.l1_loss(G_A(fake_A), B),
        "identity": F.l1_loss(G_A(B), B) + F.l1_loss(G_B(A), A),
    }


def step_with(loss):
    """A whole step with the loss(G_A, G_B, D_A, D_B, A, B, right parts, lambda_cycle, lambda_identity)."""

    def step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
        optimizer.zero_grad()
        right = parts(G_A, G_B, D_A, D_B, real_A, real_B)
        value = loss(G_A, G_B, D_A, D_B, real_A, real_B, right, lambda_cycle, lambda_identity)
        value.backward()
        optimizer.step()
        return value

    return step


def total(p, c, i):
    return p["adversarial"] + c * p["cycle"] + c * i * p["identity"]


def with_adversarial(function):
    """function(G_A, G_B, D_A, D_B, A, B, right parts) in place of the adversarial loss."""
    return step_with(lambda *a: total(a[6] | {"adversarial": function(*a[:7])}, *a[7:]))


def with_cycle(function):
    """function(G_A, G_B, A, B, right parts) in place of the cycle losses."""
    return step_with(lambda *a: total(a[6] | {"cycle": function(a[0], a[1], a[4], a[5], a[6])}, *a[7:]))


def with_identity(function):
    """function(G_A, G_B, A, B) in place of the identity losses."""
    return step_with(lambda *a: total(a[6] | {"identity": function(a[0], a[1], a[4], a[5])}, *a[7:]))


def with_total(function):
    """function(right parts, lambda_cycle, lambda_identity) in place of the sum."""
    return step_with(lambda *a: function(*a[6:]))


right = with_total(total)


def stale(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    loss = total(parts(G_A, G_B, D_A, D_B, real_A, real_B), lambda_cycle, lambda_identity)
    loss.backward()
    optimizer.step()
    return loss


def clears_D_only(G_A, G_B, D_A, D_B, optimizer, *rest, **named):
    D_A.zero_grad()
    D_B.zero_grad()
    return stale(G_A, G_B, D_A, D_B, optimizer, *rest, **named)


def cleared_too_late(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    loss = total(parts(G_A, G_B, D_A, D_B, real_A, real_B), lambda_cycle, lambda_identity)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss


def no_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    optimizer.zero_grad()
    loss = total(parts(G_A, G_B, D_A, D_B, real_A, real_B), lambda_cycle, lambda_identity)
    loss.backward()
    return loss


def no_backward(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    loss = total(parts(G_A, G_B, D_A, D_B, real_A, real_B), lambda_cycle, lambda_identity)
    optimizer.step()
    return loss


def one_direction_each(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """Two steps, one per direction."""
    losses = 0
    for there, back, judge, x, y in ((G_A, G_B, D_A, real_A, real_B), (G_B, G_A, D_B, real_B, real_A)):
        optimizer.zero_grad()
        fake = there(x)
        loss = to(judge(fake), 1) + lambda_cycle * F.l1_loss(back(fake), x)
        loss = loss + lambda_cycle * lambda_identity * F.l1_loss(there(y), y)
        loss.backward()
        optimizer.step()
        losses += loss.detach()
    return losses


def trains_D_too(G_A, G_B, D_A, D_B, optimizer, *rest, **named):
    loss = right(G_A, G_B, D_A, D_B, optimizer, *rest, **named)
    torch.optim.SGD([*D_A.parameters(), *D_B.parameters()], lr=0.01).step()
    return loss


def leaves_D_frozen(G_A, G_B, D_A, D_B, *rest, **named):
    D_A.requires_grad_(False)
    return right(G_A, G_B, D_A, D_B, *rest, **named)


def leaves_D_in_eval(G_A, G_B, D_A, D_B, *rest, **named):
    D_B.eval()
    return right(G_A, G_B, D_A, D_B, *rest, **named)


def under_no_grad(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    optimizer.zero_grad()
    with torch.no_grad():
        p = parts(G_A, G_B, D_A, D_B, real_A, real_B)
    loss = total(p, lambda_cycle, lambda_identity)
    loss.backward()
    optimizer.step()
    return loss


def defaults_written_in(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    return right(G_A, G_B, D_A, D_B, optimizer, real_A, real_B)


def changes_pictures(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, *rest, **named):
    real_A.clamp_(-0.5, 0.5)
    return right(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, *rest, **named)


def nothing_returned(*arguments, **named):
    right(*arguments, **named)


def other_key(*arguments, **named):
    return {"loss": right(*arguments, **named)}


def fakes_returned(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    right(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity)
    return G_A(real_A)


def loss_afterwards(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    right(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity)
    return total(parts(G_A, G_B, D_A, D_B, real_A, real_B), lambda_cycle, lambda_identity)


def only_cycles_returned(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    kept = parts(G_A, G_B, D_A, D_B, real_A, real_B)["adversarial"].detach()
    right(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity)
    return kept


def stale_and_swapped(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    p = parts(G_A, G_B, D_A, D_B, real_A, real_B)
    p["adversarial"] = to(D_A(p["fake_B"]), 0) + to(D_B(p["fake_A"]), 0)
    loss = total(p, lambda_cycle, lambda_identity)
    loss.backward()
    optimizer.step()
    return loss


WRONG = [
    (
        "D_A and D_B exchanged",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_B(p["fake_B"]), 1) + to(D_A(p["fake_A"]), 1)),
        "D_A and D_B are exchanged",
    ),
    (
        "identity of the wrong pictures",
        with_identity(lambda G_A, G_B, A, B: F.l1_loss(G_A(A), A) + F.l1_loss(G_B(B), B)),
        "the identity gets the wrong pictures",
    ),
    (
        "lambda_cycle missing",
        with_total(lambda p, c, i: p["adversarial"] + p["cycle"] + c * i * p["identity"]),
        "missing on the cycle",
    ),
    (
        "fakes detached before D",
        with_adversarial(
            lambda G_A, G_B, D_A, D_B, A, B, p: to(D_A(p["fake_B"].detach()), 1) + to(D_B(p["fake_A"].detach()), 1)
        ),
        "verdict on the fakes teaches nothing",
    ),
    (
        "fakes detached before the way back",
        with_cycle(lambda G_A, G_B, A, B, p: F.l1_loss(G_B(p["fake_B"].detach()), A) + F.l1_loss(G_A(p["fake_A"].detach()), B)),
        "before the way back",
    ),
    ("no zero_grad", stale, "zero_grad()"),
    ("only D cleared", clears_D_only, "zero_grad()"),
    ("zero_grad after backward", cleared_too_late, "zero_grad()"),
    ("one cycle", with_cycle(lambda G_A, G_B, A, B, p: F.l1_loss(G_B(p["fake_B"]), A)), "only the cycle A -> B -> A"),
    ("the other cycle", with_cycle(lambda G_A, G_B, A, B, p: F.l1_loss(G_A(p["fake_A"]), B)), "only the cycle B -> A -> B"),
    (
        "one verdict",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_A(p["fake_B"]), 1)),
        "D_B's verdict on G_B is missing",
    ),
    (
        "the other verdict",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_B(p["fake_A"]), 1)),
        "D_A's verdict on G_A is missing",
    ),
    ("one identity", with_identity(lambda G_A, G_B, A, B: F.l1_loss(G_A(B), B)), "only G_A's identity"),
    ("the other identity", with_identity(lambda G_A, G_B, A, B: F.l1_loss(G_B(A), A)), "only G_B's identity"),
    (
        "target 0",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_A(p["fake_B"]), 0) + to(D_B(p["fake_A"]), 0)),
        "found out",
    ),
    ("target 0, and no zero_grad", stale_and_swapped, "found out: it is 1 here; and zero_grad() is missing"),
    (
        "D sees real pictures",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_A(B), 1) + to(D_B(A), 1)),
        "verdict on the fakes teaches nothing",
    ),
    (
        "D sees reconstructions",
        with_adversarial(lambda G_A, G_B, D_A, D_B, A, B, p: to(D_A(G_A(p["fake_A"])), 1) + to(D_B(G_B(p["fake_B"])), 1)),
        "judges the reconstructions",
    ),
    (
        "cross-entropy",
        with_adversarial(
            lambda G_A, G_B, D_A, D_B, A, B, p: F.softplus(-D_A(p["fake_B"])).mean() + F.softplus(-D_B(p["fake_A"])).mean()
        ),
        "cross-entropy",
    ),
    ("verdicts halved", with_total(lambda p, c, i: p["adversarial"] / 2 + c * p["cycle"] + c * i * p["identity"]), "is halved"),
    ("no verdicts", with_total(lambda p, c, i: c * p["cycle"] + c * i * p["identity"]), "verdict on the fakes teaches nothing"),
    ("no cycles", with_total(lambda p, c, i: p["adversarial"] + c * i * p["identity"]), "cycle losses are missing"),
    ("no identities", with_total(lambda p, c, i: p["adversarial"] + c * p["cycle"]), "identity losses are missing"),
    (
        "identity weighted by lambda_identity",
        with_total(lambda p, c, i: p["adversarial"] + c * p["cycle"] + i * p["identity"]),
        "the weight lambda_identity, expected",
    ),
    (
        "identity weighted by lambda_cycle",
        with_total(lambda p, c, i: p["adversarial"] + c * p["cycle"] + c * p["identity"]),
        "the weight lambda_cycle, expected",
    ),
    (
        "identity not weighted",
        with_total(lambda p, c, i: p["adversarial"] + c * p["cycle"] + p["identity"]),
        "the identity has no weight",
    ),
    ("cycles averaged", with_total(lambda p, c, i: p["adversarial"] + c * p["cycle"] / 2 + c * i * p["identity"]), "averaged"),
    (
        "cycle with the fakes",
        with_cycle(
            lambda G_A, G_B, A, B, p: F.l1_loss(G_B(p["fake_B"]), p["fake_A"]) + F.l1_loss(G_A(p["fake_A"]), p["fake_B"])
        ),
        "compares with the fakes",
    ),
    (
        "cycle with the other domain",
        with_cycle(lambda G_A, G_B, A, B, p: F.l1_loss(G_B(p["fake_B"]), B) + F.l1_loss(G_A(p["fake_A"]), A)),
        "compared with B",
    ),
    (
        "the same generator back",
        with_cycle(lambda G_A, G_B, A, B, p: F.l1_loss(G_A(p["fake_B"]), A) + F.l1_loss(G_B(p["fake_A"]), B)),
        "there and back",
    ),
    (
        "cycle in squares",
        with_cycle(lambda G_A, G_B, A, B, p: F.mse_loss(G_B(p["fake_B"]), A) + F.mse_loss(G_A(p["fake_A"]), B)),
        "measured in squares",
    ),
    ("climbing", with_total(lambda p, c, i: -total(p, c, i)), "sign is wrong"),
    ("lambdas ignored", defaults_written_in, "10 and 0.5 are written into it"),
    (
        "generators exchanged",
        lambda G_A, G_B, *rest, **named: right(G_B, G_A, *rest, **named),
        "G_A and G_B are exchanged",
    ),
    ("no step", no_step, "optimizer.step() was not called"),
    ("no backward", no_backward, "backward() is missing"),
    ("two steps", one_direction_each, "2 times"),
    ("D trained too", trains_D_too, "D's weights moved"),
    ("D left frozen", leaves_D_frozen, "leaves D_A frozen"),
    ("D left in eval", leaves_D_in_eval, "leaves D_B in eval mode"),
    ("no_grad", under_no_grad, "no_grad"),
    ("pictures changed", changes_pictures, "changed real_A or real_B"),
    ("no return", nothing_returned, "return statement missing"),
    ("another key", other_key, "'loss_G'"),
    ("pictures returned", fakes_returned, "as one number"),
    ("loss after the update", loss_afterwards, "after the update"),
    ("part of the loss returned", only_cycles_returned, "expected the loss that was differentiated"),
]


def frozen_D(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """D frozen meanwhile, a dict of numbers."""
    for p in (*D_A.parameters(), *D_B.parameters()):
        p.requires_grad = False
    p = parts(G_A, G_B, D_A, D_B, real_A, real_B)
    loss = total(p, lambda_cycle, lambda_identity)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for q in (*D_A.parameters(), *D_B.parameters()):
        q.requires_grad = True
    return {"loss_G": loss.item(), "cycle": p["cycle"].item()}


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
    loss = loss + lambda_cycle * (F.l1_loss(G_B(fake_B), real_A) + F.l1_loss(G_A(fake_A), real_B))
    loss = loss + lambda_cycle * lambda_identity * (F.l1_loss(same_A, real_A) + F.l1_loss(same_B, real_B))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


RIGHT = [("one sum", right), ("D frozen meanwhile", frozen_D), ("two backward passes", in_parts), ("one pass", one_pass)]
