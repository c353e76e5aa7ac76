"""What runs next to a learner's code: calling it, and writing down what it did as plain data.

Nothing here knows what is right. When hand-ins are graded, this file and an exercise's probe are all of the checks that
there is in the learner's process; the answers are judged outside of it.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

Case = dict[str, Any]  # plain data: tensors, numbers, texts, None, and lists, tuples and dicts of them
Answer = dict[str, Any]  # the same

MOST_BYTES = 64 << 20  # of a file of cases or answers
MOST_VALUES, MOST_DEPTH, MOST_LETTERS = 20_000, 12, 2000
STUB = re.compile(r"(\w+) is not written yet: write it in place of this line")
# Files of PyTorch that stand between a probe and the learner's forward or decorated function.
_BETWEEN = ("module.py", "_contextlib.py")


class Other(NamedTuple):
    """What a component returned if it was no plain value: its type's name, and what can be kept of it."""

    kind: str
    value: Any = None


# -- running


@contextlib.contextmanager
def settled(seed: int) -> Iterator[None]:
    """Fixed seeds, float32, CPU, gradients, no autocast and no warnings inside; everything as it was outside."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for context in (torch.random.fork_rng(gpus), torch.inference_mode(False), torch.enable_grad(), torch.device("cpu")):
                stack.enter_context(context)
            for device in ("cpu", "cuda"):
                stack.enter_context(torch.autocast(device, enabled=False))
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)


def answers_of(probe: Callable[[Any, Case], Answer], component: Any, cases: Sequence[Case], seed: int) -> list[Answer]:
    """What a component does in each case; an exception ends the list, as {"error": its type, "text", "place", "refused"}."""
    answers: list[Answer] = []
    for number, case in enumerate(cases):
        with settled(seed + number):
            try:
                answers.append(probe(component, copied(case)))
            except (Exception, SystemExit) as error:
                return [*answers, _failure(error)]
    return answers


def _failure(error: BaseException) -> Answer:
    installed, here = str(Path(torch.__file__).parents[1]), str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(here)]
    own = [f for f in frames if not f.filename.startswith((installed, "<probe"))]
    place = f" in {own[-1].name}, line {own[-1].lineno}" if own else ""
    # Whether the call itself failed, before any line of the learner's.
    refused = all(f.filename.startswith("<probe") or f.filename.endswith(_BETWEEN) for f in frames)
    text = " ".join(str(error).split())[:MOST_LETTERS]
    return {"error": type(error).__name__, "text": text, "place": place, "refused": refused}


def called(component: Callable, *arguments: Any) -> Answer:
    """{"value": what it returned, "changed": the numbers of the arguments that it changed in place}."""
    before = copied(arguments)
    value = component(*arguments)
    changed = [number for number, (a, b) in enumerate(zip(before, arguments)) if not equal(a, b)]
    return {"value": plain(value), "changed": changed}


def called_with_gradients(component: Callable, *arguments: Any) -> Answer:
    """As `called`; "gradients" has those of the result for each tensor among the arguments, if none was changed in place."""
    answer = called(component, *copied(arguments))
    if answer["changed"]:
        return answer
    given = [a.requires_grad_() if isinstance(a, Tensor) else a for a in copied(arguments)]
    tensors = [a for a in given if isinstance(a, Tensor)]
    return answer | {"gradients": gradients_for(tensors, component(*given))}


def gradients_for(tensors: Sequence[Tensor], result: Any) -> list[Tensor]:
    """The gradient for each tensor of a weighted sum of a result; 0 where nothing flows back."""
    if not (isinstance(result, Tensor) and result.requires_grad):
        return [torch.zeros_like(t) for t in tensors]
    weights = torch.arange(1, result.numel() + 1).cos().reshape(result.shape)
    found = torch.autograd.grad((result * weights).sum(), tensors, allow_unused=True)
    return [torch.zeros_like(t) if g is None else plain(g) for t, g in zip(tensors, found)]


def call_with_case(component: Callable, case: Case) -> Answer:
    """The usual probe: the case holds the arguments, in the order of the signature."""
    return called(component, *case.values())


def copied(value: Any) -> Any:
    """A deep copy of plain data; tensors keep requires_grad."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, Other):
        return type(value)(copied(item) for item in value)
    return value


