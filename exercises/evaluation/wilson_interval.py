"""wilson_interval(successes, n, level=0.95): Wilson's interval of a share."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import require, two_numbers
from exercises.probing import Answer, Case, call_with_case
from facegen.evaluation.distances import wilson_interval

SHARES = [(8, 10, None), (37, 120, None), (0, 10, None), (10, 10, 0.95), (1, 1, None), (0, 1, 0.9), (500, 1000, 0.95)]
SHARES += [(3, 40, 0.99), (3, 40, 0.8), (12, 30, 0.5), (29, 30, 0.9)]  # successes, n, level


def cases(g: torch.Generator) -> list[Case]:
    """The shares, some of twice as many tries, so that they differ from check to check."""
    more = torch.randint(1, 3, (len(SHARES),), generator=g).tolist()
    return [
        {"successes": times * s, "n": times * n} | ({} if level is None else {"level": level})
        for times, (s, n, level) in zip(more, SHARES)
    ]


def call(case: Case) -> str:
    return f"the interval of {case['successes']} in {case['n']} at level {case.get('level', 0.95)}"


def probe(component: Callable, case: Case) -> Answer:
    try:
        return call_with_case(component, case)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        if case["successes"] not in (0, case["n"]):
            raise
        return {"raised": type(error).__name__}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    needless = "with z^2 / (4 n^2) under the root, 0 and n need no special case"
    require("raised" not in answer, f"{call(case)} raised {answer.get('raised')}: {needless}")
    return {"": two_numbers(answer["value"], "low", "high")}


# -- mistakes


def two_sided(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def solution(
    z_of: Callable = two_sided,
    add: Callable = lambda n, z: z * z / (2 * n),
    under: Callable = lambda n, z: z * z / (4 * n * n),
    below: Callable = lambda n, z: 1 + z * z / n,
    below_middle: Callable | None = None,
    below_half: Callable | None = None,
    share: Callable = lambda successes, n: successes / n,
    root: Callable = math.sqrt,
) -> Callable:
    """With another z, number added to p or under the root, divisors, share, or root."""

    def wrong(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
        z, p = z_of(level), share(successes, n)
        half = z * root(p * (1 - p) / n + under(n, z)) / (below_half or below)(n, z)
        centre = (p + add(n, z)) / (below_middle or below)(n, z)
        return centre - half, centre + half

    return wrong


right = solution()
wald = solution(add=lambda n, z: 0, under=lambda n, z: 0, below=lambda n, z: 1)


def then(change: Callable, first: Callable = right) -> Callable:
    """With the ends changed."""
    return lambda successes, n, level=0.95: change(*first(successes, n, level), n)


def cut_off(low: float, high: float, n: int) -> tuple[float, float]:
    return max(0.0, low), min(1.0, high)


def agresti_coull(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    z = two_sided(level)
    return wald(successes + z * z / 2, n + z * z, level)


def no_ends(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    if successes in (0, n):
        raise ValueError("a share of 0 or 1")
    return right(successes, n, level)


MISTAKES = {
    "low and high changed places, or z is the negative one, at (1 - level) / 2": then(lambda low, high, n: (high, low)),
    "this is p -+ z sqrt(p (1 - p) / n), which has no width at 0 and n and leaves [0, 1]": wald,
    "this is p -+ z sqrt(p (1 - p) / n), cut off at 0 and 1, which has no width at 0 and n": then(cut_off, wald),
    "z is one-sided: half of 1 - level lies on either side, inv_cdf((1 + level) / 2)": solution(NormalDist().inv_cdf),
    "z is taken at 1 - level / 2, expected at (1 + level) / 2": solution(lambda level: two_sided(1 - level)),
    "level is not used, it is 0.95 whatever is asked": solution(lambda level: two_sided(0.95)),
    "z is 1 whatever level is": solution(lambda level: 1.0),
    "z is the level itself, expected the normal distribution's quantile": solution(lambda level: level),
    "z is a probability, of cdf, expected the quantile, inv_cdf": solution(lambda level: NormalDist().cdf((1 + level) / 2)),
    "the division by 1 + z^2 / n is missing": solution(below=lambda n, z: 1),
    "the middle is not divided by 1 + z^2 / n": solution(below_middle=lambda n, z: 1),
    "the half width is not divided by 1 + z^2 / n": solution(below_half=lambda n, z: 1),
    "it is divided by 1 + z / n, expected 1 + z^2 / n": solution(below=lambda n, z: 1 + z / n),
    "it is divided by n + z^2, expected 1 + z^2 / n": solution(below=lambda n, z: n + z * z),
    "the middle is p: z^2 / (2 n) is missing": solution(add=lambda n, z: 0),
    "the middle is p itself, only the width is Wilson's": solution(add=lambda n, z: 0, below_middle=lambda n, z: 1),
    "the middle gets z^2 / n, expected z^2 / (2 n)": solution(add=lambda n, z: z * z / n),
    "the middle gets z / (2 n), expected z^2 / (2 n)": solution(add=lambda n, z: z / (2 * n)),
    "the middle gets z^2 / 2 times n: put brackets around 2 * n": solution(add=lambda n, z: z * z / 2 * n),
    "the middle gets z^2 / 2, expected z^2 / (2 n)": solution(add=lambda n, z: z * z / 2),
    "under the root, z^2 / (4 n^2) is missing": solution(under=lambda n, z: 0),
    "under the root stands z^2 / (4 n), expected z^2 / (4 n^2)": solution(under=lambda n, z: z * z / (4 * n)),
    "under the root stands z^2 / (2 n^2), expected z^2 / (4 n^2)": solution(under=lambda n, z: z * z / (2 * n * n)),
    "under the root stands z^2 / (4 n)^2, expected z^2 / (4 n^2)": solution(under=lambda n, z: z * z / (4 * n) ** 2),
    "under the root stands z^2 / 4 times n^2: put brackets around 4 * n^2": solution(under=lambda n, z: z * z / 4 * n * n),
    "the root is missing": solution(root=lambda square: square),
    "this is Agresti and Coull's interval, n + z^2 tries in p -+ z sqrt(p (1 - p) / n)": agresti_coull,
    "p is (successes + 1) / (n + 2), expected successes / n": solution(share=lambda s, n: (s + 1) / (n + 2)),
    "p is successes // n, which is 0 or 1: take /": solution(share=lambda s, n: s // n),
    "these are counts, expected shares": then(lambda low, high, n: (low * n, high * n)),
    "these are percent, expected shares": then(lambda low, high, n: (100 * low, 100 * high)),
    "this is the share of failures": then(lambda low, high, n: (1 - high, 1 - low)),
    "these are the middle and the half width": then(lambda low, high, n: ((low + high) / 2, (high - low) / 2)),
}

EXERCISE = Exercise(
    component="wilson_interval",
    chapter=6,
    place=7,
    minutes=10,
    difficulty=1,
    task="Wilson's interval: how sure is a share of so many pictures?",
    verified=f"{len(SHARES)} shares, 0 and n of n among them, at 5 levels",
    reference=wilson_interval,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected (p + z^2 / (2 n) -+ z sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)",
    mistakes=MISTAKES,
    refused=[
        ("0 and n need no special case", no_ends),
        ("expected two numbers: return low, high", lambda successes, n, level=0.95: right(successes, n, level)[0]),
        ("return statement missing", lambda successes, n, level=0.95: None),
    ],
    hints={"p must be in the range": "inv_cdf wants a probability below 1: (1 + level) / 2"},
)
