"""The command line: `facegen VERB ...`, the same as `python -m facegen VERB ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from facegen import __version__
from facegen.cli import data, edit, files, make, measure, project, train, trials  # noqa: F401  they declare their verbs
from facegen.cli.flags import find_verb, overview, parse
from facegen.files import InputError, one_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code."""
    return guarded(lambda: _run(sys.argv[1:] if argv is None else list(argv)), "facegen")


def _run(argv: Sequence[str]) -> int | None:
    if argv[:1] == ["--version"]:
        return print(f"facegen {__version__}")
    if argv in (["-h"], ["--help"], ["data", "-h"], ["data", "--help"]):
        return print(overview("data " if len(argv) > 1 else ""))
    verb, rest = find_verb(argv)
    return parse(rest, verb).run()


def guarded(run: Callable[[], int | None], program: str) -> int:
    """What `run` returns, else an exit code and one line: 1 for a run that failed, 2 for bad input, 130 for Ctrl-C.

    FACEGEN_DEBUG=1 shows the traceback behind the line.
    """
    _open_streams()
    try:
        return run() or 0
    except KeyboardInterrupt as stop:
        return _said(program, str(stop) or "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `facegen data list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError, RuntimeError, MemoryError) as error:
        if os.environ.get("FACEGEN_DEBUG"):
            raise
        text = str(error) or "there is not enough memory for this: ask for fewer or smaller pictures"
        return _said(program, f"error: {text}", 1 if isinstance(error, RuntimeError) else 2)


def _said(program: str, text: str, code: int) -> int:
    print(f"{program}: {one_line(text, 2000)}", file=sys.stderr)
    return code


def _open_streams() -> None:
    """A closed standard stream, as after `2>&-`, would lend its number to the next file that is opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


if __name__ == "__main__":
    sys.exit(main())
