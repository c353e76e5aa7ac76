"""The command line: `facegen VERB ...`, the same as `python -m facegen VERB ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from facegen import __version__
from facegen.cli import data, edit, files, make, measure, project, train, trials  # noqa: F401  they declare their verbs
from facegen.cli.flags import find_verb, overview, parse
from facegen.course import cli  # noqa: F401
from facegen.files import InputError, one_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a run that failed, 2 for input that cannot be used, 130 for Ctrl-C.

    FACEGEN_DEBUG=1 shows the traceback behind a one-line error.
    """
    _open_streams()
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if argv[:1] == ["--version"]:
            print(f"facegen {__version__}")
            return 0
        if argv in (["-h"], ["--help"], ["data", "-h"], ["data", "--help"]):
            print(overview("data " if len(argv) > 1 else ""))
            return 0
        verb, rest = find_verb(argv)
        return parse(rest, verb).run() or 0
    except KeyboardInterrupt as stop:
        return _said(str(stop) or "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `facegen data list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError, RuntimeError, MemoryError) as error:
        if os.environ.get("FACEGEN_DEBUG"):
            raise
        text = str(error) or "there is not enough memory for this: ask for fewer or smaller pictures"
        return _said(f"error: {text}", 1 if isinstance(error, RuntimeError) else 2)


def _said(text: str, code: int) -> int:
    print(f"facegen: {one_line(text, 2000)}", file=sys.stderr)
    return code


def _open_streams() -> None:
    """A closed standard stream, as after `2>&-`, would lend its number to the next file that is opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


if __name__ == "__main__":
    sys.exit(main())
