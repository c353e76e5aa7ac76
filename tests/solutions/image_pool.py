"""ImagePool(size): right solutions that are written in other ways, and more wrong ones."""

import collections
import random

import numpy as np
import torch

from exercises.cyclegan.image_pool import Pool, changed, drawn


class ByTorch(Pool):
    """Draws of torch, copies, a tensor as the answer from the start."""

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


class ByNumpy(Pool):
    """A generator of its own, the store shuffled by taking out and appending."""

    def __init__(self, size):
        super().__init__(size)
        self.random = np.random.default_rng()

    def full(self, image):
        if not self.size or self.random.integers(2):
            return image
        old = self.images.pop(self.random.integers(self.size))
        self.images.append(image)
        return old


class Seeded(ByNumpy):
    def __init__(self, size):
        super().__init__(size)
        self.random = np.random.default_rng(3)


class AsPublished(Pool):
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


class OneTensor(Pool):
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


class Shuffled(Pool):
    """Puts the new one in, shuffles, and takes the last out; the old one cannot be the new one."""

    def swap(self, image):
        random.shuffle(self.images)
        old = self.images.pop()
        self.images.append(image)
        return old


class WithGraphWhileFilling(Pool):
    def query(self, images):
        if len(self.images) < self.size:
            self.images += list(images.detach())[: self.size - len(self.images)]
            return images
        return super().query(images)


class SmallAnswers(Pool):
    """Nothing is returned until the pool is full."""

    def query(self, images):
        answer = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            else:
                answer.append(self.full(image))
        return torch.stack(answer) if answer else images[:0].detach()


class LooksOncePerBatch(Pool):
    def query(self, images):
        images = images.detach()
        if len(self.images) < self.size:
            self.images += list(images)
            return images
        return torch.stack([self.full(image) for image in images])

    def swap(self, image):
        place = random.randrange(len(self.images))
        old, self.images[place] = self.images[place], image
        return old


class OldOnesLast(Pool):
    def query(self, images):
        answers = [(self.one(image), image) for image in images.detach()]
        new = [a for a, image in answers if a is image]
        return torch.stack(new + [a for a, image in answers if a is not image])


class ExtraAxis(Pool):
    def query(self, images):
        return torch.stack([self.one(image[None]) for image in images.detach()])


class InPlace(Pool):
    def query(self, images):
        with torch.no_grad():
            for i, image in enumerate(images.detach().clone()):
                images[i] = self.one(image)
        return images.detach()


class FixedDraws(Pool):
    def query(self, images):
        random.seed(1)
        return super().query(images)


class Queue(Pool):
    """A queue of length size drops the oldest by itself."""

    def __init__(self, size):
        self.size, self.images = size, collections.deque(maxlen=size)

    def one(self, image):
        full = len(self.images) == self.size
        old = self.images[0] if full and self.size else image
        self.images.append(image)
        return old if random.random() < 0.5 else image


class NothingStored(Pool):
    """Forgets to put the new picture into the place of the old one."""

    def swap(self, image):
        return self.images.pop(random.randrange(len(self.images)))


class OneLess(Pool):
    def one(self, image):
        if len(self.images) < self.size - 1:
            self.images.append(image)
            return image
        return self.full(image) if self.images else image

    def swap(self, image):
        place = random.randrange(len(self.images))
        old, self.images[place] = self.images[place], image
        return old


class OneMoreReached(LooksOncePerBatch):
    query = Pool.query

    def one(self, image):
        if len(self.images) <= self.size:
            self.images.append(image)
            return image
        return self.full(image)


class HiddenMethod(Pool):
    def __init__(self, size):
        super().__init__(size)
        self.query = []


class TwoDraws(Pool):
    """One draw to store, another to return."""

    def full(self, image):
        if not self.size:
            return image
        place = random.randrange(self.size)
        old = self.images[place]
        if random.random() < 0.5:
            self.images[place] = image
        return old if random.random() < 0.5 else image


def at(place):
    """Swaps with the picture at another place."""

    def swap(pool, image):
        at = place(pool.size)
        old, pool.images[at] = pool.images[at], image
        return old

    return changed(swap=swap)


def overwrites(pool, image):
    """The new one is put in before the old one is taken out."""
    place = random.randrange(pool.size)
    pool.images[place] = image
    return pool.images[place]


def whole(pool, images):
    """One draw for a batch."""
    swap = random.random() < 0.5 and pool.size
    kept = [pool.one(image) if len(pool.images) < pool.size or swap else image for image in images.detach()]
    return torch.stack(kept)


def never_the_last(pool, image):
    place = int(torch.randint(0, max(1, len(pool.images) - 1), ()))
    old, pool.images[place] = pool.images[place], image
    return old


def put_last(pool, image, place):
    pool.images.append(image)
    return pool.images.pop(place)


def returns_and_stores(pool, image):
    old = pool.swap(image) if pool.size else image
    return old if random.random() < 0.5 else image


def one_more(pool, image):
    if len(pool.images) <= pool.size:
        pool.images.append(image)
        return image
    return pool.full(image)


RIGHT = [
    ("random", Pool),
    ("torch.rand", ByTorch),
    ("an unseeded generator of numpy", ByNumpy),
    ("a generator with a seed of its own", Seeded),
    ("cat", AsPublished),
    ("one tensor", OneTensor),
    ("shuffled", Shuffled),
]
WRONG = [
    ("the graph stays while it fills", WithGraphWhileFilling, "detach the pictures"),
    ("nothing until full", SmallAnswers, "one picture for each"),
    ("more than size", LooksOncePerBatch, "whether the pool is full"),
    ("old ones last", OldOnesLast, "order of a batch"),
    ("an axis too many", ExtraAxis, "expected the same"),
    ("in place", InPlace, "in place"),
    ("fixed draws", FixedDraws, "expected about 50%"),
    ("a queue", Queue, "not both"),
    ("nothing stored", NothingStored, "not both"),
    ("one less", OneLess, "until the pool is full"),
    ("one more, all reached", OneMoreReached, "by len(...) < size"),
    ("query hidden", HiddenMethod, "must not hide them"),
    ("two draws", TwoDraws, "a picture came"),
    ("overwritten first", changed(swap=overwrites), "never gave an old picture"),
    ("one draw per batch", changed(query=whole, full=Pool.swap), "draw for each picture"),
    ("1 in 10", drawn(0.1), "expected about 50%"),
    ("9 in 10", drawn(0.9), "expected about 50%"),
    ("randint(0, size)", at(lambda size: random.randint(0, size)), "random.randint(a, b) can give b"),
    ("some places likelier", at(lambda size: min(random.randrange(size), random.randrange(size))), "likelier to go"),
    ("cat", changed(query=lambda pool, images: torch.cat([pool.one(i) for i in images.detach()])), "expected the same"),
    ("returned and stored", changed(full=returns_and_stores), "not both"),
    ("size + 1", changed(one=one_more), "one picture more than size"),
    ("the oldest", changed(swap=lambda pool, image: put_last(pool, image, 0)), "always the oldest"),
    ("the youngest", changed(swap=lambda pool, image: put_last(pool, image, -2)), "always the youngest"),
    ("mixed", changed(swap=lambda pool, image: (image + Pool.swap(pool, image)) / 2), "mixed or changed"),
    ("never the last place", changed(swap=never_the_last), "a place of the pool never changed"),
    ("the first picture only", changed(query=lambda pool, images: pool.one(images[0].detach())), "expected the same"),
    ("a tensor of numpy", changed(query=lambda pool, images: Pool.query(pool, images).numpy()), "torch.stack it"),
]
