"""Faces drawn by code: any number, any size, from a seed, each with its attributes, landmarks and identity.

A face is a head in three dimensions: a profile of half-ellipses (`_profile`) with a relief of smooth bumps (`_relief`).
Each pixel's ray is intersected with it, so eyes, nose, mouth and beard are painted in the head's own coordinates and
turn with it, and the light falls on real normals. Units are inter-eye distances: x to the picture's right, y down, z
towards the viewer; the point between the eyes is (0, 0). Colours are held as the squares of the sRGB values, which is
close to light.

Pixels are computed with + - * / sqrt, floor, comparisons and nothing else, because these are rounded alike in every
position of an array on every machine: a face is the same bit for bit whatever batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

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
# One row per hair style: top = thickness above the skull, side = thickness beside it, length = y where it ends,
# flare = widening on the way down, opening = half-width of the face's window, line = shift of the hairline,
# sweep = slant of the hairline, wave = waviness of strands, curl = curliness, rough = raggedness of the outline,
# back = whether it also hangs behind the neck.
_HAIR = {
    "bald": (0.00, 0.00, -0.9, 0.0, 1.02, -0.10, 0.00, 0.00, 0.0, 0.00, 0),
    "buzz": (0.035, 0.015, 0.02, -0.30, 0.98, -0.02, 0.00, 0.00, 0.0, 0.00, 0),
    "short": (0.24, 0.06, 0.08, -0.30, 0.96, -0.02, 0.04, 0.10, 0.4, 0.065, 0),
    "side part": (0.26, 0.09, 0.15, -0.30, 0.95, 0.00, 0.42, 0.03, 0.0, 0.01, 0),
    "fringe": (0.22, 0.14, 0.30, 0.0, 0.95, 0.58, 0.06, 0.03, 0.0, 0.02, 0),
    "bob": (0.22, 0.22, 1.45, 0.10, 0.93, 0.02, 0.30, 0.04, 0.0, 0.01, 1),
    "long straight": (0.17, 0.16, 3.30, 0.18, 0.93, 0.00, 0.10, 0.02, 0.0, 0.01, 1),
    "long wavy": (0.24, 0.28, 3.00, 0.40, 0.94, 0.00, 0.26, 0.30, 0.0, 0.05, 1),
    "curly": (0.36, 0.34, 1.35, 0.25, 0.93, 0.06, 0.05, 0.15, 1.0, 0.07, 1),
    "afro": (0.62, 0.62, 0.95, 0.00, 0.95, 0.02, 0.00, 0.05, 1.0, 0.05, 1),
    "bun": (0.09, 0.04, 0.05, -0.30, 0.97, -0.04, 0.00, 0.03, 0.0, 0.01, 0),
    "ponytail": (0.11, 0.05, 0.05, -0.30, 0.97, -0.04, 0.12, 0.03, 0.0, 0.01, 0),
}
_HAIR_FIELDS = ("top", "side", "length", "flare", "opening", "line", "sweep", "wave", "curl", "rough", "back")

# One row per expression: corners' lift, mouth's width, opening, brows' rise, inner brows' rise, eyes' opening, cheeks' rise.
_EXPRESSION = {
    "neutral": (0.00, 1.00, 0.00, 0.00, 0.00, 1.00, 0.0),
    "smile": (0.085, 1.14, 0.00, 0.01, 0.00, 0.90, 0.7),
    "open smile": (0.105, 1.20, 0.17, 0.02, 0.00, 0.84, 1.0),
    "sad": (-0.10, 0.95, 0.00, 0.01, 0.11, 0.88, 0.0),
    "surprised": (-0.02, 0.84, 0.27, 0.13, 0.03, 1.24, 0.0),
}
_EXPRESSION_FIELDS = ("lift", "wide", "open", "brow_up", "brow_in", "lids", "cheek")

_PIXELS = 32768  # pixels in flight: arrays of 128 KiB, a few of which stay in a core's cache


@dataclass(frozen=True)
class DrawnFaces:
    """Drawn faces and what is known about them.

    images: uint8 [N, 3, S, S]. attributes: one tensor [N] per name (colours [N, 3] in 0..1); `ATTRIBUTE_NAMES` names the
    values of the integer ones. landmarks: float32 [N, 5, 2], (x, y) in pixels from the picture's upper left corner, of
    the eye on the picture's left, the eye on its right, nose tip, left and right mouth corner. identity: int64 [N].
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
        dark = np.array([4, 3, 1.2, 0.4, 0.1, 0.05, 0.5, 0.25])
        light = np.array([1.3, 2, 2, 1.2, 1.8, 0.9, 0.7, 0.4])
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
    tint = np.stack([dice.spread(f"hair/{c}", 1, 0.012) for c in "rgb"], axis=1) * dice.spread("hair", 1, 0.06)[:, None]
    p["hair"] = np.clip(_rgb(list(HAIR_COLORS.values()))[labels["hair_color"]] * tint, 0.02, 0.95)
    p["iris"] = _rgb(list(EYE_COLORS.values()))[labels["eye_color"]] * dice.spread("iris", 1, 0.08)[:, None]
    p["half"] = 1.09 + 0.05 * build + dice.spread("half", 0, 0.04)
    p["skull"] = 1.72 + dice.spread("skull", 0, 0.04)
    p["chin"] = 1.74 + 0.16 * build + dice.spread("chin", 0, 0.06) - 0.03 * age
    p["jaw"] = -0.16 + 0.62 * build + dice.spread("jaw", 0, 0.12) + 0.08 * age
    p["deep"] = 1.42 + dice.spread("deep", 0, 0.03)
    p["eye_w"] = 0.262 + dice.spread("eye_w", 0, 0.013) - 0.012 * build
    p["eye_h"] = 0.118 + dice.spread("eye_h", 0, 0.013) - 0.022 * build - 0.012 * age
    p["eye_tilt"] = 0.03 + dice.spread("eye_tilt", 0, 0.06)
    p["lid"] = 0.062 + dice.spread("lid", 0, 0.016)
    p["lash"] = 0.030 - 0.014 * build
    p["brow_y"] = -0.345 + dice.spread("brow_y", 0, 0.024) + 0.05 * build
    p["brow_t"] = 0.055 + 0.045 * build + dice.spread("brow_t", 0, 0.016)
    p["brow_arch"] = 0.075 - 0.05 * build + dice.spread("brow_arch", 0, 0.014)
    p["brow_tilt"] = dice.spread("brow_tilt", 0, 0.02) + 0.015
    p["nose_y"] = 0.64 + dice.spread("nose_y", 0, 0.04) + 0.03 * build
    p["nose_w"] = 0.240 + dice.spread("nose_w", 0, 0.028) + 0.02 * build
    p["nose_h"] = 0.285 + dice.spread("nose_h", 0, 0.025)
    p["bridge"] = 0.16 + dice.spread("bridge", 0, 0.02)
    p["mouth_y"] = p["nose_y"] + 0.475 + dice.spread("mouth_y", 0, 0.025)
    p["mouth_w"] = 0.375 + dice.spread("mouth_w", 0, 0.028) + 0.02 * build
    p["lip_up"] = 0.098 + dice.spread("lip_up", 0, 0.018) - 0.022 * build - 0.015 * age
    p["lip_low"] = 0.140 + dice.spread("lip_low", 0, 0.02) - 0.02 * build - 0.015 * age
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
        "expose": dice.spread("expose", 0.99, 0.015),
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
    p["back_a"] = _hsv(hue, dice.uniform("back/s", 0.04, 0.38), dice.uniform("back/v", 0.25, 0.9))
    hue = hue + dice.spread("back/h2", 0, 0.1)
    p["back_b"] = _hsv(hue, dice.uniform("back/s2", 0.04, 0.38), dice.uniform("back/v2", 0.2, 0.8))
    p["back_x"], p["back_y"] = dice.uniform("back/x", -1, 1), dice.uniform("back/y", -1, 1)
    for i in range(7):
        p[f"disc{i}x"], p[f"disc{i}y"] = dice.uniform(f"disc{i}x", -0.5, 0.5), dice.uniform(f"disc{i}y", -0.5, 0.4)
        p[f"disc{i}r"], p[f"disc{i}a"] = dice.uniform(f"disc{i}r", 0.05, 0.14), dice.uniform(f"disc{i}a", 0.1, 0.5)
    return p


def _faults(dice: _Dice, chance: float, glasses: np.ndarray) -> dict[str, np.ndarray]:
    """Which planted faults a face has, each a float 0 or 1, and their parameters. At least one where there is any."""
    faulty = dice.uniform("uncanny") < chance
    dark = (glasses == ATTRIBUTE_NAMES["glasses"].index("sunglasses"))[:, None]  # no eyes to see behind them
    main = dice.pick("uncanny/main", np.where(dark, np.array([0.0, 1, 1, 1, 1]), np.ones(len(FAULTS))))
    p: dict[str, np.ndarray] = {}
    for i, name in enumerate(FAULTS):
        more = dice.uniform(f"uncanny/{name}") < 0.25
        hidden = dark[:, 0] & (name == "unequal_eyes")
        p["fault_" + name] = (faulty & ~hidden & (more | (main == i))).astype(np.float64)
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
    hangs = p["hair_back"] > 0
    p["hair_reach"] = np.where(hangs, p["hair_length"], 1.75)
    p["hair_length"] = np.where(hangs, 9.0, p["hair_length"])
    swept = (labels["hair_style"] <= _STYLE["buzz"]) | (labels["hair_style"] >= _STYLE["bun"])
    p["hair_tips"] = np.where(p["hair_line"] > 0.3, 1.0, np.where(swept, 0.12, 0.4))
    p["bun"] = ((labels["hair_style"] == _STYLE["bun"]) & ~hatted).astype(np.float64)
    p["hair_dense"] = np.where(labels["hair_style"] == _STYLE["buzz"], 0.80, 1.0) * (labels["hair_style"] > 0)
    p["expose"] = p["expose"] - 0.035 * np.clip(p["skin"].mean(axis=1) * 4 - 2.8, 0, 1)  # keeps white skin off the clip
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


