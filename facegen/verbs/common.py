"""What the verbs of the command line share: how a verb is declared, and checks of their flags before any work."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from facegen.files import InputError

Verb = Callable[[argparse.Namespace], int]

# The longest side in pixels that each format of a grid can have; PNG itself has no bound that matters.
GRID_SIDE = {".png": 1 << 20, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults that say something: neither None, which the text explains, nor that a switch is off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def add_verb(verbs, name: str, run: Verb, text: str, example: str = "", aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"Example: {example}" if example else None,
        aliases=aliases,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(verb=run)
    return parser


def seeds_of(text: str) -> list[int]:
    """ "0-3,7" -> [0, 1, 2, 3, 7]."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if last < first or last >= 2**63:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of seeds such as 0-63 or 1,5,12-20")
        if len(seeds) + last - first >= 1_000_000:
            raise argparse.ArgumentTypeError("more than a million seeds at once")
        seeds += range(first, last + 1)
    return seeds


def pair_of(flag: str, text: str) -> tuple[float, float]:
    """ "0.1,-0.2" -> (0.1, -0.2)."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{flag} {text!r}: give two numbers with a comma between them, such as {flag}=0.1,-0.2") from None
    return x, y


def check_folder(flag: str, folder: Path) -> None:
    """Refuse, before the work, a folder that could not be made after it."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.exists() and not there.is_dir():
        raise InputError(f"{flag} {folder}: {there} is a file, not a folder; choose another place or remove it first")


def check_picture(flag: str, path: Path) -> None:
    """Refuse, before the work, a picture that could not be written after it."""
    if path.suffix.lower() not in GRID_SIDE:
        raise InputError(f"{flag} {path}: the name must end in .png, .jpg or .webp")
    check_file(flag, path)


def check_file(flag: str, path: Path) -> None:
    """Refuse, before the work, a file that could not be written after it."""
    check_folder(flag, path.parent)
    if path.is_dir():
        raise InputError(f"{flag} {path}: this is a folder; give the name of a file")
