"""ImagePool(size): wrong and right solutions."""

import random

import numpy as np
import torch


class Base:
    """A right pool; the wrong ones change one thing."""

    def __init__(self, size):
        self.size = size
        self.images = []

    def query(self, images):
        images = images.detach()
        if self.size == 0:
            return images
        return torch.stack([self.one(image) for image in images])

    def one(self, image):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if random.random() < 0.5:
            return self.swap(image)
        return image

    def swap(self, image):
        place = random.randrange(self.size)
        old = self.images[place]
        self.images[place] = image
        return old


def swapping(function):
    class Swapping(Base):
        def swap(self, image):
            return function(self.images, image)

    return Swapping


def taking(function):
    """When full, `function(pool, image)` decides."""

    class Taking(Base):
        def one(self, image):
            if len(self.images) < self.size:
                self.images.append(image)
                return image
            return function(self, image)

    return Taking


class WithGraph(Base):
    def query(self, images):
        return torch.stack([self.one(image) for image in images])


class WithGraphWhileFilling(Base):
    def query(self, images):
        if len(self.images) < self.size:
            self.images += list(images.detach())[: self.size - len(self.images)]
            return images
        return super().query(images)


class SmallAnswers(Base):
    """Nothing is returned until the pool is full."""

    def query(self, images):
        answer = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            else:
                answer.append(Base.one(self, image))
        return torch.stack(answer) if answer else images[:0].detach()


class BatchesWhole(Base):
    """One draw for a batch."""

    def query(self, images):
        images = images.detach()
        if len(self.images) >= self.size and random.random() < 0.5:
            return torch.stack([self.swap(image) for image in images])
        return torch.stack([self.one_of_them(image) for image in images])

    def one_of_them(self, image):
        if len(self.images) < self.size:
            self.images.append(image)
        return image


class LooksOncePerBatch(Base):
    def query(self, images):
        images = images.detach()
        if len(self.images) < self.size:
            self.images += list(images)
            return images
        return torch.stack([self.one(image) for image in images])

    def swap(self, image):
        place = random.randrange(len(self.images))
        old = self.images[place]
        self.images[place] = image
        return old


class OldOnesLast(Base):
    def query(self, images):
        answers = [(self.one(image), image) for image in images.detach()]
        new = [a for a, image in answers if a is image]
        return torch.stack(new + [a for a, image in answers if a is not image])


class Backwards(Base):
    def query(self, images):
        return super().query(images.flip(0))


class AsList(Base):
    def query(self, images):
        return [self.one(image) for image in images.detach()]


class WithoutBatchAxis(Base):
    def query(self, images):
        return torch.cat([self.one(image) for image in images.detach()])


class ExtraAxis(Base):
    def query(self, images):
        return torch.stack([self.one(image[None]) for image in images.detach()])


class InPlace(Base):
    def query(self, images):
        with torch.no_grad():
            for i, image in enumerate(images.detach().clone()):
                images[i] = self.one(image)
        return images.detach()


class SharedStore(Base):
    images = []  # noqa: RUF012

    def __init__(self, size):
        self.size = size


class OneFlip(Base):
    """The draws are fixed anew for every batch."""

    def query(self, images):
        random.seed(1)
        return super().query(images)


class SizeZeroForgotten(Base):
    def query(self, images):
        return torch.stack([self.one(image) for image in images.detach()])


class Mixed(Base):
    def swap(self, image):
        return (image + super().swap(image)) / 2


class Silent(Base):
    def query(self, images):
        super().query(images)


def returns_and_stores(pool, image):
    """The new one is stored always, and returned half of the time."""
    old = pool.swap(image)
    return old if random.random() < 0.5 else image


def keeps_the_old(images, image):
    return random.choice(images)


def off_by_one(images, image):
    place = random.randint(0, len(images))
    old, images[place] = images[place], image
    return old


def never_the_last(images, image):
    place = int(torch.randint(0, len(images) - 1, ()))
    old, images[place] = images[place], image
    return old


def oldest(images, image):
    images.append(image)
    return images.pop(0)


def youngest(images, image):
    images.append(image)
    return images.pop(-2)


def lopsided(images, image):
    place = min(random.randrange(len(images)), random.randrange(len(images)))
    images.append(image)
    return images.pop(place)


