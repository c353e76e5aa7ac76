"""The process that learners' code runs in: it reads cells, runs them, and probes a component. It judges nothing.

A server (`python -m teaching.inside`) imports PyTorch and what the course's notebooks import, once. Each job runs in a
process of its own, forked into a sandbox. There, nothing of the checks exists but `exercises.probing` and
`exercises.networks`: the job brings the cells, the cases and the exercise's probe, and takes away plain data, which the
grader reads as such and judges. Whatever the learner's code does to its process, it can only change its own answers.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell

from exercises.probing import answers_of, pack, unpack
from facegen.files import one_line
from teaching import sandbox
from teaching.cells import names_of, read_cells
from teaching.sandbox import Ended, Isolation, Limits, View

SHARED = ("__init__.py", "probing.py", "networks.py")  # of exercises/, all that learners' code can import of it
DECOY = """def __getattr__(name):
    if not name.startswith("test_"):
        raise AttributeError(name)
    return lambda *component: None
"""
# What hides from a plain look at the source what it does.
_HIDING = {"exec", "eval", "compile", "__import__"}  # names
_HIDING_PARTS = {"import_module", "getsource", "getsourcelines", "get_objects", "get_referrers", "_getframe", "currentframe",
                 "tb_frame", "__globals__", "__wrapped__", "__code__", "__loader__", "__dict__"}  # fmt: skip


# -- reading cells: nothing is run


def outline(source: str) -> dict[str, Any]:
    """What a cell consists of, as plain data.

    {"pieces": its statements, "error": why it is no Python, "bindings": {name: what was imported under it}}. A piece is
    {"kind": "import", "define", "plain" (names get values, nothing is called), "assign" or "other", "lines": [first, last],
    "reads", "binds": names, "chains": dotted names that it uses, "hidden": what hides the code that it runs}.
    """
    found: dict[str, Any] = {"pieces": [], "error": "", "bindings": {}}
    if source.lstrip().startswith("%%"):  # the line of a cell's magic; what it runs follows
        source = "#" + source.lstrip()
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        found["error"] = f"{type(error).__name__}{where}: {one_line(error)}"
        return found
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        reads, binds = names_of(ast.unparse(node))
        piece = {"kind": _kind(node), "lines": [first, node.end_lineno], "reads": sorted(reads), "binds": sorted(binds)}
        piece |= _looked_at(node)
        before = found["pieces"][-1] if found["pieces"] else None
        if before and before["lines"][1] >= first:  # a = 1; b = 2
            found["pieces"].pop()
            piece |= {name: sorted({*before[name], *piece[name]}) for name in ("reads", "binds", "chains", "hidden")}
            piece["kind"] = "other" if "other" in (piece["kind"], before["kind"]) else before["kind"]
            piece["lines"] = [before["lines"][0], node.end_lineno]
        found["pieces"].append(piece)
        found["bindings"] |= _bindings(node)
    return found


def _bindings(node: ast.stmt) -> dict[str, str]:
    found = {}
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            found |= {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in one.names}
        elif isinstance(one, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{one.module}.{alias.name}" for alias in one.names}
    return found


def _looked_at(node: ast.stmt) -> dict[str, list[str]]:
    """The dotted names that a statement uses or imports, and what in it hides the code that it runs."""
    chains, hidden, inner = set(_bindings(node).values()), set(), set()
    for one in ast.walk(node):
        if not isinstance(one, (ast.Attribute, ast.Name)):
            continue
        if isinstance(one, ast.Attribute):
            inner.add(id(one.value))  # a.b of a.b.c
        chain = _chain(one)
        if id(one) not in inner and chain:
            chains.add(chain)
        hides = one.id in _HIDING if isinstance(one, ast.Name) else one.attr in _HIDING_PARTS
        if hides or chain == "sys.modules":
            hidden.add(ast.unparse(one)[:100])
    return {"chains": sorted(chains), "hidden": sorted(hidden)}


def _kind(node: ast.stmt) -> str:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "import"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return "define"
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        changes = any(isinstance(one, (ast.Attribute, ast.Subscript)) for target in targets for one in ast.walk(target))
        return "assign" if changes or any(isinstance(one, ast.Call) for one in ast.walk(node)) else "plain"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "plain"  # a text that stands for itself
    if isinstance(node, (ast.If, ast.Try)):  # try: import x; except ImportError: x = None
        inside = [*node.body, *node.orelse, *(s for h in getattr(node, "handlers", ()) for s in h.body)]
        return "assign" if all(_kind(one) != "other" for one in inside) else "other"
    return "other"


def _chain(node: ast.AST) -> str:
    """ "a.b.c" of the expression a.b.c, "" of what does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *names]) if isinstance(node, ast.Name) else ""


# -- running cells


def probed(job: Mapping[str, Any], shell: InteractiveShell) -> dict[str, Any]:
    """Run the job's cells one after another, as a kernel would, and probe the component.

    {"problem": why there is no component to probe, "own": whether it was made in the package, "answers": one list for each
    list of cases}
    """
    problem = ""
    for name, source, needed in job["cells"]:
        outcome = shell.run_cell(source, store_history=False, silent=True)
        error = outcome.error_before_exec or outcome.error_in_exec
        if error is not None and needed:
            problem = f"cell {name} stopped with {type(error).__name__}{_line(error)}: {one_line(error) or 'no message'}"
            if name == job["own"]:
                break
    component = shell.user_ns.get(job["component"])
    if component is None:
        missing = f"{job['component']} is not defined after this cell: it has to be called exactly that"
        return {"problem": problem or missing, "module": "", "answers": []}
    probe = types.ModuleType("probe")
    exec(compile(job["probe"], "<probe>", "exec"), probe.__dict__)
    cases = unpack(base64.b64decode(job["cases"]))
    answers = [answers_of(probe.__dict__["probe"], component, one, seed) for one, seed in zip(cases, job["seeds"])]
    return {"problem": "", "module": str(getattr(component, "__module__", "")), "answers": answers}