def _positive(x):
    """max(x, 0); NumPy's clip is twice as fast as its maximum with a number."""
    return np.clip(x, 0.0, 1e9)


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
    k = _positive(1.0 - u * u - v * v)
    return k * k


def _is(label, value):
    """1.0 where a label has the value, else 0.0; float32, because a bool times a number would be float64."""
    return (label == value).astype(np.float32)


def _worn(label):
    """1.0 where a label is not its first value (none)."""
    return (label > 0).astype(np.float32)


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


def _droplet_lens(p: _Params, gx: np.ndarray, gy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bend the coordinates inside each planted droplet, as a drop of water on the picture would."""
    out_x, out_y = gx, gy
    for i in range(3):
        dx, dy = gx - getattr(p, f"drop{i}x"), gy - getattr(p, f"drop{i}y")
        bend = 1.6 * p.fault_droplets * _spot(dx, dy, 0.0, 0.0, getattr(p, f"drop{i}r"), getattr(p, f"drop{i}r"))
        out_x, out_y = out_x - bend * dx, out_y - bend * dy
    return out_x, out_y


def _droplet_sheen(p: _Params, picture: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> None:
    """The rim and the glint that make a droplet visible on a plain ground."""
    for i in range(3):
        r = getattr(p, f"drop{i}r")
        dx, dy = (gx - getattr(p, f"drop{i}x")) / r, (gy - getattr(p, f"drop{i}y")) / r
        q = dx * dx + dy * dy
        rim = _step(0.35, 0.85, q) * (1.0 - _step(0.85, 1.15, q)) * p.fault_droplets
        inner = (1.0 - _step(0.5, 1.1, q)) * p.fault_droplets
        _shade(picture, (1.0 - 0.55 * rim, 1.0 - 0.35 * rim, 1.0 - 0.15 * rim))
        _over(picture, (0.75, 0.9, 1.0), 0.16 * inner + 0.8 * p.fault_droplets * _spot(dx, dy, -0.35, -0.4, 0.4, 0.3))


def _profile(y, p: _Params, hair: bool, slopes: bool = True):
    """Squared half-width and half-depth of the head (or of the hair around it) at height y, and their derivatives.

    Both are half-ellipses in y from the widest line, at y = -0.25, bent by a factor 1 + m q that makes jaws square.
    """
    dy = y + 0.25
    low = (dy > 0).astype(np.float32)
    if hair:
        up, down, m_up, m_low = p.skull - 0.25 + p.hair_top, 0.25 + p.hair_reach, 0.55, p.hair_flare
        wide, deep = p.half + p.hair_side, p.deep + 0.5 * p.hair_side + 0.05
    else:
        up, down, m_up, m_low = p.skull - 0.25, p.chin + 0.25, 0.45, p.jaw
        wide, deep = p.half, p.deep
    inv = 1.0 / up + (1.0 / down - 1.0 / up) * low
    m = m_up + (m_low - m_up) * low
    t = dy * inv
    q = t * t
    if hair:  # long hair keeps its width and closes late
        k = q + (q * q * q - q) * low
        k1 = 1.0 + (3.0 * q * q - 1.0) * low if slopes else None
    else:
        k, k1 = q, 1.0
    w2, d2 = wide * wide, deep * deep
    body, bend = 1.0 - k, 1.0 + m * q
    n = 0.6 + 0.4 * low
    depth_bend = 1.0 + n * q
    a2, b2 = body * bend, body * depth_bend
    if not slopes:
        return a2 * w2, b2 * d2, None, None
    slope = 2.0 * t * inv
    da2, db2 = slope * (m * body - k1 * bend), slope * (n * body - k1 * depth_bend)
    return a2 * w2, b2 * d2, da2 * w2, db2 * d2


def _cast(p: _Params, X, Y, hair: bool):
    """Meet each ray with the head: its own coordinates (x, y, z), unit-free normal, and distance to the outline.

    With half-axes a, b at height y and yaw f, the outline's half-width is R = sqrt(a2 cos2 f + b2 sin2 f) and the depth
    (-X sin f cos f (a2 - b2) + a b sqrt(R2 - X2)) / R2; y depends on depth through the pitch, hence two rounds.
    """
    s, c = p.yaw_s, p.yaw_c
    inv_c = 1.0 / p.pitch_c
    depth = p.deep * 0.85
    for last in (False, True):
        y = (Y + depth * p.pitch_s) * inv_c
        a2, b2, da2, db2 = _profile(y, p, hair, slopes=last)
        a, b = np.maximum(a2, np.float32(0.004)), np.maximum(b2, np.float32(0.004))
        r2 = a * (c * c) + b * (s * s)
        gap = _positive(r2 - X * X)
        depth = (np.sqrt(a * b * gap) - X * (a - b) * (s * c)) / r2
    slope = da2 * (c * c) + db2 * (s * s)
    edge = X * X - (a2 * (c * c) + b2 * (s * s))
    distance = edge / np.sqrt(4.0 * X * X + slope * slope + 0.01)
    x, z = X * c - depth * s, X * s + depth * c
    nx, nz = x / a, z / b
    ny = -0.5 * (nx * nx * da2 + nz * nz * db2)
    return x, y, z, nx, ny, nz, distance


def _to_view(p: _Params, nx, ny, nz):
    """Rotate normals from the head's frame to the viewer's (before roll) and make them unit vectors."""
    inv = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-6)
    across = (nx * p.yaw_c + nz * p.yaw_s) * inv
    depth = nz * p.yaw_c - nx * p.yaw_s
    return across, (ny * p.pitch_c - depth * p.pitch_s) * inv, (ny * p.pitch_s + depth * p.pitch_c) * inv


def _bumps(p: _Params):
    """The face's relief: (height, x, y, radius x, radius y, mirrored) of each bump; the first ones shift what is painted."""
    ny = p.nose_y
    return (
        (p.nose_h, 0.0, ny - 0.01, p.nose_w * 1.2, 0.26, False),  # tip
        (p.bridge, 0.0, ny - 0.36, 0.24, 0.58, False),  # bridge
        (0.11, 0.0, p.mouth_y, 0.68, 0.50, False),  # muzzle
        (0.12, 0.0, p.chin - 0.22, 0.38, 0.30, False),  # chin
        (0.11, p.nose_w * 0.76, ny + 0.06, p.nose_w * 0.50, 0.13, True),  # wings
        (0.05, 0.40, p.brow_y + 0.03, 0.52, 0.22, True),  # brow ridge
        (-0.11, 0.47, 0.00, 0.46, 0.30, True),  # sockets
        (0.075, 0.50, 0.00, 0.29, 0.19, True),  # eyeballs
        (p.cheekbone + 0.05 * p.cheek, 0.70, 0.55 - 0.06 * p.cheek, 0.50, 0.42, True),
        (0.055, 0.0, p.mouth_y - 0.05, 0.42, 0.11, False),  # upper lip
        (0.065, 0.0, p.mouth_y + 0.08, 0.34, 0.12, False),  # lower lip
        (-0.06, 0.0, p.mouth_y + 0.235, 0.36, 0.13, False),  # groove under the lip
        (-0.05, 1.02, -0.45, 0.34, 0.55, True),  # temples
    )


def _relief(x, y, bumps, slopes: bool):
    """Height of the relief at (x, y) and, if asked, its slopes."""
    mirror = np.abs(x)
    height = np.float32(0.0)
    along, beside, down = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for size, cx, cy, rx, ry, pair in bumps:
        u, v = ((mirror if pair else x) - cx) * (1.0 / rx), (y - cy) * (1.0 / ry)
        k = _positive(1.0 - u * u - v * v)
        push = size * k
        height = height + push * k
        if slopes:
            if pair:
                beside = beside + push * u * (-4.0 / rx)
            else:
                along = along + push * u * (-4.0 / rx)
            down = down + push * v * (-4.0 / ry)
    if not slopes:
        return height
    return height, along + beside * np.sign(x), down


class _Head:
    """The head under a region: coverage, coordinates (x, y) on the face, the bare head's (x0, y0), normals to the viewer."""

    def __init__(self, p: _Params, region: _Region) -> None:
        x, y, z, nx, ny, nz, distance = _cast(p, region.X, region.Y, hair=False)
        bumps = _bumps(p)
        self.x0, self.y0 = x, y
        front = _positive(z)
        lean_x, lean_y = p.yaw_s / p.yaw_c, p.pitch_s / p.pitch_c
        for _ in range(2):  # a point that stands out by h is seen displaced by h tan(angle)
            h = _relief(self.x0 if _ == 0 else self.x, self.y0 if _ == 0 else self.y, bumps[:4], slopes=False)
            self.x, self.y = x - h * lean_x, y + h * lean_y
        _, hx, hy = _relief(self.x, self.y, bumps, slopes=True)
        fade = np.minimum(front, np.float32(1.0))
        self.nx, self.ny, self.nz = _to_view(p, nx - hx * nz * fade, ny - hy * nz * fade, nz)
        self.cover = _inside(distance, region.px)
        self.distance = distance

    def part(self, rows: slice, cols: slice) -> _Head:
        """The same head under a smaller rectangle."""
        small = object.__new__(_Head)
        for name, values in vars(self).items():
            setattr(small, name, np.ascontiguousarray(values[:, rows, cols]))
        return small

    def outline(self, own: tuple[slice, slice], box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """Coverage and distance in a box that reaches beyond the head's own."""
        rows, cols = (_meet(a, b) for a, b in zip(own, box))
        shape = (len(self.cover), box[0].stop - box[0].start, box[1].stop - box[1].start)
        cover, distance = np.zeros(shape, np.float32), np.full(shape, 9.0, np.float32)
        if rows.start < rows.stop and cols.start < cols.stop:
            here, there = (_from(rows, own[0]), _from(cols, own[1])), (_from(rows, box[0]), _from(cols, box[1]))
            cover[:, there[0], there[1]] = self.cover[:, here[0], here[1]]
            distance[:, there[0], there[1]] = self.distance[:, here[0], here[1]]
        return cover, distance


def _light(p: _Params, nx, ny, nz):
    """Light on skin with unit normals: three factors, 1 on a forehead seen from the front.

    Each channel is wrapped around the terminator by another amount, red most, as light scattered under skin is.
    """
    facing = nx * p.lx + ny * p.ly + nz * p.lz
    ambient = (1.0 - p.key) * (0.86 - 0.20 * ny + 0.14 * nz)
    ref = p.lz * 0.99 - p.ly * 0.12
    factors = []
    for wrap, cool in ((0.52, 1.0), (0.30, 1.0), (0.23, 1.03)):
        lit = _positive((facing + wrap) * (1.0 / (1.0 + wrap)))
        lit_ref = (ref + wrap) / (1.0 + wrap)
        factor = (ambient * cool + p.key * lit) * (p.expose / ((1.0 - p.key) * 1.02 * cool + p.key * lit_ref))
        factors.append(factor - 0.45 * _positive(factor - 1.0))  # keeps fair skin from clipping
    return factors


def _shadow(amount):
    """Three factors of a soft shadow of 0..1 on skin: blue goes first, red last."""
    return 1.0 - 0.78 * amount, 1.0 - amount, 1.0 - 1.06 * amount


def _square(rgb):
    return rgb * rgb


def _background(p: _Params, region: _Region) -> np.ndarray:
    gx, gy = region.gx, region.gy
    a, b = _square(p.back_a), _square(p.back_b)
    slope = np.clip(0.5 + (gx * p.back_x + gy * p.back_y) * 0.9, 0.0, 1.0)
    mix = slope * _worn(p.background) + 0.25 * _is(p.background, 0) * (gx * gx + gy * gy)
    picture = np.stack([a[c] + (b[c] - a[c]) * mix for c in range(3)])
    rows = np.flatnonzero(p.background == 2)
    if len(rows):
        some = np.ascontiguousarray(picture[:, rows])
        x, y, ground = gx[rows], gy[rows], a[:, rows]
        for i in range(7):
            dx, dy = x - getattr(p, f"disc{i}x")[rows], y - getattr(p, f"disc{i}y")[rows]
            r = getattr(p, f"disc{i}r")[rows]
            disc = 1.0 - _step(0.8, 1.15, (dx * dx + dy * dy) * (1.0 / (r * r)))
            colour = (0.35 + 0.65 * ground[0], 0.35 + 0.6 * ground[1], 0.3 + 0.55 * ground[2])
            _over(some, colour, disc * getattr(p, f"disc{i}a")[rows])
        picture[:, rows] = some
    if (p.background == 3).any():
        on = (p.background == 3).astype(np.float32) * 0.7
        side = np.where(p.back_x > 0, np.float32(1.0), np.float32(-1.0))
        pane = _step(0.10, 0.24, gx * side) * (1.0 - _step(0.28, 0.44, gy))
        pane = pane * (1.0 - 0.6 * _spot(gx * side, gy, 0.34, 0.0, 0.04, 9.0))
        _over(picture, (0.86, 0.90, 0.94), pane * on)
    _shade(picture, 1.04 - 0.45 * (gx * gx + gy * gy))
    return picture


def _fade(cycles, px):
    """How much of a wave of so many cycles per unit a picture with pixels of px can show."""
    return np.clip(1.7 - 3.4 * cycles * px, 0.0, 1.0)


class _Hair:
    """The hair under a region: colour [3][C, h, w], coverage of the part before the face and of the part behind it."""

    def __init__(self, p: _Params, region: _Region) -> None:
        px = region.px
        x, y, z, nx, ny, nz, distance = _cast(p, region.X, region.Y, hair=True)
        nx, ny, nz = _to_view(p, nx, ny, nz)
        turn = np.where(p.part > 0, np.float32(1.0), np.float32(-1.0))
        wide = np.abs(x) + np.abs(z) * 0.5 + 0.35
        u = x / wide  # constant along a strand
        strands, bulk, edge = self._texture(p, x, y, u, turn, px)
        distance = distance + edge
        shape = _inside(distance, px * 1.3 + 0.015 + 0.07 * p.hair_curl)
        ragged = 0.05 * _wave(u * 5.3 + p.phase0) + 0.035 * _wave(u * 12.7 + p.phase1)
        ragged = ragged + 0.025 * _wave(u * 29.0 + p.phase2) * _fade(20.0, px)
        slant = p.hair_sweep * np.clip(x * turn + 0.35, -0.2, 1.1) * 0.62
        oh = 0.15 - (p.hairline + p.hair_line)
        dy = np.minimum(y - 0.15 - slant - ragged * p.hair_tips, np.float32(0.0)) / oh
        dx = x / (p.hair_opening + 0.02 * bulk)
        dx, dy = dx * dx, dy * dy
        around = (np.sqrt(np.sqrt(dx * dx + dy * dy)) - 1.0) * 0.9
        soft = px + 0.07 + 0.06 * (p.hair_style <= 2).astype(np.float32) + 0.04 * (p.hair_line > 0.3).astype(np.float32)
        window = np.clip(0.5 + around / soft, 0.0, 1.0)
        around_ear = 0.34 * (1.0 - p.hair_back) * _step(0.95, 1.08, np.abs(x))
        fringe = ragged * (0.6 + 0.8 * p.hair_back)
        ends = _inside(y - p.hair_length + around_ear - fringe, px + 0.10 + 0.16 * (1.0 - p.hair_back))
        self.front = shape * window * ends * p.hair_dense
        self.shadow = _step(-0.20, 0.03, around) * ends * (0.34 * p.hair_dense)
        self.back = shape * p.hair_back
        if (p.hair_style == _STYLE["bun"]).any() or (p.hair_style == _STYLE["ponytail"]).any():
            self._tied(p, region)
        facing = nx * p.lx + ny * p.ly + nz * p.lz
        half = nx * p.hx + ny * p.hy + nz * p.hz
        along = p.hy - ny * half + 0.10 * strands + 0.16
        gloss = _positive(1.0 - along * along * 2.2)
        gloss = gloss * gloss
        gloss = gloss * gloss * _positive(half) * (0.6 + 0.4 * strands)
        rim = 1.0 - nz
        lit = 0.52 + 0.62 * _positive(facing * 0.75 + 0.25) + 0.12 * bulk
        lit = lit * (1.0 + 0.42 * strands) * (1.0 - 0.25 * rim * rim)
        near = np.clip(around * 1.8, 0.0, 1.0)  # the hair's root and the inside of a curtain are in shade
        lit = lit * (0.72 + 0.28 * near)
        base = _square(p.hair)
        shine = gloss * (0.10 * (1.0 - 0.85 * p.hair_curl) * (p.hair_style > 1).astype(np.float32))
        self.colour = [base[c] * lit + (0.35 + 1.1 * base[c]) * shine for c in range(3)]

    @staticmethod
    def _texture(p: _Params, x, y, u, turn, px):
        """Strands (-1..1, fine), bulk (locks, -1..1) and the outline's roughness, of waves along and across the strands."""
        bend = p.hair_wave * (0.14 * _wave(y * 0.75 + p.phase2 + 0.5 * u) + 0.06 * _wave(y * 1.7 + p.phase3))
        v = u + bend + p.hair_sweep * 0.14 * turn * (np.minimum(y, np.float32(0.4)) + 1.2)
        locks = _wave(v * 5.3 + p.phase4)
        fine = 0.22 * locks * _fade(4.0, px)
        fine = fine + 0.20 * _wave(v * 8.3 + p.phase0 + 0.2 * bend) * _fade(6.0, px)
        fine = fine + 0.36 * _wave(v * 13.7 + p.phase5 + 0.3 * locks) * _fade(9.0, px)
        fine = fine + 0.32 * _wave(v * 31.0 + p.phase6 + 0.1 * y) * _fade(20.0, px)
        fine = fine + 0.28 * _wave(v * 67.0 + p.phase7 - 0.2 * y) * _fade(45.0, px)
        edge = p.hair_rough * (0.5 * _wave(x * 0.9 + y * 1.1 + p.phase6) + 0.5 * _wave(y * 1.9 - x * 1.3 + p.phase7))
        bulk = locks
        if (p.hair_curl > 0).any():
            wx = x + 0.21 * _wave(y * 1.3 + p.phase2) + 0.09 * _wave(y * 2.9 + x * 1.7 + p.phase0)
            wy = y + 0.19 * _wave(x * 1.1 + p.phase3) + 0.10 * _wave(x * 2.7 - y * 2.3 + p.phase1)
            curls = _wave(wx * 2.1 + 0.30 * _wave(wy * 1.7)) * _wave(wy * 2.4 + 0.25 * _wave(wx * 2.2) + p.phase5)
            curls = curls * _fade(2.4, px)
            small = _wave(wx * 4.3 + wy * 1.9 + 0.5 * curls + p.phase6) * _wave(wy * 4.9 - wx * 1.3 + 0.6 * curls)
            small = small * _fade(5.0, px)
            tiny = _wave(wx * 9.0 - wy * 5.0 + 0.8 * small) * _wave(wy * 8.0 + wx * 4.0 + 0.7 * curls) * _fade(10.0, px)
            fine = fine + (0.75 * curls + 0.6 * small + 0.5 * tiny - fine) * p.hair_curl
            bulk = bulk + (curls - bulk) * p.hair_curl
            edge = edge + p.hair_curl * p.hair_rough * (0.9 * curls + 0.5 * small)
        return fine, bulk, edge

    def _tied(self, p: _Params, region: _Region) -> None:
        """The bun above the head and the tail beside the neck, both behind the head."""
        X, Y, px = region.X, region.Y, region.px
        bx, by = -0.3 * p.yaw_s, -p.skull - 0.12
        bun = np.sqrt(_square(X - bx) + _square((Y - by) * 1.12)) - 0.44
        self.back = self.back + p.bun * _inside(bun, px * 1.5)
        turn = np.where(p.part > 0, np.float32(1.0), np.float32(-1.0))
        t = np.clip((Y + 0.7) * (1.0 / 3.1), 0.0, 1.0)
        centre = turn * (0.85 + 0.62 * t * (2.0 - t) - 0.25 * t * t) + 0.05 * _wave(Y * 0.5 + p.phase3)
        half = 0.13 * (1.0 - t) + 0.62 * t * (1.0 - t) * (1.4 - 0.6 * t)
        tail = np.maximum(np.abs(X - centre) - half, np.maximum(-0.9 - Y, Y - 2.35 - 0.1 * _wave(X * 2.0 + p.phase0)))
        self.back = self.back + _is(p.hair_style, _STYLE["ponytail"]) * _inside(tail, px * 2.0)


def _body(p: _Params, region: _Region, picture: np.ndarray, _: object) -> None:
    """Neck, shoulders and clothes, upright below the head, with the shadow that the chin throws."""
    px = region.px
    y = region.by
    x = region.bx - p.neck_x * 0.75
    neck_half = 0.60 + 0.20 * p.build + 0.05 * _step(1.2, 2.0, y)
    ax = np.abs(x + p.lean * 0.3 * (y - 2.0))
    slope = np.minimum(ax - 0.55, np.float32(9.0))
    trapeze = 1.88 + 0.10 * (1.0 - p.build) + 0.36 * _positive(slope) - 0.03 * slope * slope
    shoulder = (trapeze - y) * 0.9
    neck = np.maximum(ax - neck_half, 0.3 - y)
    k = np.clip(0.5 + (shoulder - neck) * 1.6, 0.0, 1.0)  # a smooth union: the neck flows into the shoulders
    distance = shoulder + (neck - shoulder) * k - k * (1.0 - k) * 0.30
    on_neck = 1.0 - _step(-0.25, 0.25, neck)
    tilt = x / neck_half
    nx = np.clip(tilt * on_neck + 0.30 * x * (1.0 - on_neck), -0.95, 0.95)
    ny = -0.10 - 0.45 * (1.0 - on_neck)
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, np.float32(0.05)))
    lit = _light(p, nx, ny, nz)
    skin = _square(p.skin)
    drop = _step(0.0, 0.85, y - p.chin_y + 0.12 + 0.25 * ax * ax + 0.25 * p.light_y)
    under = 0.62 * (1.0 - drop) + 0.08
    muscle = 0.12 * _spot(ax, y, 0.30 + 0.10 * (2.6 - y), 2.2, 0.16, 0.7)
    shade = _shadow(np.minimum(under + muscle, np.float32(0.9)))
    cover = _inside(distance, px)
    _over(picture, [skin[c] * lit[c] * shade[c] for c in range(3)], cover)
    collar = _collar(p, ax, y)
    cloth = _square(p.cloth)
    folds = 0.09 * _wave(x * 0.55 + 0.35 * _wave(y * 0.6 + p.phase2) + p.phase3) + 0.05 * _wave(x * 1.3 - y * 0.8 + p.phase4)
    folds = folds + 0.02 * _is(p.clothing, 3) * _wave(x * 6.0) * _fade(6.0, px)
    near = 0.22 * (1.0 - _step(0.0, 0.22, collar * -1.0))  # the hem's own dark line
    warm = [cloth[c] * (lit[c] * 0.85) * (1.0 + folds) * (1.0 - near) * (1.0 - 0.35 * (1.0 - drop)) for c in range(3)]
    flap = _between(collar, -0.24 + 0.10 * ax, 0.0, px) * _is(p.clothing, 2)
    edge = _between(collar, -0.30 + 0.10 * ax, -0.23 + 0.10 * ax, px + 0.03) * _is(p.clothing, 2)
    warm = [c * (1.0 + 0.30 * flap) * (1.0 - 0.35 * edge) for c in warm]
    fabric = _inside(np.maximum(distance - 0.05, collar), px * 1.2)
    hem = np.clip(_inside(collar - 0.10, px * 2.5) - _inside(collar, px), 0.0, 1.0) * cover
    _shade(picture, _shadow(0.28 * hem))
    _over(picture, warm, fabric)


