"""Notebooks as cells: reading them, solutions between markers and the stubs in their place, names that code reads and binds."""

from __future__ import annotations

import ast
import json
import re
import symtable
import textwrap
from pathlib import Path
from typing import Any

from facegen.files import InputError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

_LIKE_A_MARKER = re.compile(r"^\s*#+\s*(BEGIN|END)\s*SOLUTIONS?\b", re.IGNORECASE)
CHECK = re.compile(r"tests\.test_(\w+)\((\w+)\)")
_WIDTH = 92  # of a stub, as that of the notebooks' cells


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file, each with its source as one string; in UTF-8 or UTF-16, with a mark at its start or not."""
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if conflict := re.search(r"^(<{7} |={7}$|>{7} )", text, re.MULTILINE):
            line = text.count("\n", 0, conflict.start()) + 1
            raise InputError(f"{path}: line {line} is the mark of a merge conflict: solve it and save the notebook again")
        cells = json.loads(text)["cells"]
        return [{**cell, "source": _joined(cell["source"])} for cell in cells]
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: not a readable notebook ({' '.join(reason.split())})") from None


def _joined(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


# -- solutions and stubs


def regions(source: str, where: str) -> list[tuple[int, int]]:
    """Line numbers, from 0, of each pair of markers."""
    regions: list[tuple[int, int]] = []
    begun: int | None = None
    for number, line in enumerate(source.split("\n")):  # lines as Python counts them; splitlines knows more ends
        if not _LIKE_A_MARKER.match(line):
            continue
        marker, at = line.strip(), f"{where}, line {number + 1}"
        if marker not in (BEGIN, END):
            raise InputError(f"{at}: {marker!r} is not a marker; write {BEGIN!r} or {END!r}")
        if (marker == BEGIN) == (begun is not None):
            what = "inside a solution that is still open" if begun is not None else f"without {BEGIN!r} before it"
            raise InputError(f"{at}: unbalanced markers, {marker!r} {what}")
        if begun is not None:
            regions.append((begun, number))
        begun = number if begun is None else None
    if begun is not None:
        raise InputError(f"{where}, line {begun + 1}: unbalanced markers, {BEGIN!r} without {END!r}")
    return regions


def has_solution(source: str) -> bool:
    """Whether a cell holds a pair of markers. Raises InputError where they are unbalanced."""
    return bool(regions(source, "cell"))


def without_solution(source: str) -> str:
    """A cell's source with what stands between the markers replaced by a stub of the same depth; markers stay.

    The stub says what to write, in words taken from the signature and docstring around it, and which names the lines
    after it use; and it raises NotImplementedError, which a check reports as "not written yet".
    """
    marked = regions(source, "cell")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise InputError(f"cell, line {error.lineno}: not Python, so no stub can be written for it: {error.msg}") from None
    lines = source.split("\n")
    for begin, end in reversed(marked):
        lines[begin + 1 : end] = _stub(tree, lines, begin, end, marked)
    return "\n".join(lines)


_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _stub(tree: ast.Module, lines: list[str], begin: int, end: int, regions: list[tuple[int, int]]) -> list[str]:
    depth = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
    around = _definitions_around(tree, begin + 1, len(depth))
    nodes = [node for node in ast.walk(tree) if hasattr(node, "lineno")]
    inside = [node for node in nodes if begin + 1 < node.lineno <= end]
    outside = [node for node in nodes if not any(first + 1 < node.lineno <= last for first, last in regions)]
    name = around[0].name if around else _last_bound(inside)
    text = _what_to_write(around, inside) if around else [f"Write {name} here."]
    if needed := _needed_outside(around, inside, outside, end):
        text.append(f"The lines around it use {_listed(needed)}: keep to {'these names' if needed[1:] else 'this name'}.")
    comment = [line for sentence in text for line in textwrap.wrap(sentence, _WIDTH - len(depth) - 2)]
    refusal = f'raise NotImplementedError("{name} is not written yet: write it in place of this line")'
    return [depth + line for line in (*(f"# {line}" for line in comment), refusal)]


def _definitions_around(tree: ast.Module, line: int, depth: int) -> list[ast.AST]:
    """The classes and functions that a line of this depth belongs to, from the outside in."""
    before = sorted((n for n in ast.walk(tree) if isinstance(n, _Definition) and n.lineno < line), key=lambda n: -n.lineno)
    around: list[ast.AST] = []
    for node in before:
        if node.col_offset < depth:
            around.insert(0, node)
            depth = node.col_offset
    return around


def _what_to_write(around: list[ast.AST], inside: list[ast.AST]) -> list[str]:
    inner = around[-1]
    promise = " ".join((ast.get_docstring(around[0]) or "").split("\n\n")[0].split())
    promises = [f"{around[0].name}: {promise}"] if promise else []
    if isinstance(inner, ast.ClassDef):
        return ["Write the rest of the class here.", *promises]
    taken = [argument.arg for argument in (*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs)]
    signature = f"{inner.name}({', '.join(name for name in taken if name != 'self')})"
    if inner.name == "__init__":
        return [f"Write {signature} here: what the other methods are going to need. You may add methods of your own."]
    returns = any(isinstance(node, ast.Return) and node.value is not None for node in inside)
    first = f"Write {signature} here" + (" and return its result" if returns else "")
    if inner is around[0]:  # a function's docstring stands right above
        return [first + (", as the docstring says." if promise else ".")]
    return [first + ".", *promises]


def _needed_outside(around: list[ast.AST], inside: list[ast.AST], outside: list[ast.AST], end: int) -> list[str]:
    """Names that a solution binds and the given code reads: after it in the same function, or of self anywhere."""
    scope = around[-1] if around and not isinstance(around[-1], ast.ClassDef) else None
    last = scope.end_lineno if scope else 1 << 30
    names = [node for node in outside if isinstance(node, ast.Name) and end < node.lineno <= last]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    of_self = {node.attr for node in outside if _is_of_self(node, ast.Load)}
    needed: dict[str, None] = {}  # in the order of the solution
    for node in sorted(inside, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in read:
            needed[node.id] = None
        elif _is_of_self(node, ast.Store) and node.attr in of_self:
            needed[f"self.{node.attr}"] = None
    return list(needed)


def _is_of_self(node: ast.AST, context: type) -> bool:
    attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, context)
    return attribute and isinstance(node.value, ast.Name) and node.value.id == "self"


def _last_bound(inside: list[ast.AST]) -> str:
    """The name that a solution outside of every function ends in."""
    bound = [n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    bound += [n.name for n in inside if isinstance(n, _Definition)]
    return bound[-1] if bound else "this cell"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def names_of(source: str) -> tuple[set[str], set[str]]:
    """The notebook's names that a piece of code reads, in functions too, and those that it binds, fills or changes.

    Of what is no Python (magics, or a mistake) every word counts as read, and what begins a line as bound.
    """
    try:
        tables, nodes = [symtable.symtable(source, "cell", "exec")], list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = set(re.findall(r"[A-Za-z_]\w*", source))
        return words, set(re.findall(r"^(?:def |class )?([A-Za-z_]\w*)", source, re.M))
    read: set[str] = set()
    bound: set[str] = set()
    for table in tables:
        top = table is tables[0]
        for name in table.get_symbols():
            if name.is_referenced() and (top or name.is_global()):
                read.add(name.get_name())
            if (name.is_assigned() or name.is_imported()) and (top or name.is_declared_global()):
                bound.add(name.get_name())
        tables += table.get_children()
    for node in nodes:  # x.y = 1, x[0] = 1, x.append(1)
        target = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else node
        if isinstance(target, (ast.Attribute, ast.Subscript)) and (target is not node or isinstance(node.ctx, ast.Store)):
            while isinstance(target, (ast.Attribute, ast.Subscript)):
                target = target.value
            if isinstance(target, ast.Name) and target.id in read:
                bound.add(target.id)
    return read, bound
