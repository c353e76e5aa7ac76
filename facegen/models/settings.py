"""How a network knows what it was made with, so that a file can rebuild it (see `facegen.models.pretrained`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from torch import nn


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
