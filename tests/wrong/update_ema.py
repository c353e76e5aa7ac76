"""update_ema(G_ema, G, beta): wrong and right solutions."""

import copy

import torch


def averaging(move, buffers=lambda ours, theirs: ours.copy_(theirs)):
    """move(p_ema, p, beta) for each parameter, without a graph."""

    @torch.no_grad()
    def solution(G_ema, G, beta):
        for ours, theirs in zip(G_ema.parameters(), G.parameters()):
            move(ours, theirs, beta)
        for ours, theirs in zip(G_ema.buffers(), G.buffers()):
            buffers(ours, theirs)

    return solution


def lerp(ours, theirs, beta):
    ours.lerp_(theirs, 1 - beta)


def a_name(ours, theirs, beta):
    ours = beta * ours + (1 - beta) * theirs


def keeps_the_graph(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        ours.mul_(beta).add_(theirs, alpha=1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


def rebinds_data_with_graph(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        ours.requires_grad_(True)
        ours.data = beta * ours.data + (1 - beta) * theirs.data
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


def new_parameters(G_ema, G, beta):
    for ours, theirs in zip(G_ema.modules(), G.modules()):
        for name, p in list(ours.named_parameters(recurse=False)):
            value = beta * p.detach() + (1 - beta) * getattr(theirs, name).detach()
            setattr(ours, name, torch.nn.Parameter(value, requires_grad=False))
        for name, b in theirs.named_buffers(recurse=False):
            getattr(ours, name).copy_(b)


@torch.no_grad()
def by_whole_state(G_ema, G, beta):
    """Whole numbers cannot be averaged."""
    theirs = G.state_dict()
    for name, value in G_ema.state_dict().items():
        value.mul_(beta).add_((1 - beta) * theirs[name])


@torch.no_grad()
def by_whole_state_lerp(G_ema, G, beta):
    theirs = G.state_dict()
    for name, value in G_ema.state_dict().items():
        value.lerp_(theirs[name], 1 - beta)


@torch.no_grad()
def by_whole_state_copied(G_ema, G, beta):
    """copy_ rounds the averaged whole numbers without a word."""
    theirs = G.state_dict()
    for name, value in G_ema.state_dict().items():
        value.copy_(beta * value + (1 - beta) * theirs[name])


@torch.no_grad()
def wrong_names(G_ema, G, beta):
    """Names of the last part only, as they are written in each module."""
    theirs = dict(G.named_parameters())
    for name, p in G_ema.named_parameters():
        if name.count(".") < 2:
            continue
        p.lerp_(theirs[name], 1 - beta)
    for ours, b in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(b)


@torch.no_grad()
def only_weights(G_ema, G, beta):
    theirs = dict(G.named_parameters())
    for name, p in G_ema.named_parameters():
        if "weight" in name:
            p.lerp_(theirs[name], 1 - beta)
    for ours, b in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(b)


@torch.no_grad()
def only_trainable(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(), G.parameters()):
        if ours.requires_grad:
            ours.lerp_(theirs, 1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


@torch.no_grad()
def only_the_top(G_ema, G, beta):
    for ours, theirs in zip(G_ema.parameters(recurse=False), G.parameters(recurse=False)):
        ours.lerp_(theirs, 1 - beta)
    for ours, theirs in zip(G_ema.buffers(), G.buffers()):
        ours.copy_(theirs)


def a_new_network(G_ema, G, beta):
    average = copy.deepcopy(G_ema)
    averaging(lerp)(average, G, beta)
    return average


def moves_G(G_ema, G, beta):
    averaging(lerp)(G, G_ema, beta)


def moves_both(G_ema, G, beta):
    averaging(lerp)(G_ema, G, beta)
    averaging(lambda ours, theirs, beta: ours.copy_(theirs))(G, G_ema, beta)


def clears_gradients(G_ema, G, beta):
    averaging(lerp)(G_ema, G, beta)
    G.zero_grad()


def puts_to_eval(G_ema, G, beta):
    averaging(lerp)(G_ema, G.eval(), beta)


def puts_to_train(G_ema, G, beta):
    averaging(lerp)(G_ema.train(), G, beta)


def freezes(G_ema, G, beta):
    averaging(lerp)(G_ema, G.requires_grad_(False), beta)


def shares_buffers(ours, theirs):
    ours.data = theirs.data


def shares_at_0(ours, theirs, beta):
    if beta == 0:
        ours.data = theirs.data
    else:
        lerp(ours, theirs, beta)


def float_buffers(ours, theirs):
    ours.data = theirs.data.float()


def averaged_buffers(ours, theirs):
    if ours.is_floating_point():
        ours.lerp_(theirs, 0.1)
    else:
        ours.copy_(theirs)


def no_buffers(ours, theirs):
    pass


def float_only(ours, theirs):
    if ours.is_floating_point():
        ours.copy_(theirs)


WRONG = [
    ("reversed", averaging(lambda ours, theirs, b: ours.lerp_(theirs, b)), "has the shares exchanged"),
    ("a new name", averaging(a_name), "only names a new tensor"),
    ("no buffers", averaging(lerp, no_buffers), "go through G.buffers(), too"),
    ("buffers averaged", averaging(lerp, averaged_buffers), "buffers are copied as they are"),
    ("graph kept", keeps_the_graph, "keeps the graph of every step"),
    ("trainable afterwards", rebinds_data_with_graph, "has requires_grad True now"),
    ("new parameters", new_parameters, "has new parameters"),
    ("whole state", by_whole_state, "whole numbers"),
    ("whole state by lerp_", by_whole_state_lerp, "whole numbers"),
    ("whole state by copy_", by_whole_state_copied, "buffers are copied as they are"),
    ("integer buffers left", averaging(lerp, float_only), "num_batches_tracked did not change"),
    ("integer buffers as floats", averaging(lerp, float_buffers), "is torch.float32 now, expected torch.int64"),
    ("some names only", wrong_names, "whatever their names"),
    ("weights only", only_weights, "whatever their names"),
    ("trainable only", only_trainable, "do not ask for requires_grad"),
    ("top level only", only_the_top, "go through all of G.parameters()"),
    ("copied", averaging(lambda ours, theirs, b: ours.copy_(theirs)), "is a copy of G's"),
    ("mean", averaging(lambda ours, theirs, b: ours.lerp_(theirs, 0.5)), "is the plain mean of both"),
    ("no 1 - beta", averaging(lambda ours, theirs, b: ours.mul_(b).add_(theirs)), "without the factor 1 - beta"),
    ("no beta", averaging(lambda ours, theirs, b: ours.add_((1 - b) * theirs)), "to all of the old one, which has to be"),
    ("beta twice", averaging(lambda ours, theirs, b: ours.mul_(b).add_(b * theirs)), "adds beta G, expected (1 - beta) G"),
    ("without G", averaging(lambda ours, theirs, b: ours.mul_(b)), "G has no part in it"),
    ("without the old", averaging(lambda ours, theirs, b: ours.copy_((1 - b) * theirs)), "the old one has no part in it"),
    ("away", averaging(lambda ours, theirs, b: ours.sub_((1 - b) * (theirs - ours))), "moves away from G"),
    ("difference", averaging(lambda ours, theirs, b: ours.copy_((1 - b) * (theirs - ours))), "is the difference only"),
    ("fixed beta", averaging(lambda ours, theirs, b: ours.lerp_(theirs, 0.001)), "is not beta * own"),
    ("a new network", a_new_network, "change G_ema in place"),
    ("moves G", moves_G, "it changed"),
    ("moves both", moves_both, "it changed"),
    ("clears gradients", clears_gradients, "the gradients of G"),
    ("eval", puts_to_eval, "it leaves G in eval mode"),
    ("train", puts_to_train, "it puts G_ema into training mode"),
    ("frozen", freezes, "it leaves G frozen"),
    ("shared buffers", averaging(lerp, shares_buffers), "is G's own tensor now"),
    ("shared at 0", averaging(shares_at_0), "is G's own tensor now"),
    ("beta left out", lambda G_ema, G: None, "check the signature"),
]


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


RIGHT = [
    ("lerp_", averaging(lerp)),
    ("mul_ and add_", by_mul_add),
    ("data", by_data),
    ("names", by_names),
    ("load_state_dict", by_loading),
    ("foreach", by_foreach),
]
