"""ImagePool(size).query(images): a memory of fakes (Shrivastava and others 2017, section 2.3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import between, kind_of, require, shape, tensor
from exercises.probing import Answer, Case, plain
from facegen.training.cyclegan import ImagePool

SIZE, BATCH = 6, 4


def cases(g: torch.Generator) -> list[Case]:
    asked = (
        {"size": 2, "pools": 24, "rounds": 1, "batch": 6},
        {"size": SIZE, "pools": 1, "rounds": 800, "batch": BATCH},
        {"size": 1, "pools": 1, "rounds": 40, "batch": 1},
        {"size": 0, "pools": 1, "rounds": 3, "batch": 3},
    )
    return [{**case, "first": 10_000 * number + between(0, 5000, g)} for number, case in enumerate(asked)]


def tagged(first: int, n: int) -> Tensor:
    """n pictures [n, 3, 2, 2], each filled with its own number, with a graph as fresh fakes have."""
    numbers = torch.arange(first, first + n, dtype=torch.float32)
    return numbers.reshape(n, 1, 1, 1).expand(n, 3, 2, 2).clone().requires_grad_(True) * 1


def probe(ImagePool: Callable, case: Case) -> Answer:
    try:
        return ask(ImagePool, **case)
    except Exception as error:
        if case["size"]:
            raise
        return {"raised": type(error).__name__}


def ask(ImagePool: Callable, size: int, pools: int, rounds: int, batch: int, first: int) -> Answer:
    """All answers [pools, rounds * batch, 3, 2, 2], and the last one; fewer if one is no batch of the pictures' shape."""
    answers: list[Any] = []
    pool, changed, graph = None, False, False
    for number in range(pools * rounds):
        if number % rounds == 0:
            pool = ImagePool(size)
        images = tagged(first + number * batch, batch)
        before = images.detach().clone()
        answer = pool.query(images)
        changed = not torch.equal(images.detach(), before)
        graph = isinstance(answer, Tensor) and answer.requires_grad and size > 0
        answers.append(plain(answer))
        if changed or graph or not isinstance(answers[-1], Tensor) or answers[-1].shape != images.shape:
            return {"last": answers[-1], "changed": changed, "graph": graph}
    every = torch.cat(answers).reshape(pools, rounds * batch, 3, 2, 2)
    return {"last": answers[-1], "changed": changed, "graph": graph, "answers": every}


def judge(case: Case, answer: Answer) -> None:
    size, pools, batch, first = case["size"], case["pools"], case["batch"], case["first"]
    failed = answer.get("raised", "")
    pass_on = "expected that pictures pass as they come, look at size == 0 first"
    require(not failed or size, f"with size 0 it raised {failed}: {pass_on}")
    last, given = answer["last"], tagged(first, batch)
    several = isinstance(last, (list, tuple))
    require(not several, f"query returned a {kind_of(last)}, expected one tensor: torch.stack it")
    last = tensor(last, "the result of query")
    require(not answer["changed"], "query changed the batch it was given in place: answer with a new tensor")
    one_each = "expected the same: one picture for each, from the first on"
    require(last.shape == given.shape, f"query of {shape(given)} gives {shape(last)}, {one_each}")
    old = "the answer carries the graph of the generator, also of old steps: detach the pictures that come in"
    require(not answer["graph"], old)
    each = case["rounds"] * batch
    pictures = tensor(answer["answers"], "the result of query").reshape(pools, each, 12)
    numbers = pictures[:, :, 0]
    unmixed = (pictures == numbers[:, :, None]).all() and (numbers == numbers.round()).all()
    require(unmixed, "pictures were mixed or changed: hand them on as they are")
    found = [Followed(size, first + i * each, row) for i, row in enumerate(numbers.long().tolist())]
    if size == 0:
        passed = not any(swap for pool in found for swap in pool.swaps)
        require(passed, "with size 0 pictures have to pass as they come: nothing is stored")
    elif pools > 1:
        first_swaps, later = [p.swaps[0] for p in found], [swap for p in found for swap in p.swaps[1:]]
        seeded = all(p.swaps == found[0].swaps for p in found)  # draws from a seed of the pool's own tell nothing here
        late = not any(first_swaps) and sum(later) > 0.3 * len(later) and not seeded
        require(not late, "the pool takes one picture more than size: store while len(...) < size")
    elif size == 1:
        require(any(found[0].swaps), "with size 1 and batches of one, nothing was ever swapped")
    else:
        swaps_are_random(found[0])


