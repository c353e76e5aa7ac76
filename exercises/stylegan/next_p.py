"""next_p(p, r_t, target, step): the rule of adaptive augmentation (Karras and others 2020b, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import number
from exercises.probing import Answer, Case
from facegen.training.ada import next_p


def cases(g: torch.Generator) -> list[Case]:
    def draw(low: float, high: float) -> float:
        return round(low + (high - low) * float(torch.rand((), generator=g)), 3)

    t, step = draw(0.55, 0.65), draw(0.012, 0.03)
    found = [  # p, r_t, target, step
        (draw(0.2, 0.4), draw(0.75, 0.95), t, step),
        (draw(0.2, 0.4), draw(0.1, 0.2), t, step),
        (draw(0.3, 0.5), round(t + 0.01, 3), t, 0.05),
        (draw(0.3, 0.5), round(t - 0.01, 3), t, 0.05),
        (draw(0.3, 0.5), -draw(0.7, 0.9), t, step),
        (draw(0.7, 0.8), -draw(0.7, 0.9), t, step),
        (draw(0.3, 0.5), -draw(0.2, 0.4), -0.5, step),
        (draw(0.3, 0.5), -draw(0.2, 0.4), 0.0, step),
        (draw(0.985, 0.995), 0.9, t, 0.035),
        (draw(0.96, 0.98), 0.9, t, 0.2),
        (draw(0.01, 0.03), 0.1, t, 0.055),
        (1.0, 1.0, t, step),
        (0.0, -1.0, t, step),
        (0.0, draw(0.7, 0.9), t, 0.004),
        (1.0, draw(0.1, 0.3), t, 0.004),
        (draw(0.2, 0.3), t, t, step),
        (draw(0.6, 0.8), 0.0, 0.0, step),
    ]
    return [dict(zip(("p", "r_t", "target", "step"), case)) for case in found]


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    return {"": number(answer["value"], "p")}


# -- mistakes


def sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def solution(change: Callable, low: float = 0.0, high: float = 1.0) -> Callable:
    """p + change(p, r_t, target, step), held between two ends."""
    return lambda p, r_t, target, step: min(max(p + change(p, r_t, target, step), low), high)


def compared(a: Callable, b: Callable = lambda p, r, t: t) -> Callable:
    """With other things than r_t and the target compared: functions of p, r_t and the target."""
    return solution(lambda p, r, t, s: s * sign(a(p, r, t) - b(p, r, t)))


def change(p: float, r_t: float, target: float, step: float) -> float:
    return step * sign(r_t - target)


def stops_before_the_end(p: float, r_t: float, target: float, step: float) -> float:
    moved = p + change(p, r_t, target, step)
    return moved if 0 <= moved <= 1 else p


MISTAKES = {
    "at r_t equal to the target it moves down, expected it to stay": solution(lambda p, r, t, s: s if r > t else -s),
    "at r_t equal to the target it moves up, expected it to stay": solution(lambda p, r, t, s: s if r >= t else -s),
    "p rises above 1: clamp it on both sides": solution(change, high=2),
    "p falls below 0: clamp it on both sides": solution(change, low=-1),
    "p leaves [0, 1]: clamp it on both sides": solution(change, -1, 2),
    "p wanders back into [0, 1] at the other end (modulo)": lambda p, r, t, s: (p + s * sign(r - t)) % 1.0,
    "p does not move at all where step leads beyond an end, expected the end": stops_before_the_end,
    "p is held below the target, expected within [0, 1]": lambda p, r, t, s: min(max(p + s * sign(r - t), 0), max(t, 0)),
    "a negative r_t is taken for 0: it says that D is wrong about most pictures": compared(lambda p, r, t: max(r, 0.0)),
    "the size of r_t is compared, its sign is lost": compared(lambda p, r, t: abs(r)),
    "r_t is compared with 0, expected with the target": compared(lambda p, r, t: r, lambda p, r, t: 0.0),
    "r_t is compared with p, expected with the target": compared(lambda p, r, t: r, lambda p, r, t: p),
    "p is compared with the target, expected r_t": compared(lambda p, r, t: p),
    "it only ever rises, expected down if r_t is below the target": solution(lambda p, r, t, s: s * (r > t)),
    "it only ever falls, expected up if r_t is above the target": solution(lambda p, r, t, s: -s * (r < t)),
    "step is not used": solution(lambda p, r, t, s: 0.01 * sign(r - t)),
    "p moves by half a step": solution(lambda p, r, t, s: s / 2 * sign(r - t)),
    "p moves by two steps": solution(lambda p, r, t, s: 2 * s * sign(r - t)),
    "p jumps to 0 or 1, expected a move by step": solution(lambda p, r, t, s: sign(r - t)),
    "p moves in proportion to r_t - target, expected by step, whatever the distance": solution(lambda p, r, t, s: s * (r - t)),
    "p moves in proportion to r_t, expected by step, whatever the distance": solution(lambda p, r, t, s: s * r),
    "p is multiplied by 1 + step, expected step to be added": solution(lambda p, r, t, s: p * s * sign(r - t)),
    "this is the change of p, expected the new p": change,
    "this is the change of p, held in [0, 1], expected the new p": solution(lambda p, r, t, s: s * sign(r - t) - p),
    "it goes the wrong way: an r_t above the target says that D overfits, so p has to rise": compared(
        lambda p, r, t: t, lambda p, r, t: r
    ),
    "p came back as it was": lambda p, r, t, s: p,
}

EXERCISE = Exercise(
    component="next_p",
    chapter=4,
    place=9,
    minutes=6,
    difficulty=1,
    task="How much to augment: the rule of ADA.",
    verified="17 cases: up, down, at the target, both ends",
    reference=next_p,
    cases=cases,
    judge=judge,
    call=lambda case: f"next_p({', '.join(f'{name}={value}' for name, value in case.items())})",
    rule="expected p + step if r_t > target, p - step if r_t < target, never below 0 or above 1",
    mistakes=MISTAKES,
    refused=[
        ("p is None", lambda p, r, t, s: None),
        ("p is a str", lambda p, r, t, s: f"{p:.3f}"),
        ("check the signature", lambda p, r, t: p),
    ],
    hints={"must be Tensor": "these are plain numbers: compare them with if"},
    tolerance=1e-5,
)
