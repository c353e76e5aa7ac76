"""Faces drawn by code: any number, any size, from a seed, each with its attributes, landmarks and identity.

A face is a head in three dimensions: a profile of half-ellipses (`_profile`) with a relief of smooth bumps on it (`_relief`). Each
pixel's ray is intersected with it, so eyes, nose, mouth and beard are painted in the head's own coordinates and turn with
it, and the light falls on real normals. Units are inter-eye distances: x to the picture's right, y down, z towards the
viewer; the point between the eyes is (0, 0). Colours are held as the squares of the sRGB values, which is close to light.

Pixels are computed with + - * / sqrt, floor, comparisons and nothing else, because these are rounded alike in every
position of an array on every machine: a face is the same bit for bit whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from facegen.files import InputError

MONK_TONES = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
"""The ten Monk Skin Tone swatches, light to dark, as sRGB hexadecimal (E. Monk, https://skintone.google)."""

HAIR_COLORS = {
    "black": (24, 21, 22),
    "dark brown": (52, 36, 28),
    "brown": (88, 60, 40),
    "auburn": (104, 48, 28),
    "blond": (194, 154, 98),
    "red": (168, 78, 36),
    "grey": (138, 136, 134),
    "white": (214, 212, 207),
}
EYE_COLORS = {
    "dark brown": (44, 27, 18),
    "brown": (92, 58, 32),
    "hazel": (116, 92, 48),
    "green": (86, 112, 74),
    "blue": (84, 124, 160),
    "grey": (120, 130, 138),
}

FAULTS = ("unequal_eyes", "melted_teeth", "droplets", "mismatched_earrings", "color_fringe")
"""The planted faults; each has a bool attribute `fault_<name>`."""

ATTRIBUTE_NAMES: dict[str, tuple[str, ...]] = {
    "skin_tone": tuple(f"monk {i + 1}" for i in range(10)),
    "hair_style": (
        "bald",
        "buzz",
        "short",
        "side part",
        "fringe",
        "bob",
        "long straight",
        "long wavy",
        "curly",
        "afro",
        "bun",
        "ponytail",
    ),
    "hair_color": tuple(HAIR_COLORS),
    "eye_color": tuple(EYE_COLORS),
    "expression": ("neutral", "smile", "open smile", "sad", "surprised"),
    "glasses": ("none", "round", "square", "sunglasses"),
    "beard": ("none", "stubble", "moustache", "goatee", "full"),
    "hat": ("none", "beanie", "brim"),
    "earrings": ("none", "stud", "hoop"),
    "clothing": ("crew neck", "v-neck", "shirt", "turtleneck"),
    "background": ("plain", "gradient", "bokeh", "window"),
}
"""The values of each categorical attribute, in the order of its integer labels."""

_STYLE = {name: i for i, name in enumerate(ATTRIBUTE_NAMES["hair_style"])}
# One row per hair style: top = thickness above the skull, side = thickness beside it, length = y where it ends, flare = widening
# on the way down, opening = half-width of the face's window, line = shift of the hairline, sweep = slant of the hairline,
# wave = waviness of strands, curl = curliness, rough = raggedness of the outline, back = whether it also hangs behind the neck.
_HAIR = {
    "bald": (0.00, 0.00, -0.9, 0.0, 1.02, -0.10, 0.00, 0.00, 0.0, 0.00, 0),
    "buzz": (0.035, 0.015, 0.02, 0.0, 0.98, -0.02, 0.00, 0.00, 0.0, 0.00, 0),
    "short": (0.22, 0.06, 0.08, 0.0, 0.96, -0.02, 0.10, 0.05, 0.0, 0.03, 0),
    "side part": (0.26, 0.09, 0.15, 0.0, 0.95, 0.00, 0.42, 0.03, 0.0, 0.01, 0),
    "fringe": (0.22, 0.14, 0.30, 0.0, 0.95, 0.58, 0.06, 0.03, 0.0, 0.02, 0),
    "bob": (0.22, 0.22, 1.45, 0.10, 0.93, 0.02, 0.30, 0.04, 0.0, 0.01, 1),
    "long straight": (0.17, 0.16, 3.30, 0.18, 0.93, 0.00, 0.10, 0.02, 0.0, 0.01, 1),
    "long wavy": (0.24, 0.28, 3.00, 0.40, 0.94, 0.00, 0.26, 0.30, 0.0, 0.05, 1),
    "curly": (0.36, 0.34, 1.35, 0.25, 0.93, 0.06, 0.05, 0.15, 1.0, 0.10, 1),
    "afro": (0.62, 0.62, 0.95, 0.00, 0.95, 0.02, 0.00, 0.05, 1.0, 0.05, 1),
    "bun": (0.09, 0.04, 0.05, 0.0, 0.97, -0.04, 0.00, 0.03, 0.0, 0.01, 0),
    "ponytail": (0.11, 0.05, 0.05, 0.0, 0.97, -0.04, 0.12, 0.03, 0.0, 0.01, 0),
}
_HAIR_FIELDS = ("top", "side", "length", "flare", "opening", "line", "sweep", "wave", "curl", "rough", "back")

# One row per expression: corners' lift, mouth's width, opening, brows' rise, inner brows' rise, eyes' opening, cheeks' rise.
_EXPRESSION = {
    "neutral": (0.00, 1.00, 0.00, 0.00, 0.00, 1.00, 0.0),
    "smile": (0.11, 1.16, 0.00, 0.01, 0.00, 0.90, 0.7),
    "open smile": (0.13, 1.24, 0.17, 0.02, 0.00, 0.84, 1.0),
    "sad": (-0.10, 0.95, 0.00, 0.01, 0.11, 0.88, 0.0),
    "surprised": (-0.02, 0.84, 0.27, 0.13, 0.03, 1.24, 0.0),
}
_EXPRESSION_FIELDS = ("lift", "wide", "open", "brow_up", "brow_in", "lids", "cheek")

_PIXELS = 32768  # pixels in flight: arrays of 128 KiB stay in a core's cache


@dataclass(frozen=True)
class DrawnFaces:
    """Drawn faces and what is known about them.

    images: uint8 [N, 3, S, S]. attributes: one tensor [N] per name (colours [N, 3] in 0..1); `ATTRIBUTE_NAMES` names the values of
    the integer ones. landmarks: float32 [N, 5, 2], (x, y) in pixels from the picture's upper left corner, of the eye on the
    picture's left, the eye on its right, nose tip, left and right mouth corner. identity: int64 [N].
    """

    images: torch.Tensor
    attributes: dict[str, torch.Tensor]
    landmarks: torch.Tensor
    identity: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)