def _line(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines, step = [], error.__traceback__
    while step is not None:
        if "ipython-input" in step.tb_frame.f_code.co_filename or "ipykernel" in step.tb_frame.f_code.co_filename:
            lines.append(step.tb_lineno)
        step = step.tb_next
    return f" in line {lines[-1]}" if lines else ""


def _import_all(path: Path) -> None:
    """Import, before all forks, what a notebook of the course imports."""
    for cell in read_cells(path):
        for line in cell["source"].splitlines() if cell["cell_type"] == "code" else ():
            if line.startswith(("import ", "from ")):
                with contextlib.suppress(Exception):  # half of an import in brackets
                    exec(line, {"__name__": "__main__"})


# -- the server


class Server:
    """Runs jobs, one at a time.

    Args:
        tree: the course, in whose place runs see `rooms`/probe.
        rooms: a folder with that tree.
        wanted: "auto", or "plain" for no namespaces.
    """

    def __init__(self, tree: Path, rooms: Path, wanted: str = "auto") -> None:
        torch.set_num_threads(1)
        self.tree, self.rooms = tree, rooms
        root = rooms / "root"
        root.mkdir(exist_ok=True)
        self.view = View(tree, rooms / "probe", root, ("notebooks", "build", "runs"))
        for path in (*sandbox.python_folders(), *(tree / name for name in self.view.writable)):
            if tree in path.parents:
                (rooms / "probe" / path.relative_to(tree)).mkdir(parents=True, exist_ok=True)
        # What a notebook imports as its checks: names that do nothing, because the grader asks the real ones.
        checks = sys.modules["problem_unittests"] = types.ModuleType("problem_unittests")
        exec(DECOY, checks.__dict__)
        for path in sorted((tree / "notebooks").glob("*.ipynb")):
            _import_all(path)
        self.shell = _shell()
        self.isolation = sandbox.isolation_here(self.view)
        if wanted == "plain":
            self.isolation = Isolation(False, self.isolation.fork)

    def reply(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """{"said": the run's report in base64, "why": what ended it, "seconds"}."""
        began, limits = time.monotonic(), Limits(job["timeout"], job["memory"])
        if self.isolation.fork:
            ended = sandbox.run(lambda fd: self._child(job, fd), limits, self.view, self.isolation)
        else:
            with sandbox.scratch_home(self.rooms / "run") as env:
                env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
                ended = sandbox.run_plain(
                    [sys.executable, "-m", "teaching.inside", "one"], json.dumps(dict(job)).encode(), limits, env
                )
        why = _without_answer(ended, limits) if ended.why or not ended.said else ""
        return {"said": base64.b64encode(ended.said).decode(), "why": why, "seconds": round(time.monotonic() - began, 2)}

    def _child(self, job: Mapping[str, Any], fd: int) -> None:
        self._home()
        said = report(job, self.shell)
        with open(fd, "wb", closefd=False) as pipe:
            pipe.write(said)
        os._exit(0)

    def _home(self) -> None:
        """Make and enter the run's own folders; set its environment."""
        folder = Path("/tmp") if self.isolation.namespaces else self.rooms / "run"
        for name in ("home", "tmp", "notebooks", "build"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ.clear()
        os.environ.update(environment(folder))
        os.chdir(self.tree / "notebooks" if self.isolation.namespaces else folder / "notebooks")


def _shell() -> InteractiveShell:
    """IPython's own shell, so that magics and shell lines do in a cell what they do in a kernel."""
    from traitlets.config import Config

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "NoColor"
    return InteractiveShell.instance(config=settings)


def report(job: Mapping[str, Any], shell: InteractiveShell) -> bytes:
    """The packed answer to a job."""
    if job["do"] == "outline":
        return pack([outline(source) for source in job["sources"]])
    return pack(probed(job, shell))


def environment(folder: Path) -> dict[str, str]:
    """All that learner's code sees of the environment."""
    env = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "FACEGEN_PRESET": "ci", "MPLBACKEND": "agg"}
    return env | threads | own


def _without_answer(ended: Ended, limits: Limits) -> str:
    if ended.why == "time":
        return f"took longer than {limits.seconds:g} s: look for a loop without end"
    if ended.why == "memory":
        return f"took more than {limits.memory} MB of memory"
    if ended.why == "processes":
        return f"started more than {limits.processes} processes"
    if ended.why == "report":
        return "its answers are larger than is allowed"
    if ended.status < 0 or ended.status > 128:
        return "ended the process before the check was done (a crash, or no memory left)"
    return "ended the process before the check was done: leave out exit() and os._exit()"


def serve(tree: Path, rooms: Path, wanted: str) -> None:
    """Read jobs as JSON lines on stdin until it closes, write answers as JSON lines on what was stdout."""
    sandbox.end_with_parent()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    jobs = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    server = Server(tree, rooms, wanted)
    print(json.dumps({"isolation": str(server.isolation), "whole": server.isolation.namespaces}), file=out, flush=True)
    for line in jobs:
        print(json.dumps(server.reply(json.loads(line))), file=out, flush=True)


def _one_in_its_own_process() -> None:
    """Where there is no fork: one job, read from stdin, answered on stdout."""
    job = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for old in (0, 1, 2):
        os.dup2(null, old)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")))
    os.chdir(os.environ["HOME"])
    said = report(job, _shell())
    with open(out, "wb") as pipe:
        pipe.write(said)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["one"]:
        _one_in_its_own_process()
    else:
        serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
