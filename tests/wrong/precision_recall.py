"""precision_recall(real, fake, k=3): wrong and right solutions."""

import numpy as np
import torch


def radii(x, k):
    """Distance of each row to its k-th nearest other one."""
    return torch.cdist(x, x).sort(dim=1).values[:, k]


def solution(radius=radii, distance=torch.cdist, join=lambda inside, axis: inside.any(axis), then=lambda p, r: (p, r)):
    """With other radii, another distance across, another way to ask all balls, or what is done at the end."""

    def precision_recall(real, fake, k=3):
        d = distance(real, fake)
        in_real, in_fake = d <= radius(real, k)[:, None], d <= radius(fake, k)
        p, r = join(in_real, 0).double().mean(), join(in_fake, 1).double().mean()
        return tuple(float(x) for x in then(p, r))

    return precision_recall


right = solution()


def of_others(x, k):
    """Rows at distance 0 are taken for the row itself."""
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return d.masked_fill(d == 0, torch.inf).sort(dim=1).values[:, k - 1]


def asked_ones_ball(real, fake, k=3):
    d = torch.cdist(real, fake)
    return float((d <= radii(fake, k)).any(0).float().mean()), float((d <= radii(real, k)[:, None]).any(1).float().mean())


def balls_with_a_picture(real, fake, k=3):
    d = torch.cdist(real, fake)
    return float((d <= radii(real, k)[:, None]).any(1).float().mean()), float((d <= radii(fake, k)).any(0).float().mean())


def both_by_reals(real, fake, k=3):
    inside = torch.cdist(real, fake) <= radii(real, k)[:, None]
    return float(inside.any(0).float().mean()), float(inside.any(1).float().mean())


def both_by_fakes(real, fake, k=3):
    inside = torch.cdist(real, fake) <= radii(fake, k)
    return float(inside.any(0).float().mean()), float(inside.any(1).float().mean())


def nearest_only(real, fake, k=3):
    d = torch.cdist(real, fake)
    in_real, in_fake = d <= radii(real, k)[:, None], d <= radii(fake, k)
    precision = in_real[d.argmin(0), torch.arange(len(fake))]
    return float(precision.float().mean()), float(in_fake[torch.arange(len(real)), d.argmin(1)].float().mean())


def to_the_other_set(real, fake, k=3):
    d = torch.cdist(real, fake)
    r, f = d.sort(1).values[:, k - 1], d.T.sort(1).values[:, k - 1]
    return float((d <= r[:, None]).any(0).float().mean()), float((d <= f).any(1).float().mean())


def counts(real, fake, k=3):
    p, r = right(real, fake, k)
    return round(p * len(fake)), round(r * len(real))


def counted_balls(real, fake, k=3):
    d = torch.cdist(real, fake)
    return float((d <= radii(real, k)[:, None]).sum() / len(fake)), float((d <= radii(fake, k)).sum() / len(real))


def square_broadcast(real, fake, k=3):
    """The radii along the wrong axis."""
    d = torch.cdist(real, fake)
    return float((d <= radii(real, k)).any(0).float().mean()), float((d <= radii(fake, k)[:, None]).any(1).float().mean())


def only_precision(real, fake, k=3):
    return right(real, fake, k)[0]


def in_place(real, fake, k=3):
    real -= real.mean(0)
    fake -= fake.mean(0)
    return right(real, fake, k)


def nothing(real, fake, k=3):
    right(real, fake, k)


def manhattan(a, b):
    return torch.cdist(a, b, p=1)