# ---------------------------------------------------------------------------------------------------------- chance


def _mix(h: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): uint64 -> well-mixed uint64."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


class _Dice:
    """Random numbers as a pure function of (seed, counter, name): no state, so a batch can begin anywhere."""

    def __init__(self, seed: int, counters: np.ndarray) -> None:
        seeded = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        self.keys = _mix(counters.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ seeded)

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 [N] in [low, high)."""
        salt = 0xCBF29CE484222325
        for byte in name.encode():  # FNV-1a
            salt = ((salt ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        unit = (_mix(_mix(self.keys ^ np.uint64(salt))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def spread(self, name: str, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
        """float64 [N], bell-shaped and bounded: within 2.83 deviations of the mean (a mean of three uniforms)."""
        total = self.uniform(name + "/a") + self.uniform(name + "/b") + self.uniform(name + "/c")
        return mean + deviation * (total - 1.5) * 2.0

    def pick(self, name: str, weights: np.ndarray) -> np.ndarray:
        """int64 [N] in 0..K-1 with chances proportional to weights [K] or [N, K]."""
        edges = np.cumsum(np.broadcast_to(weights, (len(self.keys), weights.shape[-1])), axis=1)
        point = self.uniform(name) * edges[:, -1]
        return (edges[:, :-1] <= point[:, None]).sum(axis=1)


def _sine_cosine(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin and cos by their series (good to 1e-9 below 45 degrees): the same bits on every machine."""
    a = degrees * (3.141592653589793 / 180.0)
    b = a * a
    sine = a * (1 - b / 6 * (1 - b / 20 * (1 - b / 42 * (1 - b / 72))))
    cosine = 1 - b / 2 * (1 - b / 12 * (1 - b / 30 * (1 - b / 56 * (1 - b / 90))))
    return sine, cosine


# ------------------------------------------------------------------------------------------------------ parameters


