"""get_dataloader(batch_size, image_size, data_dir): more wrong solutions, and right ones that are written in other ways."""

import random
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as TF

from exercises.data.get_dataloader import loading, square


def rgb(path):
    return Image.open(path).convert("RGB")


class Files(Dataset):
    """One's own data set: lists every PNG, in an order and with an opener to be chosen."""

    def __init__(self, data_dir, size, opened=rgb, steps=square):
        self.paths = sorted(Path(data_dir).rglob("*.png"))
        self.classes = sorted({path.parent.name for path in self.paths})
        self.opened, self.steps, self.size = opened, steps, size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.steps(self.opened(self.paths[i]), self.size), self.classes.index(self.paths[i].parent.name)


def own(opened=rgb, steps=square, data=Files):
    def right(batch_size, image_size, data_dir):
        return DataLoader(data(data_dir, image_size, opened, steps), batch_size=batch_size, shuffle=True)

    return right


def letterbox_in_memory(batch_size, image_size, data_dir):
    files = Files(data_dir, image_size, steps=lambda p, s: TF.to_tensor(ImageOps.pad(p, (s, s), color="white")))
    pictures, labels = zip(*(files[i] for i in range(len(files))))
    data = TensorDataset(torch.stack(pictures), torch.tensor(labels))
    return DataLoader(data, batch_size=batch_size, sampler=RandomSampler(data))


def by_v2(batch_size, image_size, data_dir):
    steps = [v2.ToImage(), v2.Resize(image_size), v2.CenterCrop(image_size), v2.ToDtype(torch.float32, scale=True)]
    return DataLoader(datasets.ImageFolder(data_dir, v2.Compose(steps)), batch_size, shuffle=True)


class Once:
    """Batches by hand, in a new order whenever it is run through."""

    def __init__(self, batch_size, image_size, data_dir):
        self.files, self.batch_size = Files(data_dir, image_size), batch_size

    def __iter__(self):
        for indices in torch.randperm(len(self.files)).split(self.batch_size):
            images, labels = zip(*(self.files[i] for i in indices))
            yield torch.stack(images), list(labels)


def shuffled_once(batch_size, image_size, data_dir):
    data = Files(data_dir, image_size)
    random.shuffle(data.paths)
    return DataLoader(data, batch_size=batch_size)


class Numbered(Files):
    def __getitem__(self, i):
        return super().__getitem__(i)[0], i


class Named(Files):
    def __getitem__(self, i):
        return super().__getitem__(i)[0], self.paths[i].parent.name


class Unlabelled(Files):
    def __getitem__(self, i):
        return super().__getitem__(i)[0], 0


def one_class_only(batch_size, image_size, data_dir):
    first = sorted(p for p in Path(data_dir).iterdir() if p.is_dir())[0]
    return own()(batch_size, image_size, first)


def composed(*steps):
    def wrong(batch_size, image_size, data_dir):
        made = transforms.Compose([step(image_size) if number < 2 else step for number, step in enumerate(steps)])
        return DataLoader(datasets.ImageFolder(data_dir, made), batch_size, shuffle=True)

    return wrong


def pieces(batch_size, image_size, data_dir):
    return own()(batch_size, image_size, data_dir), own()(batch_size, image_size, data_dir)


RESIZE, CROP = transforms.Resize, transforms.CenterCrop
RIGHT = [
    ("full batches only", loading(drop_last=True)),
    ("own data set, ImageOps.fit", own(steps=lambda p, s: TF.to_tensor(ImageOps.fit(p, (s, s))))),
    ("letterbox, all in memory", letterbox_in_memory),
    ("crop, then resize", loading(lambda p, s: TF.to_tensor(TF.resize(TF.center_crop(p, min(p.size)), (s, s))))),
    ("the nearest pixel", loading(lambda p, s: TF.to_tensor(TF.center_crop(TF.resize(p, s, InterpolationMode.NEAREST), s)))),
    ("transforms of the second version", by_v2),
    ("batches by hand", Once),
    ("own generator", loading(generator=torch.Generator().manual_seed(0))),
]
WRONG = [
    ("crop, then resize", composed(CROP, RESIZE, transforms.ToTensor()), "resize before the crop"),
    ("channels of the file", own(Image.open), "convert('RGB')"),
    ("greyscale alone turned", own(lambda path: Image.open(path).convert("L")), "greyscale and RGBA files become RGB"),
    ("shuffled once", shuffled_once, "shuffled once"),
    ("the index as label", own(data=Numbered), "labels do not tell"),
    ("names as labels", own(data=Named), "labels are no numbers"),
    ("one label for all", own(data=Unlabelled), "labels do not tell"),
    ("one class only", one_class_only, "every class folder"),
    ("ToTensor without brackets", composed(RESIZE, CROP, transforms.ToTensor), "write ToTensor() with brackets"),
    ("no ToTensor", composed(RESIZE, CROP), "is ToTensor() among the transforms"),
    ("jittered", composed(RESIZE, CROP, transforms.ColorJitter((0.6, 0.61)), transforms.ToTensor()), "nor jittered"),
    ("random parts", composed(transforms.RandomResizedCrop, CROP, transforms.ToTensor()), "resize"),
    ("a larger side", loading(lambda p, s: TF.to_tensor(TF.center_crop(TF.resize(p, 4 * s), s))), "not the centre of its file"),
    ("opened by numpy", loading(lambda p, s: square(p, s).numpy().transpose(1, 2, 0)), "channels come before rows"),
    ("double precision", loading(lambda p, s: square(p, s).double()), "expected torch.float32"),
    ("a batch for each call", lambda *arguments: next(iter(own()(*arguments))), "expected"),
    ("two loaders", pieces, "a batch is a DataLoader, expected a pair"),
    ("a number", lambda *arguments: len(own()(*arguments)), "return a DataLoader"),
    ("no folder", lambda batch_size, image_size: None, "signature"),
    ("half of the pictures", loading(sampler=range(7), shuffle=False), "every class folder"),
    ("in pairs", loading(batch_size=None, shuffle=False), "return a DataLoader over the data set"),
]
