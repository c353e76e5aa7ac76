"""update_ema(G_ema, G, beta): the average of a restless generator (Karras and others 2018, section 6.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import close, require, tensor
from exercises.probing import Answer, Case, equal, flat, plain
from facegen.training.stylegan import update_ema

BUFFERS = ("w_avg", "body.1.running_mean", "body.1.running_var", "body.1.num_batches_tracked")


class Averaged(nn.Module):
    """A small network with nested weights, a scalar, and buffers of both kinds of number."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2)))
        self.gain = nn.Parameter(torch.zeros(()))
        self.register_buffer("w_avg", torch.zeros(5))


def cases(g: torch.Generator) -> list[Case]:
    def draw(t: Tensor) -> Tensor:
        return 2 + torch.randn(t.shape, generator=g) if t.is_floating_point() else torch.randint(100, (), generator=g)

    a, b = (0.1 * torch.rand(2, generator=g)).tolist()
    empty = Averaged().state_dict()
    nets = ({net: {name: draw(t) for name, t in empty.items()} for net in ("ours", "theirs")} for _ in range(5))
    return [{"beta": beta, **net} for beta, net in zip((0.85 + a, 0.55 + b, 0.0, 1.0, 0.999), nets)]


def probe(update_ema: Callable, case: Case) -> Answer:
    G_ema, G = Averaged().eval().requires_grad_(False), Averaged()
    G_ema.load_state_dict(case["ours"])
    G.load_state_dict(case["theirs"])
    for p in G.parameters():
        p.grad = p.detach().cos()
    stale, parameters = flat(p.grad for p in G.parameters()), list(G_ema.parameters())
    returned = update_ema(G_ema, G, case["beta"])
    answer = {
        "returned": isinstance(returned, nn.Module) and returned is not G_ema,
        "ours": plain(G_ema.state_dict()),
        "theirs": plain(G.state_dict()),
        "gradients": [stale, flat(p.grad for p in G.parameters())],
        "training": [G_ema.training, G.training],
        "learning": [name for name, t in (*G_ema.named_parameters(), *G_ema.named_buffers()) if t.requires_grad],
        "frozen": [name for name, p in G.named_parameters() if not p.requires_grad],
        "kept": [id(p) for p in parameters] == [id(p) for p in G_ema.parameters()],
    }
    with torch.no_grad():
        for t in (*G.parameters(), *G.buffers()):
            t.add_(1)
    return answer | {"later": plain(G_ema.state_dict())}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    leaves_G_alone(case, answer)
    learning = answer["learning"]
    graph = (
        "of G_ema has requires_grad True now, so that it keeps the graph of every step: put @torch.no_grad() on the function"
    )
    require(not learning, f"{''.join(learning[:1])} {graph}")
    require(answer["training"][0] is False, "it puts G_ema into training mode")
    ours, old, new = answer["ours"], case["ours"], case["theirs"]
    start = f"with beta={case['beta']:.3g}, "
    moved = [name for name in old if not equal(ours[name], old[name])]
    returned = "it returns a new network and leaves G_ema as it was: change G_ema in place"
    require(moved or not answer["returned"], returned)
    parameters = "G_ema has new parameters: change those it has, in place, so that everyone who holds them sees it"
    require(answer["kept"] is True, parameters)
    for name in old:
        value = ours[name]
        what = f"{start}the {'buffer' if name in BUFFERS else 'parameter'} {name} "
        tensor(value, what)
        require(value.dtype == old[name].dtype, f"{what}is {value.dtype} now, expected {old[name].dtype}: buffers are copied")
        if name in BUFFERS:
            require(
                name in moved or equal(value, new[name]), what + "did not change: go through G.buffers(), too, and copy them"
            )
            require(
                close(value, new[name], 1e-5), what + "is not G's: buffers are copied as they are, only parameters are averaged"
            )
    stay = [name for name in old if name not in moved and name not in BUFFERS] if case["beta"] < 1 else []
    others = [name for name in moved if name not in BUFFERS]
    some = f"{start}the parameter {''.join(stay[:1])} did not change, but {''.join(others[:1])} did"
    require(not (stay and others), f"{some}: go through all of G.parameters(), whatever their names")
    shared = [name for name in ours if not equal(answer["later"][name], ours[name])]
    require(not shared, f"{''.join(shared[:1])} of G_ema is G's own tensor now and changes with it: copy_ its values")
    return {f"the parameter {name}": ours[name] for name in old if name not in BUFFERS}