def _default_weights(name: str, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
    """Chances [K] or [N, K] of a categorical attribute, given those drawn before it."""
    size = len(ATTRIBUTE_NAMES[name])
    if name == "hair_style":
        return np.array([0.6, 0.9, 1.3, 1.3, 1.0, 1.1, 1.2, 1.2, 1.0, 0.7, 0.8, 0.9])
    if name == "hair_color":
        dark = np.array([4, 3, 1.2, 0.4, 0.1, 0.05, 0.8, 0.4])
        light = np.array([1.2, 2, 2, 1.2, 1.8, 0.9, 0.8, 0.5])
        return np.where((drawn["skin_tone"] >= 5)[:, None], dark, light)
    if name == "eye_color":
        return np.where((drawn["skin_tone"] >= 5)[:, None], np.array([5, 3, 0.5, 0.1, 0.05, 0.1]), np.ones(size))
    if name in ("beard", "earrings"):
        long = (drawn["hair_style"] >= _STYLE["bob"]) & (drawn["hair_style"] != _STYLE["afro"])
        if name == "beard":
            return np.where(long[:, None], np.array([20, 0.5, 0.3, 0.2, 0.5]), np.array([5.0, 1.4, 0.7, 0.8, 1.4]))
        worn = drawn["beard"] == 0
        return np.where((long & worn)[:, None], np.array([1.0, 1.0, 1.0]), np.array([12.0, 1.0, 0.5]))
    if name == "glasses":
        return np.array([7.0, 1.2, 1.4, 0.5])
    if name == "hat":
        return np.array([8.0, 1.0, 0.7])
    if name == "expression":
        return np.array([3.0, 2.5, 2.5, 1.0, 1.0])
    return np.ones(size)


def _identity_labels(dice: _Dice, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    for name in ("skin_tone", "hair_style", "hair_color", "eye_color", "beard", "earrings", "glasses"):
        labels[name] = dice.pick(name, weights[name] if name in weights else _default_weights(name, labels))
    return labels


def _shot_labels(dice: _Dice, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = ("expression", "hat", "clothing", "background")
    return {name: dice.pick(name, weights[name] if name in weights else _default_weights(name, {})) for name in names}


def _rgb(values: Sequence[Sequence[int]] | Sequence[str]) -> np.ndarray:
    """sRGB in 0..1, [K, 3], from triples of 0..255 or hexadecimal strings."""
    rows = [[int(v[i : i + 2], 16) for i in (0, 2, 4)] if isinstance(v, str) else v for v in values]
    return np.array(rows, dtype=np.float64) / 255.0


def _hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """[N, 3] from hue in turns, saturation, value."""
    channels = []
    for shift in (0.0, 2.0 / 3.0, 1.0 / 3.0):
        distance = np.abs(hue + shift - np.floor(hue + shift) - 0.5) * 6.0 - 1.0
        channels.append(value * (1 - saturation * (1 - np.clip(distance, 0, 1))))
    return np.stack(channels, axis=1)


def _person(dice: _Dice, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What stays with an identity: colours, build and every proportion of the face, in inter-eye distances."""
    p: dict[str, np.ndarray] = {}
    age = dice.uniform("age")
    long = (labels["hair_style"] >= _STYLE["bob"]) & (labels["hair_style"] != _STYLE["afro"])
    bearded = labels["beard"] > 0
    grey = (labels["hair_color"] >= 6).astype(np.float64)
    p["age"] = age = age + (1 - age) * 0.5 * grey  # grey hair makes older faces, not the other way: labels stay free
    build = 0.35 + 0.3 * dice.uniform("build") - 0.25 * long + 0.2 * (labels["hair_style"] <= _STYLE["short"])
    p["build"] = build = np.clip(np.where(bearded, 0.75 + 0.2 * dice.uniform("build"), build), 0, 1)
    p["skin"] = np.clip(_rgb(MONK_TONES)[labels["skin_tone"]] * (1 + 0.02 * dice.spread("skin"))[:, None], 0, 0.98)
    tint = np.stack([dice.spread(f"hair/{c}", 1, 0.025) for c in "rgb"], axis=1) * dice.spread("hair", 1, 0.06)[:, None]
    p["hair"] = np.clip(_rgb(list(HAIR_COLORS.values()))[labels["hair_color"]] * tint, 0.02, 0.95)
    p["iris"] = _rgb(list(EYE_COLORS.values()))[labels["eye_color"]] * dice.spread("iris", 1, 0.08)[:, None]
    p["half"] = 1.15 + 0.05 * build + dice.spread("half", 0, 0.035)
    p["skull"] = 1.72 + dice.spread("skull", 0, 0.04)
    p["chin"] = 1.74 + 0.16 * build + dice.spread("chin", 0, 0.05) - 0.03 * age
    p["jaw"] = 0.10 + 0.55 * build + dice.spread("jaw", 0, 0.14) + 0.1 * age
    p["deep"] = 1.42 + dice.spread("deep", 0, 0.03)
    p["eye_w"] = 0.245 + dice.spread("eye_w", 0, 0.010) - 0.012 * build
    p["eye_h"] = 0.108 + dice.spread("eye_h", 0, 0.010) - 0.022 * build - 0.012 * age
    p["eye_tilt"] = 0.03 + dice.spread("eye_tilt", 0, 0.05)
    p["lid"] = 0.062 + dice.spread("lid", 0, 0.016)
    p["lash"] = 0.030 - 0.014 * build
    p["brow_y"] = -0.345 + dice.spread("brow_y", 0, 0.02) + 0.05 * build
    p["brow_t"] = 0.055 + 0.045 * build + dice.spread("brow_t", 0, 0.012)
    p["brow_arch"] = 0.075 - 0.05 * build + dice.spread("brow_arch", 0, 0.014)
    p["brow_tilt"] = dice.spread("brow_tilt", 0, 0.02) + 0.015
    p["nose_y"] = 0.64 + dice.spread("nose_y", 0, 0.035) + 0.03 * build
    p["nose_w"] = 0.225 + dice.spread("nose_w", 0, 0.022) + 0.02 * build
    p["nose_h"] = 0.25 + dice.spread("nose_h", 0, 0.025)
    p["bridge"] = 0.13 + dice.spread("bridge", 0, 0.02)
    p["mouth_y"] = p["nose_y"] + 0.475 + dice.spread("mouth_y", 0, 0.025)
    p["mouth_w"] = 0.375 + dice.spread("mouth_w", 0, 0.022) + 0.02 * build
    p["lip_up"] = 0.088 + dice.spread("lip_up", 0, 0.014) - 0.022 * build - 0.015 * age
    p["lip_low"] = 0.125 + dice.spread("lip_low", 0, 0.016) - 0.02 * build - 0.015 * age
    p["lip_tint"] = np.clip(0.5 + 0.5 * dice.spread("lip_tint") - 0.9 * (build - 0.3), 0, 1)
    p["cheekbone"] = 0.07 + dice.spread("cheekbone", 0, 0.02)
    p["blush"] = np.clip(0.5 + dice.spread("blush", 0, 0.3), 0, 1)
    p["freckles"] = np.where(labels["skin_tone"] <= 4, np.clip(dice.spread("freckles", -0.2, 0.5), 0, 1), 0)
    p["hairline"] = -1.06 + dice.spread("hairline", 0, 0.05) - 0.10 * age * build
    p["part"] = np.where(dice.uniform("part") < 0.5, -1, 1) * dice.uniform("part/at", 0.25, 0.55)
    p["volume"] = dice.uniform("volume", 0.85, 1.2)
    for i in range(8):
        p[f"phase{i}"] = dice.uniform(f"phase{i}")
    p["glass_rgb"] = _hsv(dice.uniform("glass/h"), dice.uniform("glass/s", 0, 0.5), dice.uniform("glass/v", 0.05, 0.4))
    p["gold"] = np.where((dice.uniform("gold") < 0.6)[:, None], [[0.86, 0.68, 0.32]], [[0.80, 0.81, 0.84]])
    return p


def _shot(dice: _Dice, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What changes from picture to picture: pose, framing, light, gaze, expression, clothes, background."""
    p: dict[str, np.ndarray] = {
        "yaw": dice.spread("yaw", 0, 9.5),
        "pitch": dice.spread("pitch", 0, 4.0),
        "roll": dice.spread("roll", 0, 3.2),
        "zoom": dice.uniform("zoom", 0.204, 0.220),
        "at_x": dice.spread("at_x", 0.5, 0.006),
        "at_y": dice.spread("at_y", 0.465, 0.005),
        "light_x": dice.uniform("light_x", -0.75, 0.75),
        "light_y": dice.uniform("light_y", -0.65, -0.15),
        "key": dice.uniform("key", 0.62, 0.80),
        "gaze_x": dice.spread("gaze_x", 0, 0.020),
        "gaze_y": dice.spread("gaze_y", 0, 0.010),
        "expose": dice.spread("expose", 1.0, 0.02),
        "lean": dice.spread("lean", 0, 0.08),
    }
    rows = np.array(list(_EXPRESSION.values()))[labels["expression"]]
    strength = dice.uniform("strength", 0.8, 1.15)
    for i, field in enumerate(_EXPRESSION_FIELDS):
        rest = 1.0 if field in ("wide", "lids") else 0.0
        p[field] = rest + (rows[:, i] - rest) * strength
    p["lift"] = p["lift"] + dice.spread("lift", 0, 0.012)
    p["brow_up"] = p["brow_up"] + dice.spread("brow_up", 0, 0.01)
    p["lids"] = p["lids"] * dice.spread("lids", 1, 0.05)
    p["cloth"] = _hsv(dice.uniform("cloth/h"), dice.uniform("cloth/s", 0.05, 0.65), dice.uniform("cloth/v", 0.12, 0.85))
    p["cap"] = _hsv(dice.uniform("cap/h"), dice.uniform("cap/s", 0.1, 0.7), dice.uniform("cap/v", 0.15, 0.7))
    hue = dice.uniform("back/h")
    p["back_a"] = _hsv(hue, dice.uniform("back/s", 0.05, 0.5), dice.uniform("back/v", 0.25, 0.9))
    p["back_b"] = _hsv(hue + dice.spread("back/h2", 0, 0.1), dice.uniform("back/s2", 0.05, 0.5), dice.uniform("back/v2", 0.2, 0.8))
    p["back_x"], p["back_y"] = dice.uniform("back/x", -1, 1), dice.uniform("back/y", -1, 1)
    for i in range(7):
        p[f"disc{i}x"], p[f"disc{i}y"] = dice.uniform(f"disc{i}x", -0.5, 0.5), dice.uniform(f"disc{i}y", -0.5, 0.4)
        p[f"disc{i}r"], p[f"disc{i}a"] = dice.uniform(f"disc{i}r", 0.05, 0.14), dice.uniform(f"disc{i}a", 0.1, 0.5)
    return p


def _faults(dice: _Dice, chance: float) -> dict[str, np.ndarray]:
    """Which planted faults a face has, each a float 0 or 1, and their parameters. At least one where there is any."""
    faulty = dice.uniform("uncanny") < chance
    main = dice.pick("uncanny/main", np.ones(len(FAULTS)))
    p: dict[str, np.ndarray] = {}
    for i, name in enumerate(FAULTS):
        more = dice.uniform(f"uncanny/{name}") < 0.25
        p["fault_" + name] = (faulty & (more | (main == i))).astype(np.float64)
    p["fault_side"] = np.where(dice.uniform("uncanny/side") < 0.5, -1.0, 1.0)
    for i in range(3):
        p[f"drop{i}x"] = dice.uniform(f"drop{i}x", -0.30, 0.30)
        p[f"drop{i}y"] = dice.uniform(f"drop{i}y", -0.38, 0.38)
        p[f"drop{i}r"] = dice.uniform(f"drop{i}r", 0.055, 0.10)
    return p


def _derived(p: dict[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> None:
    """Add what follows from the parameters: the hair's shape, rotations, light, where the frame and the neck are."""
    rows = np.array(list(_HAIR.values()), dtype=np.float64)[labels["hair_style"]]
    for i, field in enumerate(_HAIR_FIELDS):
        p["hair_" + field] = rows[:, i]
    thick = np.where(labels["hair_style"] == _STYLE["afro"], p["volume"] * 0.9, p["volume"])
    hatted = labels["hat"] > 0
    p["hair_top"] = np.where(hatted, np.minimum(p["hair_top"], 0.06), p["hair_top"] * thick)
    p["hair_side"] = p["hair_side"] * thick
    p["chin"] = p["chin"] + 0.10 * (labels["beard"] == 4)  # a full beard is part of the silhouette
    p["jaw"] = p["jaw"] + 0.15 * (labels["beard"] == 4)
    for angle in ("yaw", "pitch", "roll"):
        p[angle + "_s"], p[angle + "_c"] = _sine_cosine(p[angle])
    norm = np.sqrt(p["light_x"] ** 2 + p["light_y"] ** 2 + 0.72)
    lx, ly, lz = p["light_x"] / norm, p["light_y"] / norm, np.sqrt(0.72) / norm
    # the head's frame is rolled, the light is not
    p["lx"], p["ly"], p["lz"] = lx * p["roll_c"] + ly * p["roll_s"], ly * p["roll_c"] - lx * p["roll_s"], lz
    half = np.sqrt(p["lx"] ** 2 + p["ly"] ** 2 + (p["lz"] + 1) ** 2)
    p["hx"], p["hy"], p["hz"] = p["lx"] / half, p["ly"] / half, (p["lz"] + 1) / half
    p["mid_x"], p["mid_y"] = _project(p, np.zeros_like(lx), np.zeros_like(lx), p["deep"] - 0.08)
    neck_x, neck_y = _project(p, np.zeros_like(lx), 1.0 + 0 * lx, 0.15 + 0 * lx)
    dx, dy = neck_x - p["mid_x"], neck_y - p["mid_y"]
    p["neck_x"] = dx * p["roll_c"] - dy * p["roll_s"]
    chin_x, chin_y = _project(p, np.zeros_like(lx), p["chin"], 0.7 + 0 * lx)
    dx, dy = chin_x - p["mid_x"], chin_y - p["mid_y"]
    p["chin_x"], p["chin_y"] = dx * p["roll_c"] - dy * p["roll_s"], dx * p["roll_s"] + dy * p["roll_c"]


def _project(p: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A point of the head in the viewer's frame (before roll): yaw about y, then pitch about x, no perspective."""
    across = x * p["yaw_c"] + z * p["yaw_s"]
    depth = z * p["yaw_c"] - x * p["yaw_s"]
    return across, y * p["pitch_c"] - depth * p["pitch_s"]


# --------------------------------------------------------------------------------------------------------- drawing


def _step(low, high, x):
    """Smooth 0..1 step of x from low to high."""
    t = np.clip((x - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _inside(distance, px):
    """Coverage of a pixel of width px whose centre lies at a signed distance (negative inside) from an edge."""
    return np.clip(0.5 - distance * (1.0 / px), 0.0, 1.0)


def _between(y, low, high, px):
    """Coverage of a pixel by the strip low < y < high; right also for strips thinner than the pixel."""
    inv = 1.0 / px
    return np.clip((high - y) * inv + 0.5, 0.0, 1.0) - np.clip(np.minimum(low - y, high - y) * inv + 0.5, 0.0, 1.0)


def _wave(t):
    """A smooth odd wave of period 1 and height 1, made of parabolas."""
    v = t - np.floor(t) - 0.5
    return v * (16.0 * np.abs(v) - 8.0)


def _spot(x, y, cx, cy, rx, ry):
    """A soft round spot: 1 at its centre, 0 at the ellipse of radii rx, ry and beyond."""
    u, v = (x - cx) * (1.0 / rx), (y - cy) * (1.0 / ry)
    k = np.maximum(1.0 - u * u - v * v, np.float32(0.0))
    return k * k


def _over(picture, colour, alpha):
    """Paint colour (three arrays or [3, ...]) over picture [3, C, h, w] with coverage alpha, in place."""
    for c in range(3):
        picture[c] += (colour[c] - picture[c]) * alpha


def _shade(picture, factor):
    """Multiply the picture by factor (an array, or three)."""
    for c in range(3):
        picture[c] *= factor[c] if isinstance(factor, (tuple, list)) else factor


class _Params:
    """A chunk's parameters: p.name is float32 [C, 1, 1], a colour [3, C, 1, 1]; labels are int64 [C, 1, 1]."""

    def __init__(self, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        for name, values in columns.items():
            v = values[rows]
            v = v if v.dtype == np.int64 else v.astype(np.float32)
            setattr(self, name, v[:, None, None] if v.ndim == 1 else v.T[:, :, None, None])


class _Region:
    """A rectangle of the picture: its pixels' coordinates, and the picture's part under it."""

    def __init__(self, p: _Params, size: int, rows: tuple[int, int], cols: tuple[int, int], warp: bool) -> None:
        gx = ((np.arange(*cols, dtype=np.float32) + np.float32(0.5)) * np.float32(1.0 / size))[None, None, :] - p.at_x
        gy = ((np.arange(*rows, dtype=np.float32) + np.float32(0.5)) * np.float32(1.0 / size))[None, :, None] - p.at_y
        gx, gy = np.broadcast_arrays(gx, gy)
        if warp:
            gx, gy = _droplet_lens(p, gx, gy)
        self.gx, self.gy = gx, gy  # fractions of the picture, from the point between the eyes
        self.bx, self.by = gx / p.zoom, gy / p.zoom  # the upright frame of neck and shoulders
        self.X = self.bx * p.roll_c + self.by * p.roll_s + p.mid_x  # the head's frame
        self.Y = self.by * p.roll_c - self.bx * p.roll_s + p.mid_y
        self.px = 1.0 / (size * p.zoom)  # a pixel's width in inter-eye distances