def equal(a: Any, b: Any) -> bool:
    """Whether two plain values are the same to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    return a == b


def plain(value: Any, depth: int = 0) -> Any:
    """A value as plain data: tensors without their graph, classes of their own as `Other`."""
    kind = type(value)
    if kind in (Tensor, nn.Parameter):
        if value.device.type != "cpu" or value.layout != torch.strided:
            return Other(f"tensor on {value.device}")
        return (
            Other("complex tensor", torch.view_as_real(value.detach()).clone())
            if value.is_complex()
            else value.detach().clone()
        )
    if value is None or kind in (bool, int, float, str):
        return value[:MOST_LETTERS] if kind is str else value
    if kind is complex:
        return Other("complex", [value.real, value.imag])
    if isinstance(value, np.generic):
        return plain(value.item(), depth) if isinstance(value, (np.number, np.bool_)) else Other(kind.__name__)
    if kind is np.ndarray and value.dtype.kind in "biuf":
        return Other("ndarray", torch.from_numpy(np.ascontiguousarray(value)).clone())
    if depth < 4 and isinstance(value, (list, tuple)):  # such as what topk returns
        return (list if isinstance(value, list) else tuple)(plain(item, depth + 1) for item in value)
    if depth < 4 and isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    return Other(kind.__name__)


def flat(tensors: Iterable[Tensor | None]) -> Tensor:
    """All numbers of some tensors in a row, without their graph; None counts as nothing."""
    parts = [t.detach().flatten() for t in tensors if t is not None]
    return torch.cat(parts) if parts else torch.zeros(0)


# -- files of cases and answers


def pack(value: Any) -> bytes:
    """Plain data as safetensors, with a JSON of its structure in the metadata."""
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_structure(value, tensors))
    return safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()}, {"structure": structure})


def _structure(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().clone()
        return {"tensor": name}
    if isinstance(value, Other):
        return {"other": [value.kind, _structure(value.value, tensors)]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_structure(item, tensors) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _structure(item, tensors)] for key, item in value.items()]}
    return value


def unpack(data: bytes) -> Any:
    """The value that `pack` wrote.

    Raises:
        ValueError: the bytes hold anything else, or more than is allowed; nothing of them is run.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES >> 20} MB")
    try:
        length = int.from_bytes(data[:8], "little")
        structure = json.loads(json.loads(data[8 : 8 + min(length, MOST_BYTES)])["__metadata__"]["structure"])
        tensors = safetensors.torch.load(data)
    except Exception as error:
        raise ValueError(f"not readable ({type(error).__name__})") from None
    left = [MOST_VALUES]
    return _value(structure, tensors, left, 0)


def _value(found: Any, tensors: Mapping[str, Tensor], left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MOST_DEPTH:
        raise ValueError("too many values, or too deep")
    if found is None or type(found) in (bool, float) or (type(found) is int and abs(found) < 2**63):
        return found
    if type(found) is str and len(found) <= MOST_LETTERS:
        return found
    if type(found) is dict and len(found) == 1:
        ((kind, inside),) = found.items()
        if kind == "tensor" and inside in tensors:
            return tensors[inside]
        if kind in ("list", "tuple") and type(inside) is list:
            return (list if kind == "list" else tuple)(_value(item, tensors, left, depth + 1) for item in inside)
        if kind == "other" and type(inside) is list and len(inside) == 2 and type(inside[0]) is str:
            return Other(inside[0][:100], _value(inside[1], tensors, left, depth + 1))
        if kind == "dict" and type(inside) is list:
            pairs = [pair for pair in inside if type(pair) is list and len(pair) == 2 and type(pair[0]) is str]
            return {key[:MOST_LETTERS]: _value(item, tensors, left, depth + 1) for key, item in pairs}
    raise ValueError("not plain data")
