"""How a network knows what it was made with, so that a file can rebuild it (see `facegen.models.pretrained`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping

from torch import nn

from facegen.files import InputError


def remembers(init: Callable[..., None]) -> Callable[..., None]:
    """For a constructor: `settings` holds its arguments by name, in their order, before its own first line runs."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def remembering(self: nn.Module, *args: object, **named: object) -> None:
        given = signature.bind(self, *args, **named)
        given.apply_defaults()
        self.settings = dict(list(given.arguments.items())[1:])  # all but self
        init(self, *args, **named)

    return remembering


def defaults(kind: type[nn.Module]) -> dict[str, object]:
    """The arguments of a network that need not be given, and their values then."""
    arguments = inspect.signature(kind).parameters.values()
    return {one.name: one.default for one in arguments if one.default is not one.empty}


def options(name: str, given: Mapping[str, object] | None, known: Collection[str]) -> dict[str, object]:
    """A dict of constructor arguments, checked: a misspelt name would otherwise surface far away from here."""
    unknown = sorted(set(given or {}) - set(known))
    if unknown:
        raise InputError(f"{name} has no {', '.join(unknown)}; it knows {', '.join(known)}")
    return dict(given or {})
