"""truncate(ws, w_avg, psi, cutoff=None): wrong and right solutions."""

import torch


def drawn_by(pull):
    """The first `cutoff` layers become pull(ws, w_avg, psi)."""

    def solution(ws, w_avg, psi, cutoff=None):
        cutoff = ws.shape[1] if cutoff is None else cutoff
        return torch.cat([pull(ws[:, :cutoff], w_avg, psi), ws[:, cutoff:]], dim=1)

    return solution


def cut_by(choose):
    """choose(all drawn, ws, cutoff) where there is a cutoff."""

    def solution(ws, w_avg, psi, cutoff=None):
        drawn = w_avg + psi * (ws - w_avg)
        return drawn if cutoff is None else choose(drawn, ws, cutoff)

    return solution


def joined(first, rest, at):
    return torch.cat([first[:, :at], rest[:, at:]], dim=1)


def zero_is_none(ws, w_avg, psi, cutoff=None):
    return joined(w_avg + psi * (ws - w_avg), ws, cutoff or ws.shape[1])


def only_one(drawn, ws, cutoff):
    y = ws.clone()
    if cutoff < ws.shape[1]:
        y[:, cutoff] = drawn[:, cutoff]
    return y


def only_the_drawn(ws, w_avg, psi, cutoff=None):
    return w_avg + psi * (ws[:, :cutoff] - w_avg)


def in_place(ws, w_avg, psi, cutoff=None):
    ws[:, :cutoff] = w_avg + psi * (ws[:, :cutoff] - w_avg)
    return ws


def average_in_place(ws, w_avg, psi, cutoff=None):
    w_avg *= 1 - psi
    return ws * psi + w_avg if cutoff is None else joined(ws * psi + w_avg, ws, cutoff)


def own_mean(ws, w_avg, psi):
    return ws.mean((0, 1)) + psi * (ws - ws.mean((0, 1))) if ws.numel() else ws


def rest_averaged(ws, w_avg, psi, cutoff=None):
    drawn = w_avg + psi * (ws - w_avg)
    return drawn if cutoff is None else joined(drawn, w_avg.expand_as(ws), cutoff)


def averaged_layers(ws, w_avg, psi, cutoff=None):
    return (w_avg + psi * (ws - w_avg)).mean(1)


def without_cutoff(ws, w_avg, psi):
    return w_avg + psi * (ws - w_avg)


def nothing(ws, w_avg, psi, cutoff=None):
    w_avg.lerp(ws, psi)


WRONG = [
    ("towards zero", drawn_by(lambda ws, avg, psi: psi * ws), "it is drawn towards zero"),
    ("lerp reversed", drawn_by(lambda ws, avg, psi: torch.lerp(ws, avg.expand_as(ws), psi)), "psi is the wrong way round"),
    ("0 is None", zero_is_none, "0 is not None"),
    ("cutoff ignored", cut_by(lambda drawn, ws, cutoff: drawn), "cutoff has no effect"),
    (
        "from the end",
        cut_by(lambda drawn, ws, cutoff: joined(ws, drawn, ws.shape[1] - cutoff)),
        "cutoff is counted from the end",
    ),
    ("from cutoff on", cut_by(lambda drawn, ws, cutoff: joined(ws, drawn, cutoff)), "the layers from cutoff on are drawn"),
    ("one too many", cut_by(lambda drawn, ws, cutoff: joined(drawn, ws, cutoff + 1)), "one layer too many"),
    ("one too few", cut_by(lambda drawn, ws, cutoff: joined(drawn, ws, max(cutoff - 1, 0))), "one layer too few"),
    ("only one", cut_by(only_one), "only the layer number cutoff"),
    ("pictures", cut_by(lambda drawn, ws, cutoff: torch.cat([drawn[:cutoff], ws[cutoff:]])), "cutoff counts pictures"),
    (
        "entries",
        cut_by(lambda drawn, ws, cutoff: torch.cat([drawn[..., :cutoff], ws[..., cutoff:]], dim=2)),
        "cutoff counts entries of w",
    ),
    ("only the drawn", only_the_drawn, "also for those that are not drawn"),
    ("in place", in_place, "it changed ws or w_avg in place"),
    ("average in place", average_in_place, "it changed ws or w_avg in place"),
    ("not added", drawn_by(lambda ws, avg, psi: psi * (ws - avg)), "w_avg is not added again"),
    ("not subtracted", drawn_by(lambda ws, avg, psi: avg + psi * ws), "w_avg is not subtracted first"),
    ("no brackets", drawn_by(lambda ws, avg, psi: avg + psi * ws - avg), "it is drawn towards zero"),
    ("divided", drawn_by(lambda ws, avg, psi: avg + (ws - avg) / (psi or 1.0)), "the difference is divided by psi"),
    ("wrong sign", drawn_by(lambda ws, avg, psi: avg - psi * (ws - avg)), "the difference has the wrong sign"),
    ("psi squared", drawn_by(lambda ws, avg, psi: avg + psi**2 * (ws - avg)), "psi counts twice"),
    ("only the average", drawn_by(lambda ws, avg, psi: avg.expand_as(ws)), "psi is not used"),
    ("clamped", drawn_by(lambda ws, avg, psi: ws.clamp(avg - psi, avg + psi)), "it is clamped"),
    ("mean of the batch", drawn_by(own_mean), "the mean of this batch"),
    ("rest is the average", rest_averaged, "the layers after cutoff become w_avg"),
    ("rest is 0", cut_by(lambda drawn, ws, cutoff: joined(drawn, 0 * ws, cutoff)), "the layers after cutoff become 0"),
    ("unchanged", lambda ws, w_avg, psi, cutoff=None: ws, "ws came back as it was"),
    ("averaged layers", averaged_layers, "expected [4, 6, 5]"),
    ("no cutoff", without_cutoff, "check the signature"),
    ("no return", nothing, "return statement missing"),
]


def by_lerp(ws, w_avg, psi, cutoff=None):
    result = ws.clone()
    result[:, :cutoff] = w_avg.lerp(result[:, :cutoff], psi)
    return result


def by_where(ws, w_avg, psi, cutoff=None):
    layers = torch.arange(ws.shape[1]).view(1, -1, 1)
    cutoff = ws.shape[1] if cutoff is None else cutoff
    return torch.where(layers < cutoff, psi * ws + (1 - psi) * w_avg, ws)


def by_strengths(ws, w_avg, psi, cutoff=None):
    psis = torch.ones(ws.shape[1], 1)
    psis[:cutoff] = psi
    return w_avg + psis * (ws - w_avg)


def by_layers(ws, w_avg, psi, cutoff=None):
    with torch.no_grad():
        last = ws.shape[1] if cutoff is None else cutoff
        return torch.stack([w_avg + psi * (w - w_avg) if i < last else w for i, w in enumerate(ws.unbind(1))], dim=1)


RIGHT = [
    ("cat", drawn_by(lambda ws, avg, psi: avg + psi * (ws - avg))),
    ("lerp", by_lerp),
    ("where", by_where),
    ("strengths", by_strengths),
    ("layer by layer", by_layers),
]