def _collar(p: _Params, ax, y):
    """Signed distance below which (negative) there is cloth."""
    kind = p.clothing
    crew = 2.12 + 0.22 * _positive(1.0 - ax * ax * 1.3)
    vee = 2.06 + 0.70 * _positive(1.0 - ax * 1.6)
    shirt = 1.90 + 0.62 * _positive(1.0 - ax * 2.0) + 0.10 * ax
    high = 1.74 + 0.10 * _positive(1.0 - ax * ax)
    line = crew * _is(kind, 0) + vee * _is(kind, 1) + shirt * _is(kind, 2) + high * _is(kind, 3)
    return (line - y) * 0.8


def _ear(p: _Params, side: float, region: _Region, picture: np.ndarray, covered, distance) -> None:
    """An ear at the widest line; the one on the far side of a turned head hides behind it."""
    skin = _square(p.skin)
    cx, cy = _project(vars(p), np.float32(side) * (p.half + 0.02), np.float32(0.16), np.float32(-0.05))
    x, y = (region.X - cx) * side, region.Y - cy
    y2 = y - 0.02
    lean = x - 0.12 * (0.35 - y2)
    egg = 0.155 - 0.06 * y2
    q = np.sqrt(_square(lean / egg) + _square(y2 * (1.0 / 0.34)))
    near = np.clip(0.25 - p.yaw_s * (side * 3.0), 0.0, 1.0)
    cover = _inside((q - 1.0) * 0.17, region.px) * np.maximum(1.0 - covered, near * _step(-0.24, -0.10, distance))
    nx = np.clip(0.55 + 0.5 * lean / egg, -0.9, 0.95) * side
    ny = 0.35 * y2
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, np.float32(0.1)))
    lit = _light(p, nx, ny, nz)
    bowl = 0.42 * _spot(lean, y2, -0.02, 0.02, 0.13, 0.24) + 0.16 * _spot(lean, y2, 0.02, -0.17, 0.11, 0.12)
    shade = _shadow(np.minimum(bowl + 0.20 * (1.0 - _step(0.0, 0.20, distance)), np.float32(0.8)))
    warm = (1.0, 0.92, 0.90)
    _over(picture, [skin[c] * lit[c] * shade[c] * warm[c] for c in range(3)], cover)