def leaves_G_alone(case: Case, answer: Answer) -> None:
    changed = [name for name, value in case["theirs"].items() if not equal(answer["theirs"][name], value)]
    alone = "of G: G_ema is what is averaged, G goes on training as it is"
    require(not changed, f"it changed {''.join(changed[:1])} {alone}")
    require(not answer["frozen"], "it leaves G frozen (requires_grad False)")
    require(equal(*answer["gradients"]), "it changed the gradients of G")
    require(answer["training"][1] is True, "it leaves G in eval mode: training goes on after it")


# -- mistakes


def copied(ours: Tensor, theirs: Tensor) -> None:
    ours.copy_(theirs)


def solution(average: Callable = lambda old, new, b: b * old + (1 - b) * new, buffers: Callable = copied) -> Callable:
    """With another average of each parameter, or another treatment of buffers."""

    @torch.no_grad()
    def update(G_ema: nn.Module, G: nn.Module, beta: float) -> None:
        for ours, theirs in zip(G_ema.parameters(), G.parameters()):
            ours.copy_(average(ours, theirs, beta))
        for ours, theirs in zip(G_ema.buffers(), G.buffers()):
            buffers(ours, theirs)

    return update


right = solution()


MISTAKES = {
    "it did not change: `p = ...` only names a new tensor (copy_, lerp_, mul_, add_ change it), and those of G_ema are"
    " frozen, so do not ask for requires_grad": solution(lambda old, new, b: old),
    "it has the shares exchanged: beta belongs to G_ema, 1 - beta to G": solution(lambda old, new, b: (1 - b) * old + b * new),
    "it is a copy of G's, expected beta of the old and 1 - beta of G's": solution(lambda old, new, b: new),
    "it is the plain mean of both, beta is not used": solution(lambda old, new, b: (old + new) / 2),
    "beta is not used, 0.999 is fixed": solution(lambda old, new, b: 0.999 * old + 0.001 * new),
    "it adds G's without the factor 1 - beta": solution(lambda old, new, b: b * old + new),
    "it adds (1 - beta) G to all of the old one, which has to be multiplied by beta": solution(
        lambda old, new, b: old + (1 - b) * new
    ),
    "it adds beta G, expected (1 - beta) G": solution(lambda old, new, b: b * (old + new)),
    "it adds beta G to all of the old one": solution(lambda old, new, b: old + b * new),
    "it is beta times the old one, G has no part in it": solution(lambda old, new, b: b * old),
    "it is (1 - beta) G, the old one has no part in it": solution(lambda old, new, b: (1 - b) * new),
    "it moves away from G: the sign is wrong": solution(lambda old, new, b: old - (1 - b) * (new - old)),
    "it is moved twice in one call": solution(lambda old, new, b: new + b * b * (old - new)),
    "it is the difference only": solution(lambda old, new, b: (1 - b) * (new - old)),
}

EXERCISE = Exercise(
    component="update_ema",
    chapter=4,
    place=8,
    minutes=10,
    difficulty=2,
    task="The average of a restless generator.",
    verified="all weights averaged for 5 betas, buffers copied, no graph, G untouched",
    reference=update_ema,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"G_ema with beta={case['beta']:.3g}",
    rule="it is not beta * own + (1 - beta) * G's",
    mistakes=MISTAKES,
    refused=[
        ("go through G.buffers(), too", solution(buffers=lambda ours, theirs: None)),
        ("only parameters are averaged", solution(buffers=lambda ours, theirs: ours.copy_((ours + theirs) / 2))),
        ("it changed", lambda G_ema, G, beta: right(G, G_ema, beta)),
    ],
    hints={
        r"not implemented for 'Long'|output type Long|can't be cast to.*Long": "whole numbers, such as batch norm's count of"
        " batches, have no average: buffers are copied",
        "leaf [Vv]ariable": "put @torch.no_grad() on the function: averaging is no step of training",
    },
    tolerance=1e-5,
)
