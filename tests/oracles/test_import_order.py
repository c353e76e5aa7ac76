"""Imports run from a later room to an earlier one, never back, never in a circle, and never out of the package."""

import ast
import graphlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "facegen"
ROOMS = ["files", "pages", "devices", "config", "data", "models", "training", "latent", "evaluation", "show", "cli", "__main__"]
AROUND = {"tests", "tools", "bench", "teaching", "exercises", "problem_unittests"}
EXCEPTIONS: set[tuple[str, str]] = set()  # imports that close a circle


def edges() -> set[tuple[str, str]]:
    """(module, what it imports), also inside functions, but not for type checking only."""
    files = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    found: set[tuple[str, str]] = set()
    for name, path in files.items():
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                waiting += node.orelse
            elif isinstance(node, ast.Import):
                found |= {(name, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: write facegen.{node.module}, so that a search finds it"
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                found |= {(name, full if full in files else node.module) for full in names}
            else:
                waiting += ast.iter_child_nodes(node)
    return found


EDGES = edges()
INSIDE = {(a, b) for a, b in EDGES if b.split(".")[0] == "facegen" and a != b}


def floor(module: str) -> int:
    """Where in ROOMS a module lies, -1 outside."""
    part = f"{module}.".split(".")[1]
    return ROOMS.index(part) if part in ROOMS else -1


def test_no_import_runs_back_up_or_out():
    assert len(INSIDE) > 300
    assert [f"{a} -> {b}" for a, b in sorted(INSIDE) if -1 < floor(a) < floor(b)] == []
    assert [f"{a} -> {b}" for a, b in sorted(EDGES) if b.split(".")[0] in AROUND] == []


def test_there_are_no_circles():
    assert EXCEPTIONS <= INSIDE, "no longer needed: take it out of EXCEPTIONS"
    graph: dict[str, set[str]] = {}
    for a, b in INSIDE - EXCEPTIONS:
        graph.setdefault(a, set()).add(b)
    graphlib.TopologicalSorter(graph).prepare()  # its CycleError names the modules