def _skin(p: _Params, region: _Region, head: _Head, picture: np.ndarray) -> None:
    """The bare head: base colour, blush, uneven pigment, light, the soft shadows and the shine."""
    x, y, px = head.x, head.y, region.px
    ax = np.abs(x)
    base = _square(p.skin)
    fair = np.clip(base[1] * 3.0 - 1.5, 0.0, 1.0)  # blood shows through fair skin: the swatches alone look like plaster
    base = [base[0], base[1] * (1.0 - 0.045 * fair), base[2] * (1.0 - 0.070 * fair)]
    lit = _light(p, head.nx, head.ny, head.nz)
    blush = (0.75 + 0.3 * p.cheek) * _spot(ax, y, 0.74, 0.60, 0.55, 0.46) + 0.7 * _spot(x, y, 0.0, p.nose_y, 0.26, 0.22)
    blush = blush + 0.30 * _spot(x, y, 0.0, p.chin - 0.15, 0.5, 0.35) + 0.35 * _spot(ax, y, 0.48, 0.05, 0.40, 0.30)
    blush = blush * (0.09 + p.blush * 0.12)
    patch = 0.020 * _wave(x * 0.9 + y * 0.7 + p.phase0) + 0.018 * _wave(y * 1.3 - x * 1.1 + p.phase1)
    patch = patch + 0.012 * _wave(x * 2.7 + 0.4 * _wave(y * 2.1) + p.phase2) * _wave(y * 2.9 + p.phase3)
    pores = _wave(x * 9.7 + 0.7 * _wave(y * 7.3)) * _wave(y * 10.3 + 0.7 * _wave(x * 6.1))
    patch = patch + 0.014 * pores * _fade(12.0, px)
    hue = 0.025 * _wave(x * 0.6 - y * 0.8 + p.phase4)
    dark = _hollows(p, x, ax, y) + _lines(p, x, ax, y, px)
    rim = np.clip(1.0 - head.nz * 1.6, 0.0, 1.0)
    dark = np.minimum(dark + 0.22 * rim, np.float32(0.85))
    shade = _shadow(dark)
    half = _positive(head.nx * p.hx + head.ny * p.hy + head.nz * p.hz)
    gloss = half * half
    gloss = gloss * gloss
    gloss = gloss * gloss
    wide = gloss * gloss  # 16th power
    tight = wide * wide
    shine = 0.024 * wide + 0.060 * tight * tight
    tone = (1.0 + patch + hue + 0.5 * blush, 1.0 + patch - 0.8 * blush, 1.0 + patch - hue - 0.75 * blush)
    colour = [base[c] * tone[c] * lit[c] * shade[c] + shine * (1.0 - 0.9 * base[c]) for c in range(3)]
    if (p.freckles > 0).any():
        spots = _wave(x * 6.1 + 0.35 * _wave(y * 2.1)) * _wave(y * 6.7 + 0.35 * _wave(x * 1.7 + p.phase5))
        spots = _step(0.45, 0.85, spots * (0.8 + 0.4 * _wave(x * 1.9 - y * 2.3 + p.phase6))) * _fade(8.0, px)
        spots = spots * p.freckles * 0.30 * (_spot(ax, y, 0.45, 0.45, 0.6, 0.45))
        colour = [colour[c] * (1.0 - (0.5, 0.9, 1.1)[c] * spots) for c in range(3)]
    _over(picture, colour, head.cover)