def new_one_afterwards(images, image):
    """The stored one is overwritten before it is taken out."""
    place = random.randrange(len(images))
    images[place] = image
    return images[place]


WRONG = [
    ("never swaps", taking(lambda pool, image: image), "never gave an old picture"),
    ("always swaps", taking(lambda pool, image: pool.swap(image)), "always gave an old picture"),
    ("old ones stay", swapping(keeps_the_old), "came out twice"),
    ("the graph stays", WithGraph, "detach the pictures"),
    ("the graph stays while it fills", WithGraphWhileFilling, "detach the pictures"),
    ("stored and returned", taking(returns_and_stores), "not both"),
    ("one draw per batch", BatchesWhole, "draw for each picture"),
    ("1 in 10", taking(lambda pool, image: pool.swap(image) if random.random() < 0.1 else image), "probability 1/2"),
    ("9 in 10", taking(lambda pool, image: pool.swap(image) if random.random() > 0.1 else image), "probability 1/2"),
    ("randint(0, size)", swapping(off_by_one), "random.randint(a, b) can give b"),
    ("never the last place", swapping(never_the_last), "a place of the pool never changed"),
    ("always the oldest", swapping(oldest), "always the oldest"),
    ("always the youngest", swapping(youngest), "always the youngest"),
    ("some places likelier", swapping(lopsided), "equally likely"),
    ("overwritten first", swapping(new_one_afterwards), "never gave an old picture"),
    ("nothing until full", SmallAnswers, "one picture for each"),
    ("more than size", LooksOncePerBatch, "whether the pool is full"),
    ("old ones last", OldOnesLast, "order of a batch"),
    ("backwards", Backwards, "until the pool is full"),
    ("a list", AsList, "torch.stack it"),
    ("cat", WithoutBatchAxis, "expected the same"),
    ("an axis too many", ExtraAxis, "expected the same"),
    ("in place", InPlace, "in place"),
    ("one store for all", SharedStore, "make its list in __init__"),
    ("fixed draws", OneFlip, "probability 1/2"),
    ("size 0", SizeZeroForgotten, "with size 0"),
    ("mixed", Mixed, "mixed or changed"),
    ("no return", Silent, "return statement missing"),
]


class ByTorch(Base):
    """Draws of torch, copies, a tensor as the answer from the start, the size 0 by itself."""

    def query(self, images):
        answer = images.detach().clone()
        for i, image in enumerate(images.detach()):
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif self.size and torch.rand(1).item() > 0.5:
                place = torch.randint(0, self.size, (1,)).item()
                answer[i] = self.images[place]
                self.images[place] = image.clone()
        return answer


class ByNumpy(Base):
    """A generator of its own, the store shuffled by taking out and appending."""

    def __init__(self, size):
        super().__init__(size)
        self.random = np.random.default_rng()

    def one(self, image):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if self.random.integers(2):
            return image
        old = self.images.pop(self.random.integers(self.size))
        self.images.append(image)
        return old


class AsPublished(Base):
    """A batch axis for each picture, torch.cat at the end, size 0 handed on with its graph."""

    def query(self, images):
        if self.size == 0:
            return images
        answer = []
        for image in images:
            image = torch.unsqueeze(image.data, 0)
            if len(self.images) < self.size:
                self.images.append(image)
                answer.append(image)
            elif random.uniform(0, 1) > 0.5:
                place = random.randint(0, self.size - 1)
                answer.append(self.images[place].clone())
                self.images[place] = image
            else:
                answer.append(image)
        return torch.cat(answer, 0)


class OneTensor(Base):
    """The store is one tensor."""

    def __init__(self, size):
        self.size, self.filled, self.store = size, 0, None

    @torch.no_grad()
    def query(self, images):
        if self.store is None:
            self.store = torch.empty(self.size, *images.shape[1:])
        answer = images.clone()
        for i in range(len(images)):
            if self.filled < self.size:
                self.store[self.filled] = images[i]
                self.filled += 1
            elif self.size and np.random.rand() < 0.5:
                place = np.random.randint(self.size)
                answer[i] = self.store[place]
                self.store[place] = images[i]
        return answer


RIGHT = [
    ("random", Base),
    ("torch.rand", ByTorch),
    ("an unseeded generator of numpy", ByNumpy),
    ("cat", AsPublished),
    ("one tensor", OneTensor),
]