WRONG = [
    ("itself", solution(lambda x, k: radii(x, k - 1)), "each picture counts as its own nearest neighbour"),
    ("one more", solution(lambda x, k: radii(x, k + 1)), "one neighbour too many"),
    ("swapped", solution(then=lambda p, r: (r, p)), "recall and precision changed places"),
    ("the asked one's ball", asked_ones_ball, "a ball belongs to the picture that is asked about"),
    ("which balls", balls_with_a_picture, "asks which reals' balls hold a fake"),
    ("reals' balls", both_by_reals, "recall is taken with the balls of the reals"),
    ("fakes' balls", both_by_fakes, "precision is taken with the balls of the fakes"),
    ("always 3", solution(lambda x, k: radii(x, 3)), "k is not used, it is 3"),
    ("always 1", solution(lambda x, k: radii(x, 1)), "k is not used, it is 1"),
    ("all", solution(join=lambda inside, axis: inside.all(axis)), "in all balls, expected in at least one"),
    ("pairs", solution(join=lambda inside, axis: inside), "pairs are counted, expected pictures"),
    ("balls counted", counted_balls, "balls are counted, expected pictures"),
    ("nearest only", nearest_only, "only the ball of the nearest picture"),
    ("mean radius", solution(lambda x, k: radii(x, k).mean().expand(len(x))), "all balls get the mean radius"),
    ("largest radius", solution(lambda x, k: radii(x, k).max().expand(len(x))), "all balls get the largest radius"),
    (
        "mean of k",
        solution(lambda x, k: torch.cdist(x, x).sort(dim=1).values[:, 1 : k + 1].mean(1)),
        "the mean distance to the k neighbours",
    ),
    ("other set", to_the_other_set, "measured to the other set"),
    (
        "farthest",
        solution(lambda x, k: torch.cdist(x, x).sort(dim=1, descending=True).values[:, k - 1]),
        "the k-th largest distance",
    ),
    ("squares across", solution(distance=lambda a, b: torch.cdist(a, b) ** 2), "distances are squared and radii are not"),
    ("squared radii", solution(lambda x, k: radii(x, k) ** 2), "radii are squared and distances are not"),
    ("copies left out", solution(of_others), "a copy is a neighbour, too"),
    ("counts", counts, "pictures are counted, expected their shares"),
    ("percent", solution(then=lambda p, r: (100 * p, 100 * r)), "in percent, expected shares"),
    ("outside", solution(then=lambda p, r: (1 - p, 1 - r)), "outside all balls are counted"),
    (
        "manhattan",
        solution(lambda x, k: manhattan(x, x).sort(dim=1).values[:, k], manhattan),
        "expected Euclidean ones",
    ),
    ("precision twice", solution(then=lambda p, r: (p, p)), "precision comes twice"),
    ("recall twice", solution(then=lambda p, r: (r, r)), "recall comes twice"),
    ("wrong axis", square_broadcast, "compare each with its own set's radii"),
    ("one number", only_precision, "expected two numbers"),
    ("in place", in_place, "changed real or fake in place"),
    ("no return", nothing, "return statement missing"),
]


def by_loops(real, fake, k=3):
    a, b = real.numpy(), fake.numpy()

    def covered(points, centres):
        ball = [sorted(np.linalg.norm(centres - c, axis=1))[k] for c in centres]
        return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(centres, ball)) for p in points])

    return covered(b, a), covered(a, b)


def by_kthvalue(real, fake, k=3):
    """Itself at infinity, and squares throughout."""

    def squares(x, y):
        return (x[:, None] - y[None]).square().sum(2)

    def ball(x):
        return squares(x, x).fill_diagonal_(torch.inf).kthvalue(k, dim=1).values

    d = squares(real, fake)
    return [(d < ball(real)[:, None]).any(0).double().mean(), (d < ball(fake)[None]).any(1).double().mean()]


def by_topk(real, fake, k=3):
    r, f = (torch.cdist(x, x).topk(k + 1, largest=False).values[:, -1] for x in (real, fake))
    d = torch.cdist(fake, real)
    precision = (d - r).min(dim=1).values <= 0
    recall = (d.T - f).min(dim=1).values <= 0
    return torch.stack([precision.float().mean(), recall.float().mean()])


def by_float32(real, fake, k=3):
    return right(real.float(), fake.float(), k)


RIGHT = [("sort", right), ("loops", by_loops), ("squares", by_kthvalue), ("topk", by_topk), ("float32", by_float32)]