class Followed:
    """What has to be in a pool after each of its answers, the oldest first: they tell."""

    def __init__(self, size: int, first: int, answers: list[int]) -> None:
        self.first = first
        self.stored: list[int] = []
        self.out: set[int] = set()
        self.passed: set[int] = set()
        self.ages = [0] * size  # how often the oldest one went, the second oldest, ...
        self.swaps: list[bool] = []  # since it was full
        for place, got in enumerate(answers):
            own = first + place
            shared = "a new pool begins with pictures of an older one: make its list in __init__, not in the class"
            require(first <= got < first + len(answers), shared)
            if len(self.stored) < size:
                full = "until the pool is full, each is stored and returned"
                require(got == own, f"picture {place + 1} of the first {size} came back as another: {full}")
                self.stored.append(own)
                continue
            self.swaps.append(got != own)
            if got == own:
                self.passed.add(own)
            elif size:
                self._swapped(own, got)

    def _swapped(self, own: int, got: int) -> None:
        require(got not in self.out, "a picture came out twice: what is returned leaves the pool, the new one takes its place")
        require(got <= own, "the order of a batch changed: answer i stands for picture i, itself or a stored one")
        both = "a picture came again that had been returned at once: return it, or store it and return an old one, not both"
        full = "look for each picture, not for each batch, whether the pool is full, by len(...) < size"
        require(got not in self.passed, f"{both}; {full}")
        twice = "a picture of a batch came twice, or in another's place: go through the batch one by one, in order"
        require(got in self.stored, twice)
        self.ages[self.stored.index(got)] += 1
        self.stored.remove(got)
        self.stored.append(own)  # in the other's place; by age it is the youngest
        self.out.add(got)


def swaps_are_random(pool: Followed) -> None:
    swaps = torch.tensor(pool.swaps[2 * BATCH - SIZE :]).float().reshape(-1, BATCH)  # of whole batches
    share, total = float(swaps.mean()), sum(pool.ages)
    require(share > 0, "the full pool never gave an old picture: with probability 1/2 swap the new one with a stored one")
    require(share < 1, "the full pool always gave an old picture: expected the new one itself half of the time")
    together = (swaps == swaps[:, :1]).all()
    require(not together, "a batch is swapped as a whole or not at all: draw for each picture")
    half = f"the full pool gave an old picture {share:.0%} of the time, expected about 50%"
    require(0.42 < share < 0.58, half + ": one draw per picture, with probability 1/2")
    require(pool.ages[0] < 0.9 * total, "it is always the oldest that goes: take a random place")
    require(pool.ages[-1] < 0.9 * total, "it is always the youngest that goes: take a random place")
    reach = "random.randrange(size) and torch.randint(size, ()) reach all of them"
    require(min(pool.stored) >= pool.first + SIZE, f"a place of the pool never changed: {reach}")
    even = all(0.7 < age * SIZE / total < 1.35 for age in pool.ages)
    require(even, "some stored pictures are much likelier to go than others: every place has to be equally likely")


# -- mistakes


class Pool:
    """A right pool; the wrong ones change one thing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Any:
        return torch.stack([self.one(image) for image in images.detach()])

    def one(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        return self.full(image)

    def full(self, image: Tensor) -> Tensor:
        return self.swap(image) if self.size and random.random() < 0.5 else image

    def swap(self, image: Tensor) -> Tensor:
        place = random.randrange(self.size)
        image, self.images[place] = self.images[place], image
        return image


def changed(**methods: Any) -> type[Pool]:
    """A pool with other methods."""
    return type("Changed", (Pool,), methods)


def drawn(share: float) -> type[Pool]:
    """Swaps with another probability."""
    return changed(full=lambda pool, image: pool.swap(image) if pool.size and random.random() < share else image)


REFUSED = [
    ("never gave an old picture", drawn(0)),
    ("always gave an old picture", drawn(1)),
    ("expected about 50%: one draw per picture", drawn(0.25)),
    ("came out twice", changed(swap=lambda pool, image: random.choice(pool.images))),
    ("until the pool is full", changed(query=lambda pool, images: Pool.query(pool, images.flip(0)))),
    ("detach the pictures", changed(query=lambda pool, images: torch.stack([pool.one(image) for image in images]))),
    ("torch.stack it", changed(query=lambda pool, images: [pool.one(image) for image in images.detach()])),
    ("not in the class", changed(images=[], __init__=lambda pool, size: setattr(pool, "size", size))),
    ("with size 0 it raised", changed(full=lambda pool, image: pool.swap(image) if random.random() < 0.5 else image)),
    ("return statement missing", changed(query=lambda pool, images: None)),
]


EXERCISE = Exercise(
    component="ImagePool",
    chapter=3,
    place=8,
    minutes=30,
    difficulty=2,
    task="A memory of fakes, so that D does not forget.",
    verified="filling, swaps with probability 1/2 at random places, one by one, detached, sizes 0 and 1",
    reference=ImagePool,
    cases=cases,
    probe=probe,
    judge=judge,
    refused=REFUSED,
    hints={
        "index out of range|out of bounds": "places run from 0 to size - 1, and random.randint(a, b) can give b as well",
        "stack expects|Sizes of tensors must match": "each answer is one picture [C, H, W]: torch.stack makes a batch of them",
        "object is not callable": "self.size is the number, self.query the method: other names must not hide them",
    },
)