def _hollows(p: _Params, x, ax, y):
    """The soft shadows that a brow, a nose, a lip and the sockets of the eyes throw or hold."""
    dark = 0.16 * _spot(ax, y, 0.28, -0.10, 0.26, 0.30)  # beside the bridge
    dark = dark + 0.13 * _spot(ax, y, 0.52, -0.17, 0.40, 0.17)  # under the brow
    dark = dark + (0.06 + 0.12 * p.age) * _spot(ax, y, 0.44, 0.20, 0.26, 0.11)  # under the eye
    slip = 0.10 * p.lx
    dark = dark + 0.34 * _spot(x, y, -slip, p.nose_y + 0.20, 0.30, 0.16)  # under the nose
    dark = dark + 0.20 * _spot(x, y, -0.28 * p.lx, p.nose_y - 0.05, 0.30, 0.40) * np.clip(-x * p.lx * 7.0, 0.0, 1.0)
    dark = dark + 0.30 * _spot(x, y, -slip, p.mouth_y + p.lip_low + 0.075, 0.30, 0.11)  # under the lip
    dark = dark + 0.10 * _spot(ax, y, p.mouth_w * p.wide + 0.05, p.mouth_y, 0.12, 0.12)  # corners of the mouth
    dark = dark + 0.10 * _spot(x, y, 0.0, p.nose_y + 0.26, 0.055, 0.17)  # philtrum
    return dark


def _lines(p: _Params, x, ax, y, px):
    """Wrinkles and folds as soft dark lines: cheek folds with age and smiling, forehead, crow's feet, bags."""
    t = np.clip((y - p.nose_y) * 2.2, 0.0, 1.0)
    fold_x = 0.27 + (0.24 + 0.07 * p.cheek) * t
    span = _step(0.0, 0.12, y - p.nose_y + 0.06) * (1.0 - _step(0.32, 0.60, y - p.nose_y))
    off = (ax - fold_x) * 9.0
    dark = np.clip(0.05 + 0.20 * p.age + 0.16 * p.cheek, 0.0, 0.4) * span * _positive(1.0 - off * off)
    old = np.clip(p.age * 1.8 - 0.75, 0.0, 1.0)
    if (old > 0).any():
        arc = y + 0.05 * ax * ax
        rows = _wave(arc * 6.2 + 0.06 * _wave(x * 0.8 + p.phase6)) * _spot(x, y, 0.0, -0.74, 0.80, 0.28)
        dark = dark + 0.24 * old * _positive(rows) * _fade(6.2, px)
        ray = _wave((y - 0.02) / np.maximum(ax - 0.62, np.float32(0.06)) * 0.9) * _spot(ax, y, 0.88, 0.03, 0.17, 0.20)
        dark = dark + (0.16 * old) * _positive(ray) * _fade(8.0, px)
        bag = (y - 0.245 + 0.45 * _square(ax - 0.48)) * 16.0
        dark = dark + 0.20 * old * _positive(1.0 - bag * bag) * _spot(ax, y, 0.48, 0.22, 0.32, 0.2)
    return dark


