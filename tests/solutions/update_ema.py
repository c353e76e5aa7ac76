"""update_ema(G_ema, G, beta): more wrong solutions, and right ones that are written in other ways."""

import copy

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from exercises.stylegan.update_ema import copied, right, solution


def by_mul_add(G_ema, G, beta):
    with torch.no_grad():
        for p_ema, p in zip(G_ema.parameters(), G.parameters()):
            p_ema.mul_(beta).add_(p, alpha=1 - beta)
        for b_ema, b in zip(G_ema.buffers(), G.buffers()):
            b_ema.copy_(b)


def by_data(G_ema, G, beta):
    """.data needs no no_grad."""
    for p_ema, p in zip(G_ema.parameters(), G.parameters()):
        p_ema.data = beta * p_ema.data + (1.0 - beta) * p.data
    for b_ema, b in zip(G_ema.buffers(), G.buffers()):
        b_ema.data.copy_(b.data)


@torch.no_grad()
def by_names(G_ema, G, beta):
    parameters = {name for name, _ in G.named_parameters()}
    theirs = G.state_dict()
    for name, value in G_ema.state_dict().items():
        value.copy_(theirs[name].lerp(value, beta) if name in parameters else theirs[name])


def by_loading(G_ema, G, beta):
    state = G.state_dict()
    for name, p in G_ema.named_parameters():
        state[name] = beta * p.detach() + (1 - beta) * state[name]
    G_ema.load_state_dict(state)


@torch.no_grad()
def by_foreach(G_ema, G, beta):
    torch._foreach_lerp_(list(G_ema.parameters()), list(G.parameters()), 1 - beta)
    torch._foreach_copy_(list(G_ema.buffers()), list(G.buffers()))


@torch.no_grad()
def by_one_vector(G_ema, G, beta):
    """All parameters in a row."""
    old, new = (parameters_to_vector(net.parameters()) for net in (G_ema, G))
    vector_to_parameters(torch.lerp(new, old, beta), G_ema.parameters())
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


def chosen(choose):
    """Only parameters of some names."""

    def update(G_ema, G, beta):
        kept = {name: p.clone() for name, p in G_ema.named_parameters() if not choose(name)}
        right(G_ema, G, beta)
        G_ema.load_state_dict(G_ema.state_dict() | kept)

    return update


def graph_kept(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        ours.mul_(beta).add_(theirs, alpha=1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


@torch.no_grad()
def whole_state(G_ema, G, beta):
    for ours, theirs in zip(G_ema.state_dict().values(), G.state_dict().values()):
        ours.lerp_(theirs, 1 - beta)


def new_network(G_ema, G, beta):
    average = copy.deepcopy(G_ema)
    right(average, G, beta)
    return average


def trainable_afterwards(G_ema, G, beta):
    right(G_ema.requires_grad_(True), G, beta)


@torch.no_grad()
def new_parameters(G_ema, G, beta):
    average = copy.deepcopy(G_ema)
    right(average, G, beta)
    G_ema.__dict__.update(average.__dict__)


@torch.no_grad()
def whole_state_copied(G_ema, G, beta):
    """copy_ rounds the averaged whole numbers without a word."""
    for ours, theirs in zip(G_ema.state_dict().values(), G.state_dict().values()):
        ours.copy_(beta * ours + (1 - beta) * theirs)


@torch.no_grad()
def floats_of_the_state(G_ema, G, beta):
    for ours, theirs in zip(G_ema.state_dict().values(), G.state_dict().values()):
        ours.copy_(beta * ours + (1 - beta) * theirs if ours.is_floating_point() else theirs)


@torch.no_grad()
def only_trainable(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        if ours.requires_grad:
            ours.lerp_(theirs, 1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


@torch.no_grad()
def sharing_parameters(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        ours.data = theirs.data if beta == 0 else ours.lerp(theirs, 1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


def moves_both(G_ema, G, beta):
    right(G_ema, G, beta)
    solution(lambda old, new, b: new)(G, G_ema, beta)


def clears_gradients(G_ema, G, beta):
    right(G_ema, G, beta)
    G.zero_grad()


def float_only(ours, theirs):
    if ours.is_floating_point():
        ours.copy_(theirs)


def a_part(ours, theirs):
    copied(ours, ours.lerp(theirs, 0.1) if ours.is_floating_point() else theirs)


RIGHT = [
    ("mul_ and add_", by_mul_add),
    ("data", by_data),
    ("names", by_names),
    ("load_state_dict", by_loading),
    ("foreach", by_foreach),
    ("one vector", by_one_vector),
]
WRONG = [
    ("graph kept", graph_kept, "keeps the graph of every step"),
    ("whole state", whole_state, "whole numbers"),
    ("weights only", chosen(lambda name: "weight" in name), "whatever their names"),
    ("a new network", new_network, "change G_ema in place"),
    ("eval", lambda G_ema, G, beta: right(G_ema, G.eval(), beta), "it leaves G in eval mode"),
    ("train", lambda G_ema, G, beta: right(G_ema.train(), G, beta), "it puts G_ema into training mode"),
    ("frozen", lambda G_ema, G, beta: right(G_ema, G.requires_grad_(False), beta), "it leaves G frozen"),
    ("shared buffers", solution(buffers=lambda ours, theirs: setattr(ours, "data", theirs.data)), "is G's own tensor now"),
    ("as floats", solution(buffers=lambda ours, theirs: setattr(ours, "data", theirs.data.float())), "expected torch.int64"),
    ("beta left out", lambda G_ema, G: None, "check the signature"),
    ("trainable afterwards", trainable_afterwards, "has requires_grad True now"),
    ("new parameters", new_parameters, "has new parameters"),
    ("whole state by copy_", whole_state_copied, "only parameters are averaged"),
    ("floats of the state", floats_of_the_state, "only parameters are averaged"),
    ("buffers averaged", solution(buffers=a_part), "only parameters are averaged"),
    ("integer buffers left", solution(buffers=float_only), "num_batches_tracked did not change"),
    ("trainable only", only_trainable, "do not ask for requires_grad"),
    ("top level only", chosen(lambda name: "." not in name), "go through all of G.parameters()"),
    ("first of each list", chosen(lambda name: ".0." not in name), "whatever their names"),
    ("shared at 0", sharing_parameters, "is G's own tensor now"),
    ("moves both", moves_both, "it changed"),
    ("clears gradients", clears_gradients, "the gradients of G"),
    ("G loaded whole", lambda G_ema, G, beta: G_ema.load_state_dict(G.state_dict()) and None, "it is a copy of G's"),
    ("beta of the step", solution(lambda old, new, b: old + 0.01 * (new - old)), "it is not beta * own"),
    ("nothing", lambda G_ema, G, beta: None, "go through G.buffers(), too"),
]
