"""get_dataloader(batch_size, image_size, data_dir): wrong and right solutions."""

import random
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset
from torchvision import datasets, transforms
from torchvision.transforms import functional as TF


def _square(size):
    return [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]


def _folder(data_dir, steps):
    return datasets.ImageFolder(data_dir, transform=transforms.Compose(steps))


def squeezed(batch_size, image_size, data_dir):
    steps = [transforms.Resize((image_size, image_size)), transforms.ToTensor()]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def not_shuffled(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(image_size)), batch_size=batch_size)


def normalised(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def whole_pixels(batch_size, image_size, data_dir):
    steps = [*_square(image_size)[:2], transforms.PILToTensor()]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def up_to_255(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Lambda(lambda x: x * 255)]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def not_square(batch_size, image_size, data_dir):
    steps = [transforms.Resize(image_size), transforms.ToTensor()]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def only_cropped(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(image_size)[1:]), batch_size=batch_size, shuffle=True)


def always_64(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(64)), batch_size=batch_size, shuffle=True)


def batch_size_ignored(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(image_size)), batch_size=16, shuffle=True)


def only_the_data_set(batch_size, image_size, data_dir):
    return _folder(data_dir, _square(image_size))


def with_replacement(batch_size, image_size, data_dir):
    data = _folder(data_dir, _square(image_size))
    return DataLoader(data, batch_size=batch_size, sampler=RandomSampler(data, replacement=True))


def rows_first(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Lambda(lambda x: x.permute(1, 2, 0))]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def transposed(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Lambda(lambda x: x.permute(0, 2, 1))]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def blue_first(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Lambda(lambda x: x.flip(0))]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def all_grey(batch_size, image_size, data_dir):
    steps = [transforms.Grayscale(3), *_square(image_size)]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def statistics_of_imagenet(batch_size, image_size, data_dir):
    steps = [*_square(image_size), transforms.Lambda(lambda x: x * 0.8)]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


class Files(Dataset):
    """One's own data set: lists every PNG, in an order and with an opener to be chosen."""

    def __init__(self, data_dir, steps, opened=lambda path: Image.open(path).convert("RGB")):
        self.paths = sorted(Path(data_dir).rglob("*.png"))
        self.classes = sorted({path.parent.name for path in self.paths})
        self.steps, self.opened = transforms.Compose(steps), opened

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.steps(self.opened(self.paths[i])), self.classes.index(self.paths[i].parent.name)


def channels_as_in_the_file(batch_size, image_size, data_dir):
    return DataLoader(Files(data_dir, _square(image_size), Image.open), batch_size=batch_size, shuffle=True)


def shuffled_once(batch_size, image_size, data_dir):
    data = Files(data_dir, _square(image_size))
    random.shuffle(data.paths)
    return DataLoader(data, batch_size=batch_size)


def number_as_label(batch_size, image_size, data_dir):
    class Numbered(Files):
        def __getitem__(self, i):
            return super().__getitem__(i)[0], i

    return DataLoader(Numbered(data_dir, _square(image_size)), batch_size=batch_size, shuffle=True)


def one_class_only(batch_size, image_size, data_dir):
    first = sorted(p for p in Path(data_dir).iterdir() if p.is_dir())[0]
    return DataLoader(Files(first, _square(image_size)), batch_size=batch_size, shuffle=True)


def without_to_tensor(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(image_size)[:2]), batch_size=batch_size, shuffle=True)


def without_transform(batch_size, image_size, data_dir):
    return DataLoader(datasets.ImageFolder(data_dir), batch_size=batch_size, shuffle=True)


def without_brackets(batch_size, image_size, data_dir):
    steps = [*_square(image_size)[:2], transforms.ToTensor]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


def cropped_anywhere(batch_size, image_size, data_dir):
    steps = [transforms.Resize(image_size), transforms.RandomCrop(image_size), transforms.ToTensor()]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


WRONG = [
    ("squeezed", squeezed, "distorted"),
    ("not shuffled", not_shuffled, "not shuffled"),
    ("Normalize", normalised, "Normalize"),
    ("uint8", whole_pixels, "uint8"),
    ("0..255", up_to_255, "0..255"),
    ("Resize alone", not_square, "crop to a square"),
    ("CenterCrop alone", only_cropped, "resize"),
    ("image_size ignored", always_64, "image_size"),
    ("batch_size ignored", batch_size_ignored, "batch_size"),
    ("a data set", only_the_data_set, "DataLoader"),
    ("with replacement", with_replacement, "replacement"),
    ("channels last", rows_first, "channels come before rows"),
    ("rows and columns swapped", transposed, "rows and columns"),
    ("BGR", blue_first, "red and blue"),
    ("grey", all_grey, "grey"),
    ("other scaling", statistics_of_imagenet, "value / 255"),
    ("channels of the file", channels_as_in_the_file, "convert('RGB')"),
    ("shuffled once", shuffled_once, "shuffled once"),
    ("the index as label", number_as_label, "labels"),
    ("one class only", one_class_only, "every class folder"),
    ("no ToTensor", without_to_tensor, "is ToTensor() among the transforms"),
    ("no transform", without_transform, "given to ImageFolder?"),
    ("ToTensor without brackets", without_brackets, "write ToTensor() with brackets"),
    ("RandomCrop", cropped_anywhere, "not the centre was cut out"),
]


def full_batches_only(batch_size, image_size, data_dir):
    return DataLoader(_folder(data_dir, _square(image_size)), batch_size=batch_size, shuffle=True, drop_last=True)


def fitted(batch_size, image_size, data_dir):
    class Fitted(Files):
        def __getitem__(self, i):
            picture = ImageOps.fit(Image.open(self.paths[i]).convert("RGB"), (image_size, image_size))
            return TF.to_tensor(picture), self.classes.index(self.paths[i].parent.name)

    return DataLoader(Fitted(data_dir, []), batch_size=batch_size, shuffle=True)


def letterbox_in_memory(batch_size, image_size, data_dir):
    def boxed(path):
        return ImageOps.pad(Image.open(path).convert("RGB"), (image_size, image_size), color="white")

    files = Files(data_dir, [transforms.ToTensor()], boxed)
    pictures, labels = zip(*(files[i] for i in range(len(files))))
    data = TensorDataset(torch.stack(pictures), torch.tensor(labels))
    return DataLoader(data, batch_size=batch_size, sampler=RandomSampler(data))


def cropped_first(batch_size, image_size, data_dir):
    crop = transforms.Lambda(lambda picture: TF.center_crop(picture, min(picture.size)))
    steps = [crop, transforms.Resize((image_size, image_size)), transforms.ToTensor()]
    return DataLoader(_folder(data_dir, steps), batch_size=batch_size, shuffle=True)


RIGHT = [
    ("full batches only", full_batches_only),
    ("own data set, ImageOps.fit", fitted),
    ("letterbox, all in memory", letterbox_in_memory),
    ("crop, then resize", cropped_first),
]