def _brows(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    x, y = head.x, head.y
    ax = np.abs(x)
    t = (ax - 0.50) * (1.0 / 0.36)  # -1 at the inner end, 1 at the outer
    tc = np.clip(t, -1.1, 1.2)
    line = p.brow_y - p.brow_up + p.brow_tilt * tc - p.brow_arch * (1.0 - 0.7 * _square(tc - 0.30)) + 0.03
    line = line - p.brow_in * _positive(0.4 - tc) * 0.7
    thick = p.brow_t * (1.0 - 0.62 * _step(-0.1, 1.15, t)) * (0.72 + 0.28 * _step(-1.1, -0.5, t))
    hairs = _wave(ax * 11.0 + y * (5.0 + 9.0 * tc) + p.phase1) * _fade(11.0, px)
    cover = _between(y, line - thick * (0.85 + 0.15 * hairs), line + thick * (0.75 + 0.2 * hairs), px + 0.035)
    cover = cover * _step(-1.16, -0.72, t) * (1.0 - _step(0.75, 1.18, t)) * (0.76 + 0.1 * p.build + 0.12 * hairs)
    hair = _square(p.hair) * 0.55 + 0.004
    _over(picture, hair, cover)


def _eye(p: _Params, side: float, odd, px, head: _Head, picture: np.ndarray) -> None:
    """One eye: lid and its crease, white, iris, pupil, highlight, lashes."""
    grow = 1.0 + 0.55 * odd
    half = p.eye_w * grow
    t = (head.x * side - 0.50) * (1.0 / half)  # -1 at the inner corner, 1 at the outer
    y = head.y - 0.10 * odd * p.fault_side + (p.eye_tilt * 0.5 - 0.05 * p.brow_in) * t
    tc = np.clip(t, -1.0, 1.0)
    arch = 1.0 - tc * tc
    up = -p.eye_h * p.lids * grow * arch * (1.0 - 0.22 * tc) * (1.35 - 0.35 * arch)
    low = (0.076 - 0.024 * p.cheek) * grow * arch * (1.0 + 0.25 * tc)
    skin = _square(p.skin)
    near = np.clip(1.0 - (t * t - 1.0) * 3.0, 0.0, 1.0)  # lid lines end a little beyond the corners
    crease = up - p.lid * (0.55 + 0.45 * arch)
    lid = _between(y, crease, up, px) * near
    _shade(picture, _shadow(0.10 * lid))
    _shade(picture, _shadow(0.42 * _between(y, crease - 0.016, crease + 0.012, px + 0.02) * near))
    opening = _between(y, up, low, px) * (t * t < 1.0)
    glow = 0.55 + 0.45 * np.clip(head.nz, 0.0, 1.0)
    depth = y - up
    shade = (0.50 + 0.50 * _step(0.0, 0.085, depth)) * (1.0 - 0.30 * tc * tc) * glow
    shade = shade * (0.60 + 0.40 * np.minimum(skin[0] * 2.2, np.float32(1.0)))  # eyes adapt to the face's exposure
    white = [0.74 * shade, 0.69 * shade, 0.66 * shade]
    _over(picture, white, opening)
    caruncle = _spot(t, y, -0.92, 0.01, 0.22, 0.05)
    _over(picture, (skin[0] * 0.75 + 0.08, skin[1] * 0.45, skin[2] * 0.42), opening * caruncle)
    _iris(p, side, odd, px, t * half, y, depth, glow, opening, picture)
    lash = p.lash + 0.012 + 0.014 * _step(-0.3, 1.0, t)
    wing = np.clip(1.0 - (t - 1.0) * 5.0, 0.0, 1.0) * (t > -1.0)
    dark = _between(y, up - lash, up + 0.012, px) * wing * (0.78 + 0.1 * (1.0 - p.build))
    ink = [0.010 + 0.05 * skin[c] + 0.05 * _square(p.hair)[c] for c in range(3)]
    _over(picture, ink, dark)
    _shade(picture, _shadow(0.36 * _between(y, low - 0.004, low + 0.016, px + 0.01) * near * _step(-0.9, 0.9, t + 0.3)))


def _iris(p: _Params, side: float, odd, px, across, y, depth, glow, opening, picture: np.ndarray) -> None:
    """Iris with its dark ring and rays, pupil and highlight, where the lids leave them open; depth is below the lid."""
    ix = across - p.gaze_x * side
    iy = y - p.gaze_y + 0.016
    r = np.sqrt(ix * ix + iy * iy) * (1.0 / (0.102 * (1.0 + 0.12 * odd)))
    disc = _inside((r - 1.0) * 0.102, px) * opening
    iris = _square(p.iris)
    rays = 1.0 + 0.16 * _wave((ix / (np.abs(iy) + 0.02)) * 0.55 + p.phase3) * _fade(14.0, px)
    ring = 1.12 - 0.72 * _step(0.55, 1.0, r)
    below = (0.60 + 0.40 * _step(0.01, 0.10, depth)) * (0.9 + 3.0 * iy)  # light gathers opposite the lamp
    tint = [iris[c] * (1.0 + (0.9, 0.6, -0.3)[c] * odd) * ring * rays * below * glow * 1.15 for c in range(3)]
    _over(picture, tint, disc)
    _over(picture, (0.004, 0.003, 0.003), _inside((r - 0.42) * 0.102, px) * opening)
    spark = _spot(ix, iy, 0.036 * p.lx * side, -0.036, 0.030 + 0.3 * px, 0.030 + 0.3 * px)
    _over(picture, (0.92, 0.93, 0.95), np.minimum(spark * 1.3, np.float32(1.0)) * opening * (0.9 - 2.2 * px))


def _nose(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    """Nostrils and the creases of the wings; the rest of the nose is relief."""
    ax, y = np.abs(head.x), head.y
    ny = p.nose_y
    u, v = (ax - p.nose_w * 0.50) / 0.075, (y - ny - 0.115 + 0.10 * (ax - 0.1)) / 0.034
    hole = _inside((np.sqrt(u * u + v * v) - 1.0) * 0.036, px + 0.02)
    _shade(picture, _shadow(0.78 * hole))
    u, v = (ax - p.nose_w * 0.80) / (p.nose_w * 0.42), (y - ny - 0.05) / 0.125
    q = np.sqrt(u * u + v * v)
    wing = _positive(1.0 - _square((q - 1.0) * 3.6)) * np.clip(u * 1.4 + 0.3, 0.0, 1.0) * _step(-0.9, 0.1, v)
    _shade(picture, _shadow(0.40 * wing))


def _beards(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    """Stubble, moustache, goatee and full beard, as coverage over the lower face with strands running down."""
    x, y = head.x, head.y
    ax = np.abs(x)
    my = p.mouth_y
    rag = 0.03 * _wave(x * 4.0 + p.phase0) + 0.02 * _wave(x * 9.0 + p.phase1)
    cheek_line = my - 0.02 - 1.05 * _step(0.42, 1.08, ax) + rag
    short = _is(p.beard, 1)
    jaw = _step(-0.06 - 0.12 * short, 0.13 + 0.20 * short, y - cheek_line)
    jaw = jaw * (1.0 - 0.7 * _spot(x, y, 0.0, my + p.lip_low + 0.10, 0.20, 0.10))
    tash_y = (p.nose_y + my - p.lip_up) * 0.5 + 0.07 + 0.22 * ax * ax
    tash = _inside(np.maximum(np.abs(y - tash_y) - 0.098 + 0.10 * ax, ax - 0.47), px + 0.08)
    u, v = x * (1.0 / 0.40), (y - my - 0.34) * (1.0 / 0.44)
    tuft = _inside((np.sqrt(u * u + v * v) - 1.0) * 0.4 + rag, px + 0.14) * _step(-0.10, 0.10, y - my)
    tuft = np.maximum(tuft, 0.8 * _spot(ax, y, 0.40, my + 0.08, 0.11, 0.26))
    kind = p.beard
    cover = 0.27 * _is(kind, 1) * np.maximum(jaw, tash * 0.8) + 0.9 * _is(kind, 2) * tash
    cover = cover + 0.88 * _is(kind, 3) * np.maximum(tuft, tash) + 0.92 * _is(kind, 4) * np.maximum(jaw, tash)
    bend = 0.35 * _wave(x * 1.3 + y * 1.7 + p.phase2) + 0.25 * _wave(x * 2.9 - y * 2.3 + p.phase3)
    strands = 0.45 * _wave(x * 8.3 + 0.9 * y + bend + p.phase4) * _fade(8.0, px)
    strands = strands + 0.5 * _wave(x * 19.0 - 1.5 * y + 0.9 * bend + p.phase5) * (
        0.6 + 0.4 * _wave(y * 2.1 + x * 3.0)
    ) * _fade(17.0, px)
    strands = strands + 0.4 * _wave(x * 41.0 + 3.0 * y - 0.8 * bend) * _fade(36.0, px)
    lit = _light(p, head.nx, head.ny, head.nz)
    base = _square(p.hair)
    colour = [base[c] * lit[c] * (0.72 + 0.3 * strands) * (1.06, 0.98, 0.95)[c] for c in range(3)]
    _over(picture, colour, np.clip(cover * (1.0 + 0.12 * strands), 0.0, 1.0) * head.cover)


def _mouth(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    """Lips with a cupid's bow around a line that the expression bends; teeth and tongue where it opens."""
    x, y = head.x, head.y
    t = x / (p.mouth_w * p.wide)
    tc = np.clip(t, -1.0, 1.0)
    arch = 1.0 - tc * tc
    soft_arch = arch * (1.6 - 0.6 * arch)
    line = p.mouth_y - p.lift * (tc * tc - 0.35) + 0.012 * _spot(tc, 0.0, 0.0, 0.0, 0.3, 1.0)
    upper_in = line - 0.22 * p.open * soft_arch
    lower_in = line + 0.78 * p.open * soft_arch
    bow = 1.0 - 0.24 * _spot(tc, 0.0, 0.0, 0.0, 0.28, 1.0)
    upper = upper_in - p.lip_up * (1.0 - 0.25 * p.cheek) * arch * bow * (1.25 - 0.25 * arch)
    lower = lower_in + p.lip_low * (1.0 - 0.15 * p.cheek) * soft_arch
    melt = p.fault_melted_teeth
    within = (t * t < 1.0).astype(np.float32)
    skin = _square(p.skin)
    blood = 0.10 + 0.14 * p.lip_tint
    red = (0.86 + 0.03 * p.lip_tint, 0.47 - 0.18 * p.lip_tint, 0.49 - 0.15 * p.lip_tint)
    lit = _light(p, head.nx, head.ny, head.nz)
    creases = 1.0 + 0.06 * _wave(x * 14.0 + 0.4 * tc * y) * _fade(14.0, px)
    dry = 1.0 - 0.10 * _spot(tc, y, 0.0, line, 1.0, 0.05)
    lips = [skin[c] * red[c] * lit[c] * creases * dry + (blood, 0.2 * blood, 0.25 * blood)[c] * 0.22 for c in range(3)]
    top = _between(y, upper, upper_in, px + 0.015) * within
    bottom = _between(y, lower_in, lower, px + 0.015) * within
    _over(picture, [0.84 * v for v in lips], top * 0.92)
    _over(picture, lips, bottom * 0.90)
    glint = _spot(x, y, 0.08 * p.lx, lower_in + p.lip_low * 0.45, 0.17, 0.045)
    _over(picture, (1.0, 0.96, 0.94), glint * (0.12 + 0.16 * p.lip_tint) * within)
    _teeth(p, x, y, tc, upper_in, lower_in, within, px, picture)
    closed = _between(y, line - 0.012, line + 0.014, px + 0.01) * within * (p.open < 0.03).astype(np.float32)
    _shade(picture, _shadow(0.72 * closed))
    corner = _spot(np.abs(t), y, 0.99, p.mouth_y - p.lift * 0.65, 0.12, 0.05)
    _shade(picture, _shadow(0.45 * corner))
    if (melt > 0).any():
        _melted(p, x, y, tc, upper_in, melt, px, picture)


def _teeth(p: _Params, x, y, tc, upper_in, lower_in, within, px, picture: np.ndarray) -> None:
    """What shows between open lips: darkness, tongue, the upper row of teeth."""
    gap = _between(y, upper_in, lower_in, px) * within
    _over(picture, (0.045, 0.010, 0.009), gap)
    tongue = _spot(x, y, 0.0, lower_in + 0.02, 0.24, 0.13) * gap
    _over(picture, (0.30, 0.075, 0.07), tongue * 0.8)
    smiling = np.where(p.expression == 4, np.float32(0.30), np.float32(0.70))
    teeth_end = upper_in + (lower_in - upper_in) * smiling * (1.0 - 0.12 * tc * tc)
    teeth = _between(y, upper_in + 0.006, teeth_end, px) * within * gap * (1.0 - _step(0.62, 0.97, np.abs(tc)))
    seam = _positive(1.0 - np.abs(_wave(x * (1.0 / 0.17))) * 9.0) * _fade(16.0, px)
    ivory = (1.0 - 0.42 * tc * tc) * (1.0 - 0.18 * seam) * (0.70 + 0.30 * _step(0.0, 0.06, y - upper_in))
    _over(picture, [0.70 * ivory, 0.65 * ivory, 0.57 * ivory], teeth)


def _melted(p: _Params, x, y, tc, upper_in, melt, px, picture: np.ndarray) -> None:
    """Teeth that ran: an uneven pale band hanging out of the mouth in drips, without seams that make sense."""
    drip = 0.26 + 0.14 * _wave(x * 2.3 + p.phase0) + 0.05 * _wave(x * 4.7 + p.phase1)
    end = upper_in + drip * (1.0 - tc * tc) * 1.35
    band = _between(y, upper_in - 0.03, end, px) * (tc * tc < 0.96) * melt
    _shade(picture, _shadow(0.5 * melt * _between(y, end, end + 0.06, px + 0.03) * (tc * tc < 0.9)))
    smear = 0.86 + 0.16 * _wave(x * 3.4 + 0.9 * _wave(y * 2.2 + p.phase2)) - 0.16 * _step(0.1, 0.4, y - upper_in)
    _over(picture, [0.80 * smear, 0.72 * smear, 0.60 * smear], band)


def _glasses(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    """Frames that float a little before the face, so that they slide over it when the head turns."""
    on = _worn(p.glasses)
    x = head.x0 - 0.22 * p.yaw_s
    y = head.y0 + 0.18 * p.pitch_s
    ax = np.abs(x)
    round_ = (p.glasses == 1).astype(np.float32)
    half_x, half_y = 0.42 - 0.05 * round_, 0.29 + 0.06 * round_
    u, v = (ax - 0.52) / half_x, (y - 0.06) / half_y
    u2, v2 = u * u, v * v
    circle = np.sqrt(u2 + v2)
    box = np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
    distance = ((box + (circle - box) * round_) - 1.0) * half_y
    dark = (p.glasses == 3).astype(np.float32)
    thick = 0.030 + 0.022 * (1.0 - round_)
    lens = _inside(distance, px) * on
    frame = _between(distance, -thick * 0.4, thick, px)
    bridge = _between(y, -0.045 + 0.25 * x * x, 0.015 + 0.25 * x * x, px) * (ax < 0.16) * _inside(-distance, px)
    arm = _between(y, -0.06, 0.0, px) * (ax > 0.85) * _inside(-distance, px)
    frame = np.clip(frame + bridge + arm, 0.0, 1.0) * on * head.cover
    _shade(picture, _shadow(0.22 * _between(distance, thick, thick + 0.09, px + 0.06) * on * (y > 0.0) * (1.0 - dark)))
    tint = lens * (0.07 + 0.87 * dark)
    glass = _square(p.glass_rgb)
    _over(picture, [0.02 + 0.12 * glass[c] + 0.05 * (0.5 - v) * dark for c in range(3)], tint)
    streak = _between(x + 0.8 * y, 0.28, 0.42, px + 0.05) + _between(x + 0.8 * y, -0.72, -0.58, px + 0.05)
    _over(picture, (0.9, 0.95, 1.0), lens * streak * (0.10 + 0.10 * dark))
    light = 0.75 + 0.5 * np.clip(-v * 0.5, 0.0, 1.0)
    _over(picture, [glass[c] * light for c in range(3)], frame)


def _hats(p: _Params, region: _Region, picture: np.ndarray, _: object) -> None:
    """A knitted cap with a folded rim, or a hat with a wide brim."""
    px = region.px
    x, y, z, nx, ny, nz, distance = _cast(p, region.X, region.Y, hair=True)
    nx, ny, nz = _to_view(p, nx, ny, nz)
    facing = _positive(nx * p.lx + ny * p.ly + nz * p.lz)
    lit = 0.45 + 0.65 * facing
    knit = (p.hat == 1).astype(np.float32)
    brim_hat = (p.hat == 2).astype(np.float32)
    line = -0.72 + 0.06 * np.abs(x) * knit + (0.02 - 0.08 * x * x) * brim_hat
    crown = _inside(np.maximum(distance - 0.06, y - line), px + 0.02)
    ribs = (1.0 + 0.16 * _wave(x / (np.abs(x) + np.abs(z) * 0.5 + 0.35) * 15.0) * _fade(12.0, px) * knit) * lit
    fold = _between(y, line - 0.34, line, px) * knit + 0.8 * _between(y, line - 0.20, line, px) * brim_hat
    ribs = ribs * (1.0 + (0.22 * knit - 0.5 * brim_hat) * fold)
    ribs = ribs * (1.0 - 0.4 * _between(y, line - 0.37, line - 0.33, px + 0.02) * knit)
    cap = _square(p.cap)
    below = _between(y, line, line + 0.16 + 0.1 * brim_hat, px + 0.10) * _inside(distance, px)
    _shade(picture, _shadow(0.35 * below * _worn(p.hat)))
    bx, by = region.X - 0.25 * p.yaw_s, region.Y + 0.80 + 0.5 * p.pitch_s
    sag = by - 0.05 * bx * bx
    oval = (np.sqrt(_square(bx * (1.0 / 2.0)) + _square(sag * (1.0 / 0.26))) - 1.0) * 0.25
    upper = 0.58 + 0.5 * np.clip(-sag * 2.0, -0.4, 0.6) + 0.10 * p.lx * bx
    _over(picture, [cap[c] * upper for c in range(3)], _inside(oval, px) * brim_hat)
    _over(picture, [cap[c] * ribs for c in range(3)], crown * _worn(p.hat))


def _earrings(p: _Params, side: float, region: _Region, picture: np.ndarray, covered, _: object) -> None:
    """A stud or a hoop at the lobe; a mismatched pair is a large gold hoop and a large coloured drop."""
    px = region.px
    wrong = p.fault_mismatched_earrings
    cx, cy = _project(vars(p), np.float32(side) * (p.half + 0.03), np.float32(0.56), np.float32(0.0))
    near = _is(p.yaw_s * side < 0.05, True)
    shown = np.maximum(np.maximum(near, wrong), 1.0 - covered)  # the far one is behind the head
    x, y = region.X - cx - 0.05 * side, region.Y - cy
    r = np.sqrt(x * x + y * y)
    gold = _square(p.gold)
    stud = _inside(r - 0.060, px) * _is(p.earrings, 1) * (1.0 - wrong)
    ring = np.sqrt(_square(x * 1.25) + _square(y - 0.20)) - 0.19
    hoop = _between(ring, -0.028, 0.028, px) * _is(p.earrings, 2) * (1.0 - wrong)
    glint = 0.75 + 0.6 * _spot(x, y, -0.02, -0.03, 0.05, 0.05) + 0.35 * _wave(y * 2.0 + x)
    _over(picture, [gold[c] * glint for c in range(3)], (stud + hoop) * shown)
    this = wrong * _is(p.fault_side, side)
    big = np.sqrt(x * x + _square(y - 0.33)) - 0.31
    _over(picture, (0.80 * glint, 0.55 * glint, 0.10 * glint), _between(big, -0.05, 0.05, px) * this)
    drop = np.sqrt(_square(x * 1.4) + _square(y - 0.18)) - 0.20
    shine = 0.7 + 0.9 * _spot(x, y, -0.05, 0.10, 0.12, 0.12)
    _over(picture, (0.04 * shine, 0.30 * shine, 0.55 * shine), _inside(drop, px) * (wrong - this))


# Rectangles (left, right, top, bottom) in inter-eye distances outside which a layer draws nothing, whatever the pose and the
# face: from the head's axis (True) or from the point between the eyes (False). Only speed depends on them.
_BOXES = {
    "head": (-1.40, 1.40, -2.0, 2.35, True),
    "eyes": (-1.05, 1.05, -0.80, 0.50, False),
    "mouth": (-0.95, 0.95, 0.15, 2.0, False),
    "beard": (-1.40, 1.40, -0.35, 2.35, True),
    "glasses": (-1.40, 1.40, -0.90, 0.95, True),
    "hat": (-2.30, 2.30, -2.40, -0.10, True),
    "short hair": (-1.80, 1.80, -2.90, 0.85, True),
    "long hair": (-2.40, 2.40, -3.00, 4.00, True),
    "left ear": (-1.85, -0.50, -0.70, 1.60, True),
    "right ear": (0.50, 1.85, -0.70, 1.60, True),
    "body": (-9.0, 9.0, 0.2, 9.0, False),
}


class _Sheet:
    """A chunk's picture [3, C, h, size] for rows [top, bottom), and rectangles of it."""

    def __init__(self, p: _Params, size: int, rows: tuple[int, int]) -> None:
        self.p, self.size, self.rows = p, size, rows
        self.warp = bool((p.fault_droplets > 0).any())
        self.full = _Region(p, size, rows, (0, size), self.warp)
        self.picture = _background(p, self.full)

    def box(self, name: str) -> tuple[slice, slice] | None:
        """The pixels of a box of _BOXES, for all faces of the chunk; None if there are none in these rows."""
        top, bottom = self.rows
        if self.warp:  # a droplet shows what lies elsewhere
            return slice(0, bottom - top), slice(0, self.size)
        p = self.p
        left, right, above, below, axis = _BOXES[name]
        shift_x, shift_y = (p.mid_x, p.mid_y) if axis else (0.0, 0.0)
        corners = [(x - shift_x, y - shift_y) for x in (left, right) for y in (above, below)]
        across = [(x * p.roll_c - y * p.roll_s) * p.zoom + p.at_x for x, y in corners]
        down = [(x * p.roll_s + y * p.roll_c) * p.zoom + p.at_y for x, y in corners]
        x0, x1 = (int(f(across) * self.size) for f in (np.min, np.max))
        y0, y1 = (int(f(down) * self.size) for f in (np.min, np.max))
        rows = slice(min(max(y0 - 1, top), bottom) - top, min(max(y1 + 2, top), bottom) - top)
        cols = slice(min(max(x0 - 1, 0), self.size), min(max(x1 + 2, 0), self.size))
        return None if rows.start == rows.stop or cols.start == cols.stop else (rows, cols)

    def region(self, rows: slice, cols: slice) -> _Region:
        top = self.rows[0]
        return _Region(self.p, self.size, (top + rows.start, top + rows.stop), (cols.start, cols.stop), self.warp)

    def on_region(self, name: str, layer) -> None:
        """Run layer(p, region, picture, box) on the box's part of the sheet."""
        box = self.box(name)
        if box is not None:
            picture = np.ascontiguousarray(self.picture[:, :, box[0], box[1]])
            layer(self.p, self.region(*box), picture, box)
            self.picture[:, :, box[0], box[1]] = picture

    def on_head(self, name: str, layer, head: _Head, own: tuple[slice, slice]) -> None:
        """Run layer(p, head, px, picture) where the box meets the head's own box."""
        box = self.box(name)
        if box is None:
            return
        rows, cols = (_meet(a, b) for a, b in zip(own, box))
        if rows.start < rows.stop and cols.start < cols.stop:
            picture = np.ascontiguousarray(self.picture[:, :, rows, cols])
            layer(self.p, head.part(_from(rows, own[0]), _from(cols, own[1])), self.full.px, picture)
            self.picture[:, :, rows, cols] = picture


def _meet(a: slice, b: slice) -> slice:
    return slice(max(a.start, b.start), min(a.stop, b.stop))


def _from(a: slice, b: slice) -> slice:
    return slice(a.start - b.start, a.stop - b.start)


def _paint(p: _Params, size: int, rows: tuple[int, int]) -> np.ndarray:
    """Draw a chunk's rows [rows[0], rows[1]), back to front: squared colours [3, C, h, size]."""
    sheet = _Sheet(p, size, rows)
    long = bool((p.hair_back > 0).any() or (p.hair_style == _STYLE["ponytail"]).any())
    hair_box = sheet.box("long hair" if long else "short hair") if (p.hair_style > 0).any() else None
    hair = _Hair(p, sheet.region(*hair_box)) if hair_box else None
    if hair:
        _over(sheet.picture[:, :, hair_box[0], hair_box[1]], [0.42 * c for c in hair.colour], np.clip(hair.back, 0.0, 1.0))
    sheet.on_region("body", _body)
    head_box = sheet.box("head")
    if head_box:
        _paint_head(p, sheet, head_box, hair, hair_box)
    if hair:
        _over(sheet.picture[:, :, hair_box[0], hair_box[1]], hair.colour, hair.front)
    if (p.hat > 0).any():
        sheet.on_region("hat", _hats)
    if head_box and ((p.earrings > 0).any() or (p.fault_mismatched_earrings > 0).any()):
        _both_sides(sheet, _earrings, sheet.head, head_box)
    if sheet.warp:
        flat = _Region(p, size, rows, (0, size), False)
        _droplet_sheen(p, sheet.picture, flat.gx, flat.gy)
    return sheet.picture


def _both_sides(sheet: _Sheet, layer, head: _Head, head_box: tuple[slice, slice]) -> None:
    """Run layer(p, side, region, picture, head's coverage, distance to its outline) at either ear."""
    for side, name in ((-1.0, "left ear"), (1.0, "right ear")):
        sheet.on_region(
            name, lambda p, region, picture, box, s=side: layer(p, s, region, picture, *head.outline(head_box, box))
        )


def _paint_head(p: _Params, sheet: _Sheet, box: tuple[slice, slice], hair: _Hair | None, hair_box) -> None:
    """The head with everything on it but the hair, and the hair's shadow."""
    region = sheet.region(*box)
    head = sheet.head = _Head(p, region)
    _skin(p, region, head, sheet.picture[:, :, box[0], box[1]])
    _both_sides(sheet, _ear, head, box)
    if (p.beard > 0).any():
        sheet.on_head("beard", _beards, head, box)
    sheet.on_head("mouth", _lower_face, head, box)
    sheet.on_head("eyes", _upper_face, head, box)
    if (p.glasses > 0).any():
        sheet.on_head("glasses", _glasses, head, box)
    if hair:
        rows, cols = (_meet(a, b) for a, b in zip(box, hair_box))
        shadow = hair.shadow[:, _from(rows, hair_box[0]), _from(cols, hair_box[1])]
        cover = head.cover[:, _from(rows, box[0]), _from(cols, box[1])]
        _shade(sheet.picture[:, :, rows, cols], _shadow(shadow * cover))


def _lower_face(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    _nose(p, head, px, picture)
    _mouth(p, head, px, picture)


def _upper_face(p: _Params, head: _Head, px, picture: np.ndarray) -> None:
    for side in (-1.0, 1.0):
        _eye(p, side, p.fault_unequal_eyes * _is(p.fault_side, side), px, head, picture)
    _brows(p, head, px, picture)


def _finish(p: _Params, picture: np.ndarray, size: int) -> np.ndarray:
    """Squared colours [3, C, h, w] -> uint8 [C, 3, h, w]: shoulder, square root, the colour fringe, rounding."""
    x = _positive(picture)
    over = _positive(x - 0.86)
    x = np.sqrt(np.minimum(x, np.float32(0.86)) + over / (1.0 + 4.0 * over))
    if (p.fault_color_fringe > 0).any():
        amount = p.fault_color_fringe[:, 0, 0]
        x = np.stack([_slide(x[0], amount, size), x[1], _slide(x[2], -amount, size)])
    return (np.clip(x, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).swapaxes(0, 1)


def _slide(channel: np.ndarray, amount: np.ndarray, size: int) -> np.ndarray:
    """Shift a channel [C, h, w] sideways by 3 % of the width times amount (-1, 0 or 1), repeating the border."""
    columns = np.arange(size)[None, :] - np.rint(amount * 0.03 * size).astype(np.int64)[:, None]
    return np.take_along_axis(channel, np.clip(columns, 0, size - 1)[:, None, :], axis=2)


# ------------------------------------------------------------------------------------------------------------ faces


def _landmarks(p: dict[str, np.ndarray], size: int) -> np.ndarray:
    """float32 [N, 5, 2]: the points of the relief that the features are painted on, seen through the pose."""
    columns = {name: values[:, None] for name, values in p.items() if values.ndim == 1}
    q = _Columns(columns)
    lip = q.mouth_w * q.wide * 0.98
    corner = q.mouth_y - 0.65 * q.lift
    zero = np.zeros_like(lip)
    x = np.concatenate([zero - 0.5, zero + 0.5, zero, -lip, lip], axis=1)
    y = np.concatenate([zero - 0.02, zero - 0.02, q.nose_y - 0.01, corner, corner], axis=1)
    a2, b2, _, _ = _profile(y, q, hair=False)
    z = np.sqrt(b2 * (1.0 - x * x / a2)) + _relief(x, y, _bumps(q)[:4], slopes=False)
    across, down = _project(columns, x, y, z)
    across, down = (across - q.mid_x) * q.zoom, (down - q.mid_y) * q.zoom
    across, down = across * q.roll_c - down * q.roll_s + q.at_x, across * q.roll_s + down * q.roll_c + q.at_y
    return (np.stack([across, down], axis=2) * size).astype(np.float32)


class _Columns:
    """p.name for a dict's arrays."""

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.__dict__.update(columns)


def _check(n: int, size: int, seed: int, start: int, uncanny: float) -> None:
    limits = (("n", n, 0, 1 << 40), ("size", size, 16, 1024), ("start", start, 0, 1 << 62))
    for name, value, low, high in (*limits, ("seed", seed, -(1 << 63), (1 << 64) - 1)):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(f"drawn: {name} is {value!r}; give a whole number from {low} to {high}")
    if not isinstance(uncanny, (int, float)) or not 0.0 <= uncanny <= 1.0:
        raise InputError(f"drawn: uncanny is {uncanny!r}; give a share from 0.0 to 1.0")


def _check_identities(n: int, start: int, identities: torch.Tensor | Sequence[int] | None) -> np.ndarray:
    """The identities int64 [n]: those given, or the indices."""
    if identities is None:
        return np.arange(start, start + n, dtype=np.int64)
    try:
        ids = torch.as_tensor(identities, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"drawn: identities must be {n} whole numbers >= 0, as a list or a tensor") from None
    if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool or tuple(ids.shape) != (n,):
        shape = tuple(ids.shape)
        raise InputError(f"drawn: identities has shape {shape} and type {ids.dtype}; give {n} whole numbers >= 0")
    if n and int(ids.min()) < 0:
        raise InputError(f"drawn: identities has {int(ids.min())}; give whole numbers >= 0")
    return ids.to(torch.int64).numpy().copy()


def _check_weights(weights: Mapping[str, Sequence[float]] | None) -> dict[str, np.ndarray]:
    checked = {}
    for name, values in (weights or {}).items():
        if name not in ATTRIBUTE_NAMES:
            raise InputError(f"drawn: weights has no attribute {name!r}; choose from {', '.join(ATTRIBUTE_NAMES)}")
        size = len(ATTRIBUTE_NAMES[name])
        try:
            row = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            row = np.zeros(0)
        if row.shape != (size,) or not np.isfinite(row).all() or row.min() < 0 or row.sum() <= 0:
            raise InputError(f"drawn: weights[{name!r}] must be {size} numbers >= 0 that do not sum to 0")
        checked[name] = row
    return checked


def _describe(
    index: np.ndarray, identity: np.ndarray, seed: int, uncanny: float, weights: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All labels (int64 [N]) and all parameters (float64 [N] or [N, 3]) of the faces."""
    who, when = _Dice(seed, identity), _Dice(seed ^ 0x5DEECE66D, index)
    labels = _identity_labels(who, weights)
    labels.update(_shot_labels(when, weights))
    params = _person(who, labels)
    params.update(_shot(when, labels))
    params.update(_faults(when, uncanny, labels["glasses"]))
    _derived(params, labels)
    return labels, params


def drawn(
    n: int,
    size: int = 64,
    seed: int = 0,
    *,
    start: int = 0,
    identities: torch.Tensor | Sequence[int] | None = None,
    uncanny: float = 0.0,
    weights: Mapping[str, Sequence[float]] | None = None,
) -> DrawnFaces:
    """Draw n faces of size x size pixels with their attributes, landmarks and identities.

    Face i is a pure function of (seed, start + i, its identity, size): the same bits in any batch. Its identity (build,
    skin, hair, eyes, beard, glasses, earrings, age) is a function of (seed, identity), its shot (pose, light, expression,
    gaze, hat, clothes, background, faults) of (seed, start + i). So `drawn(8, identities=[5] * 8)` is one person eight times.

    Args:
        n: how many, 0 or more.
        size: pixels per side, 16 to 1024.
        seed: any whole number.
        start: index of the first face, for drawing a long series in pieces.
        identities: n whole numbers >= 0; by default each index is an identity of its own.
        uncanny: the share of faces with planted faults (attributes `fault_...`); with 0.0 the same face is drawn clean.
        weights: relative chances of an attribute's values, such as {"skin_tone": [5, 5, 5, 1, 1, 1, 1, 1, 1, 1]}. Attributes
            without weights keep their default chances; by default dark skin rarely comes with fair hair or eyes, and
            beards and earrings depend on the hair style.

    Returns:
        DrawnFaces. Categorical attributes are int64 [N], named by `ATTRIBUTE_NAMES`. `age` is 0 (young adult) to 1 (old);
        `yaw`, `pitch`, `roll` are degrees (nose to the picture's right, nose up, head tilted clockwise); `light_x` and
        `light_y` say where the light comes from (-1..1, right and down positive); `skin_rgb` and `hair_rgb` are base
        colours [N, 3], sRGB in 0..1; `fault_<name>` are bool.

    Raises:
        InputError: an argument is out of its range, or weights name an unknown attribute.
    """
    _check(n, size, seed, start, uncanny)
    identity = _check_identities(n, start, identities)
    index = np.arange(start, start + n, dtype=np.int64)
    labels, params = _describe(index, identity, seed, uncanny, _check_weights(weights))
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    _render({**labels, **params}, size, images)
    attributes = {name: torch.from_numpy(values.astype(np.int64)) for name, values in labels.items()}
    for name in ("age", "yaw", "pitch", "roll", "light_x", "light_y"):
        attributes[name] = torch.from_numpy(params[name].astype(np.float32))
    attributes["skin_rgb"] = torch.from_numpy(params["skin"].astype(np.float32))
    attributes["hair_rgb"] = torch.from_numpy(params["hair"].astype(np.float32))
    for name in FAULTS:
        attributes["fault_" + name] = torch.from_numpy(params["fault_" + name] > 0)
    landmarks = torch.from_numpy(_landmarks(params, size))
    return DrawnFaces(torch.from_numpy(images), attributes, landmarks, torch.from_numpy(identity))


def _render(columns: Mapping[str, np.ndarray], size: int, images: np.ndarray) -> None:
    """Fill images uint8 [N, 3, size, size], chunk by chunk, on up to four of the threads that torch may use.

    One thread is fastest on arrays that stay in its core's cache. Several need arrays four times as large, or they wait for
    Python's lock longer than they compute.
    """
    threads = min(4, torch.get_num_threads()) if images.size >= 1 << 20 else 1
    pixels = _PIXELS if threads == 1 else 4 * _PIXELS
    faces = max(1, pixels // (size * size))
    band = max(1, min(size, pixels // size))
    # Faces that need the same work go together: what nobody in a chunk wears is not computed.
    worn = [columns[name] > 0 for name in ("fault_droplets", "hat", "glasses", "beard", "earrings")]
    order = np.lexsort((columns["yaw"], columns["hair_style"], *worn[::-1]))

    def chunk(first: int) -> int:
        rows = order[first : first + faces]
        p = _Params(columns, rows)
        for top in range(0, size, band):
            below = min(size, top + band)
            images[rows, :, top:below] = _finish(p, _paint(p, size, (top, below)), size)
        return len(rows)

    quick = images.size < 1 << 25  # a few seconds need no bar
    with (
        tqdm(total=len(order), unit="face", desc="drawing", disable=True if quick else None) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        for done in pool.map(chunk, range(0, len(order), faces)):
            bar.update(done)
