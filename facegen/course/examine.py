"""The grader's inner room: load a learner's cells and let the pristine check decide, where nothing they do can decide it.

A server process (`python -m facegen.course.examine`) imports PyTorch, the checks and the bank of known solutions once. For
each exercise it runs, each in a process of its own (`facegen.course.sandbox`) that loads the learner's cells anew:

1. the check on the learner's component, with the seed of the course, and again with another one;
2. the check on wrong solutions of the bank which also call the learner's component: each has to be rejected;
3. the check on a right solution of the bank: it has to be accepted.

Code that changes what checks see, patches a library, answers in the checks' place or writes into the grader's channel does
so in 2 as in 1, cannot tell which it is in, and gives itself away. Beside that the checks have builtins of their own,
patched modules are put back before a check, results of classes that could lie about comparisons are refused, answers are
signed with a secret, and an audit hook, which cannot be taken out again, keeps a solution from looking into the frames and
objects of its grader.

What this does not protect against: code copied by hand out of the package or out of the checks, or from another person;
code that goes out of its way to read this process' memory by means that Python does not announce (a frame handed to a signal
handler, an out-of-bounds view), which is then able to tell 1 from 2; and whatever breaks out of a Linux kernel.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import gc
import hashlib
import hmac
import inspect
import io
import json
import os
import random
import secrets
import subprocess
import sys
import time
import traceback
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager
from torch import Tensor, nn

from facegen.course import sandbox
from facegen.course.exercises import read_cells
from facegen.course.sandbox import Isolation, Limits, View
from facegen.training import symptoms

SEEDS = range(1, 20)  # of the checks' second run, beside their own
WRONG_ONES = 3  # of the bank, for each exercise
ANSWERS = "assets/sick/answers.json"
FORGED = "the grader's checks do not work as they should after this cell has run, so that no check could be trusted: no marks"

_MODULE = "__main__"
_OUTER_DIGITS = 64  # of a signature


class Examiner:
    """The checks, the bank and the snapshot that every run begins with.

    Args:
        tree: the teacher's tree with problem_unittests.py and, if there, tests/wrong.
    """

    def __init__(self, tree: Path) -> None:
        torch.set_num_threads(1)
        self.tree = tree
        self.checks = _private(tree / "problem_unittests.py")
        _harden(self.checks)
        if hasattr(self.checks, "symptoms"):
            self.checks.symptoms = _knowing(symptoms)
        sys.modules["problem_unittests"] = _decoy(self.checks)
        for path in sorted((tree / "notebooks").glob("*.ipynb")):
            _import_all(path)
        self.bank: dict[str, types.ModuleType | None] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            self.checks.test_scale()  # what PyTorch does at its first call is done before all forks
        self.before = _snapshot()
        gc.collect()
        gc.freeze()  # a collection in a fork would copy all memory

    def bank_of(self, name: str) -> types.ModuleType | None:
        path = self.tree / "tests" / "wrong" / f"{name}.py"
        if name not in self.bank:
            self.bank[name] = bank = _private(path, listed=True) if path.is_file() else None
            if hasattr(bank, "is_answer"):
                bank.is_answer = self.checks.symptoms.is_answer
        return self.bank[name]

    def candidates(self, job: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
        """(kind, number in the bank, seed) of each run; the first failing "own" one ends them."""
        chance = random.SystemRandom()
        yield "own", 0, self.checks.SEED
        yield "own", 0, chance.choice(SEEDS)
        bank = self.bank_of(job["name"])
        for number in chance.sample(range(len(bank.WRONG)), min(WRONG_ONES, len(bank.WRONG))) if bank else ():
            yield "wrong", number, chance.choice(SEEDS)
        if not bank:  # a tree without a bank: what every check rejects
            yield "nothing", 0, self.checks.SEED
        yield ("right", chance.randrange(len(bank.RIGHT)), self.checks.SEED) if bank else ("reference", 0, self.checks.SEED)

    # -- inside a run

    def answer(self, job: Mapping[str, Any], kind: str, number: int, seed: int, write: Callable[[bytes], None]) -> None:
        """Load the cells, run one check, write one signed line."""
        secret = bytes.fromhex(job["secret"])
        digest, dumps = hmac.digest, json.dumps  # held here: the learner's code may replace them in their modules
        passed, message = self._verdict(job, kind, number, seed)
        text = dumps([passed, message[:2000]]).encode()
        write(digest(secret, text, "sha256").hex().encode() + text + b"\n")

    def _verdict(self, job: Mapping[str, Any], kind: str, number: int, seed: int) -> tuple[bool, str]:
        text = str
        symptoms.is_answer = _no_answers
        namespace, problem = _load(job["cells"])
        if problem:
            return False, problem
        name = job["component"]
        if name not in namespace:
            return False, f"{name} is not defined after this cell: it has to be called exactly that"
        learner = namespace[name]
        check = getattr(self.checks, job["check"])
        _restore(self.before)
        reference = check.__wrapped__.__defaults__[0]
        if _is_reference(learner, reference):
            return False, f"{name}: this is the package's own, passed on: write your own"
        self.checks.SEED = seed
        return _tried(check, self._component(kind, number, job["name"], learner, reference), text)

    def _component(self, kind: str, number: int, name: str, learner: Any, reference: Any) -> Any:
        if kind == "own":
            return fair(learner, self.checks, reference)
        if kind == "wrong":
            return shadowed(self.bank_of(name).WRONG[number][1], learner)
        if kind == "right":
            return self.bank_of(name).RIGHT[number][1]
        return reference if kind == "reference" else shadowed(lambda *arguments, **named: None, learner)


def _tried(check: Callable, component: Any, text: type) -> tuple[bool, str]:
    """Whether a check returns; any other way out of it, SystemExit too, is a failure."""
    try:
        check(component)
    except BaseException as error:
        if type(error) is AssertionError:
            return False, text(error)
        return False, f"the check was ended by {type(error).__name__}"
    return True, ""


def _import_all(path: Path) -> None:
    """Import, before all forks, what a notebook of the course imports."""
    for cell in read_cells(path):
        for line in cell["source"].splitlines() if cell["cell_type"] == "code" else ():
            if line.startswith(("import ", "from ")):
                with contextlib.suppress(Exception):  # half of an import in brackets
                    exec(line, {"__name__": _MODULE})


# -- checks that learner's code does not reach


def _private(path: Path, *, listed: bool = False) -> types.ModuleType:
    """A module of its own name with builtins of its own, which `sys.modules` does not show unless `listed`."""
    name = f"_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = dict(vars(builtins))
    if listed:  # classes of the bank are pickled and copied by name
        sys.modules[name] = module
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def _decoy(checks: types.ModuleType) -> types.ModuleType:
    """What a notebook imports as its checks: names that do nothing, because the grader asks the real ones."""
    module = types.ModuleType("problem_unittests")
    for name in vars(checks):
        if name.startswith("test_"):
            setattr(module, name, lambda *component, **named: None)
    return module


def _knowing(module: types.ModuleType) -> types.SimpleNamespace:
    """The symptoms, with the names of the recorded runs, which lie hidden from learners' code while it is graded."""
    names = (*module.SICKNESSES, module.HEALTHY)
    runs = module.recorded_letters()
    truth = {letter: next(name for name in names if module.is_answer(letter, name)) for letter in runs}
    return types.SimpleNamespace(**{**vars(module), "is_answer": lambda letter, name: truth[letter] == name})


def _no_answers(letter: str, name: str) -> bool:
    raise RuntimeError("is_answer is switched off while this is graded: write down the names that you found")


_TENSORS = tuple(kind for kind in (Tensor, nn.Parameter, getattr(nn, "Buffer", None)) if kind is not None)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device, np.ndarray)
# No class of PyTorch's networks and loaders, no named tuple and no number of NumPy defines one of these in Python.
_LYING = frozenset(
    {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__class__", "__torch_function__"}
    | {"__getattribute__", "__sub__", "__rsub__", "__abs__", "__float__"}
)


def _lie(value: Any, depth: int = 0) -> str:
    """The name of a class in a result that could answer comparisons as it likes; "" if there is none."""
    kind = type(value)
    if kind in _TENSORS or kind in _PLAIN or depth > 4:
        return ""
    bases = type.mro(kind)
    if Tensor in bases or any(_changeable(base) and not _LYING.isdisjoint(vars(base)) for base in bases):
        return kind.__name__
    if dict in bases:
        value = list(value.values())
    elif not {tuple, list, set, frozenset} & set(bases):
        return ""
    return next((found for item in value if (found := _lie(item, depth + 1))), "")


def _harden(checks: types.ModuleType) -> None:
    """Let the helpers of the checks look at types by `type`, which a class cannot answer for itself."""
    mistake = checks._Mistake

    def refuse(value: Any, what: str) -> None:
        if found := _lie(value):
            raise mistake(f"{what} is of a class of its own ({found}): expected plain tensors and numbers")

    def first(helper: Callable, what: str) -> Callable:
        @functools.wraps(helper)
        def asked(value: Any, *rest: Any, **named: Any) -> Any:
            refuse(value, rest[0] if what == "it" and rest and type(rest[0]) is str else what)
            return helper(value, *rest, **named)

        return asked

    for name, what in (("_tensor", "it"), ("_require", "the outcome of a comparison"), ("_close", "a result")):
        if hasattr(checks, name):
            setattr(checks, name, first(getattr(checks, name), what))
    checks.refuse_lies = refuse


# Compiled under the checks' file name, whose frames are no part of the message about an exception in the learner's code.
_FAIR = """
def fair(component):
    @wraps(component)
    def asked(*arguments, **named):
        __tracebackhide__ = True
        with switched_off():
            result = component(*arguments, **named)
        refuse_lies(result, "the result")
        return result
    return asked
"""


def fair(learner: Any, checks: types.ModuleType, reference: Any) -> Any:
    """The learner's component, whose results have to be of plain types, and for which the package's own is switched off."""
    if isinstance(learner, type):
        if issubclass(learner, nn.Module):
            nn.modules.module.register_module_forward_hook(lambda _, __, result: checks.refuse_lies(result, "the result"))
        if isinstance(reference, type) and "__init__" in vars(reference) and reference.__module__.startswith("facegen."):
            reference.__init__ = _off
        return learner
    if not callable(learner):
        return learner
    off = functools.partial(_switched_off, reference)
    scope = {"wraps": functools.wraps, "refuse_lies": checks.refuse_lies, "switched_off": off}
    exec(compile(_FAIR, checks.__file__, "exec"), scope)
    return scope["fair"](learner)


# -- known solutions with the learner's code in them


def shadowed(wrong: Any, learner: Any) -> Any:
    """The wrong component, which also runs the learner's at every call, on copies, and throws its results away."""
    if isinstance(wrong, type):
        return _shadow_class(wrong, learner)

    @functools.wraps(wrong)
    def both(*arguments: Any, **named: Any) -> Any:
        shadow = _aside(learner, arguments, named)
        result = wrong(*arguments, **named)
        return _with_shadow(result, shadow) if isinstance(result, nn.Module) else result

    return both


def _shadow_class(wrong: type, learner: Any) -> Callable:
    @functools.wraps(wrong, updated=())
    def made(*arguments: Any, **named: Any) -> Any:
        return _with_shadow(wrong(*arguments, **named), _aside(learner, arguments, named))

    return made


def _with_shadow(instance: Any, shadow: Any) -> Any:
    if shadow is None or not callable(instance):
        return instance
    kind = type(instance)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        _aside(shadow, arguments, named)
        return kind.__call__(self, *arguments, **named)

    instance.__class__ = type(kind.__name__, (kind,), {"__call__": __call__, "__module__": kind.__module__})
    return instance


def _aside(learner: Any, arguments: tuple, named: dict) -> Any:
    """Call the learner's component on copies; whatever it does, the check goes on as if it had not been called."""
    states = random.getstate(), np.random.get_state(), torch.get_default_dtype(), torch.get_rng_state()
    try:
        with torch._C.DisableTorchFunction(), torch.enable_grad():
            arguments, named = _copied(arguments), _copied(named)
            return learner(*arguments, **named)
    except BaseException:
        return None
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_default_dtype(states[2])
        torch.set_rng_state(states[3])


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copied(item) for item in value)
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if type(value) in _TENSORS:
        return value.detach().clone().requires_grad_(value.requires_grad)
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


# -- the package's own components


def _is_reference(learner: Any, reference: Any) -> bool:
    if learner is reference:
        return True
    if isinstance(learner, types.FunctionType) and isinstance(reference, types.FunctionType):
        return learner.__code__ is reference.__code__
    return isinstance(learner, type) and isinstance(reference, type) and issubclass(learner, reference)


def _off(*arguments: Any, **named: Any) -> None:
    raise RuntimeError("the package's own version is switched off while yours is checked: write your own")


class _switched_off:
    """Within this context the package's own version of a function raises; the check itself, outside, may use it."""

    def __init__(self, reference: Any) -> None:
        own = isinstance(reference, types.FunctionType) and reference.__module__.startswith("facegen.")
        self.reference = reference if own and not reference.__code__.co_freevars else None

    def __enter__(self) -> None:
        if self.reference is not None:
            self.code, self.reference.__code__ = self.reference.__code__, _off.__code__

    def __exit__(self, *error: object) -> None:
        if self.reference is not None:
            self.reference.__code__ = self.code


# -- what learner's code may have changed


# What a check reaches. All modules would be ten times as many names, each of which costs a fork some memory to look at.
_REACHED = (  # lines of names
    "builtins contextlib copy functools io itertools math os os.path pathlib random re tempfile traceback types numpy",
    "PIL.Image PIL.ImageDraw torch torch.functional torch.nn torch.nn.functional torch.nn.init torch.overrides torch.random",
    "torch.linalg torch.fft torch.autograd torch.autograd.grad_mode torch.optim torch.optim.optimizer torch.optim.adam",
    "torch.optim.sgd torch.testing torch.utils.data",
)
_REACHED_BELOW = ("torch.nn.modules", "facegen.models", "facegen.training", "facegen.data", "facegen.latent")


def _snapshot() -> list[tuple[Any, dict[str, Any], Any]]:
    """The names of the modules that checks reach, and of the classes in those of networks and optimisers."""
    kinds: set[type] = {Tensor, nn.Module, nn.Parameter, Path, random.Random}
    reached = " ".join(_REACHED).split()
    modules = [sys.modules[name] for name in sorted(sys.modules) if name in reached or name.startswith(_REACHED_BELOW)]
    for module in modules:
        if module.__name__.startswith(("torch.nn.modules", "torch.optim", "facegen.models", "facegen.training")):
            kinds |= {kind for kind in vars(module).values() if isinstance(kind, type) and _changeable(kind)}
    modules.sort(key=lambda module: module is not builtins)
    of_modules = [(module, dict(vars(module)), None) for module in modules]
    return of_modules + [(kind, dict(vars(kind)), (type.__setattr__, type.__delattr__)) for kind in kinds]


def _changeable(kind: type) -> bool:
    return bool(kind.__flags__ & (1 << 9))  # a class made by Python code


def _restore(before: list[tuple[Any, dict[str, Any], Any]], missing: object = object(), vars_: Callable = vars) -> None:
    """Give every name that was there its value again, and take from classes what has been added.

    Written without builtins beside `vars_`, which may have been replaced; their module comes first.
    """
    for owner, names, change in before:
        now = vars_(owner)
        for name, value in names.items():
            if now.get(name, missing) is not value and name not in ("__builtins__", "__dict__", "__weakref__"):
                if change is None:
                    now[name] = value
                else:
                    change[0](owner, name, value)
        if change is not None:
            for name in now.keys() - names.keys():
                change[1](owner, name)


# -- loading cells


class _Shell:
    """What `get_ipython()` gives to a cell: magics that run code run it, the others do nothing."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.user_ns = namespace

    def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> None:
        if name in ("time", "timeit", "prun"):
            exec(line, self.user_ns)

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        if name in ("time", "capture", "timeit", "prun"):
            exec(compile(body, "<cell>", "exec"), self.user_ns)

    def system(self, command: str) -> None:
        """Nothing: there is no network and no folder to change."""

    getoutput = system


def _load(cells: list[list[str]]) -> tuple[dict[str, Any], str]:
    """Run [id, source] one after another in one namespace; returns it, and one line about what stopped it."""
    module = types.ModuleType(_MODULE)
    namespace = module.__dict__
    sys.modules[_MODULE] = module
    shell = _Shell(namespace)
    namespace["get_ipython"] = lambda: shell
    for number, (name, source) in enumerate(cells):
        try:
            code = compile(TransformerManager().transform_cell(source), f"<cell {name}>", "exec")
            exec(code, namespace)
        except BaseException as error:
            last = number == len(cells) - 1
            return namespace, _stopped(name, error, last)
    return namespace, ""


def _stopped(cell: str, error: BaseException, own: bool) -> str:
    message = " ".join(str(error).split())[:200]
    where = f"line {error.lineno}" if isinstance(error, SyntaxError) else ""
    if not where:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == f"<cell {cell}>"]
        where = f"line {lines[-1]}" if lines else ""
    place = f"cell {cell}" + (f", {where}" if where else "")
    what = "the cell" if own else "a cell before it, which it needs,"
    return f"{what} stopped with {type(error).__name__} ({place}): {message or 'no message'}"


# -- guards inside Python

_LOOKING = tuple(module.__file__ for module in (inspect, traceback))
_NEVER = ("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames", "sys._current_exceptions",
          "sys.settrace", "sys.setprofile", "sys.monitoring.register_callback", "sys.addaudithook")  # fmt: skip
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
            "socket.gethostbyaddr", "socket.getnameinfo")  # fmt: skip
_STARTING = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "os.startfile", "pty.spawn")
_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_MOVING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
           "shutil.rmtree", "os.listdir", "os.scandir", "os.chdir")  # fmt: skip
_ENDING = ("os.kill", "os.killpg", "signal.pthread_kill")


def guard(isolation: Isolation, readable: list[str], writable: list[str]) -> None:
    """Refuse, from now on in this process, to look into the grader; without namespaces also files, network, programs.

    An audit hook cannot be removed. `readable` and `writable` are the folders left open where there is no namespace.
    """
    frame_of, real, join = sys._getframe, os.path.realpath, os.path.join
    state, answers = {"busy": False}, os.path.normpath(ANSWERS)
    outside = not isolation.namespaces
    may_read = tuple(join(real(path), "") for path in (*readable, *writable))
    may_write = tuple(join(real(path), "") for path in writable)

    def refuse(what: str) -> None:
        raise PermissionError(f"{what} is not allowed while this is graded")

    def looking(event: str, arguments: tuple) -> None:
        frame = frame_of(2)
        while frame is not None and frame.f_code.co_filename in _LOOKING:
            if frame.f_code.co_name in ("extract", "_extract_from_extended_frame_gen", "extract_tb", "extract_stack"):
                return  # a traceback that is printed: text, no frames
            frame = frame.f_back
        name = frame.f_code.co_filename if frame is not None else "<"
        if name.startswith("<") and not name.startswith("<frozen"):
            refuse("looking into frames")

    def file(path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        name = real(os.fsdecode(path))
        if name.startswith("/proc/") and name.rsplit("/", 1)[-1] in ("mem", "maps", "environ", "smaps", "syscall"):
            refuse("reading a process' memory")
        if name.endswith(answers):
            refuse("reading the answers")
        if outside and name != os.devnull:
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else mode not in ("r", "rb")
            if not (name + os.sep).startswith(may_write if writes else may_read):
                refuse(f"{'writing' if writes else 'reading'} {os.path.basename(name)}")

    def hook(event: str, arguments: tuple) -> None:
        if state["busy"]:
            return
        state["busy"] = True
        try:
            if event in _NEVER or event.startswith("ctypes."):
                refuse(event)
            elif event == "sys._getframe" or (event == "object.__getattr__" and arguments[1] in _FRAMES):
                looking(event, arguments)
            elif event == "object.__setattr__" and arguments[1] in ("__code__", "__defaults__", "__kwdefaults__"):
                if frame_of(1).f_code.co_filename.startswith("<cell"):
                    refuse("changing a function's code")
            elif event == "open":
                file(*arguments)
            elif event in _NETWORK:
                refuse("the network")
            elif outside and event in _STARTING:
                refuse("starting a program")
            elif outside and event in _ENDING:
                refuse("ending a process")
            elif outside and event in _MOVING:
                writes = event not in ("os.listdir", "os.scandir", "os.chdir")
                for path in (a for a in arguments[:2] if isinstance(a, (str, bytes, os.PathLike))):
                    if not (real(os.fsdecode(path)) + os.sep).startswith(may_write if writes else may_read):
                        refuse(f"{event} of {os.path.basename(os.fsdecode(path))}")
        finally:
            state["busy"] = False

    sys.addaudithook(hook)


# -- the server


class Server:
    """Answers jobs, one at a time.

    Args:
        tree: the teacher's tree, whose place the student's takes in every run.
        student: the tree without solutions.
        scratch: an existing folder for files of the runs.
        wanted: "auto", or "guards" for no namespaces.
    """

    def __init__(self, tree: Path, student: Path, scratch: Path, wanted: str = "auto") -> None:
        self.tree, self.student, self.scratch = tree, student, scratch
        root = scratch / "root"
        root.mkdir(exist_ok=True)
        hidden = [name for name in ("problem_unittests.py", ANSWERS) if (student / name).is_file()]
        self.view = View(tree, student, root, ("notebooks", "build", "runs"), tuple(hidden))
        for path in (*sandbox.python_folders(), *(tree / name for name in self.view.writable)):
            if tree in path.parents:
                (student / path.relative_to(tree)).mkdir(parents=True, exist_ok=True)
        self.examiner = Examiner(tree)
        self.isolation = sandbox.isolation_here(self.view)
        if wanted == "guards":
            self.isolation = Isolation(False, self.isolation.fork)

    def exam(self, job: dict[str, Any]) -> dict[str, Any]:
        """One exercise: {"passed", "message"}."""
        limits = Limits(job["timeout"], job["memory"])
        for kind, number, seed in self.examiner.candidates(job):
            passed, message = self._one(job, kind, number, seed, limits)
            if kind == "own" and not passed:
                return {"passed": False, "message": message}
            if kind != "own" and passed != (kind in ("right", "reference")):
                return {"passed": False, "message": FORGED}
        return {"passed": True, "message": ""}

    def _one(self, job: dict[str, Any], kind: str, number: int, seed: int, limits: Limits) -> tuple[bool, str]:
        job = {**job, "secret": secrets.token_hex(32)}
        if self.isolation.fork:
            ended = sandbox.run(lambda fd: self._child(job, kind, number, seed, fd), limits, self.view, self.isolation)
        else:
            text = json.dumps([str(self.tree), job, kind, number, seed]).encode()
            folder = self.scratch / secrets.token_hex(4)
            with sandbox.scratch_home(folder) as env:
                env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
                ended = sandbox.run_plain([sys.executable, "-m", __spec__.name, "one"], text, limits, env)
        for line in ended.said.splitlines():
            signature, text = line[:_OUTER_DIGITS], line[_OUTER_DIGITS:]
            if hmac.compare_digest(hmac.digest(bytes.fromhex(job["secret"]), text, "sha256").hex().encode(), signature):
                passed, message = json.loads(text)
                return passed is True, message
        return False, _without_answer(ended, limits)

    def _child(self, job: dict[str, Any], kind: str, number: int, seed: int, fd: int) -> None:
        folder = self._home(job)
        if not self.isolation.namespaces:
            here = [str(self.tree / name) for name in ("facegen", "assets")]
            python = [str(path) for path in sandbox.python_folders()] + ["/usr", "/lib", "/etc", "/proc", "/sys", "/dev"]
            guard(self.isolation, [*here, *python], [str(folder), "/dev/shm"])
        else:
            guard(self.isolation, [], [])
        write = os.write
        self.examiner.answer(job, kind, number, seed, lambda line: write(fd, line))
        os._exit(0)

    def _home(self, job: Mapping[str, Any]) -> Path:
        """Make and enter the run's own folders; set its environment."""
        folder = Path("/tmp") if self.isolation.namespaces else self.scratch / f"run-{job['secret'][:8]}"
        for name in ("home", "tmp", "notebooks", "build"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ.clear()
        os.environ.update(environment(folder))
        os.chdir(self.tree / "notebooks" if self.isolation.namespaces else folder / "notebooks")
        return folder

    # -- pytest --nbval

    def notebook(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a notebook with pytest --nbval; {"cells": [[status, message], ...] of its code cells, "message"}."""
        limits = Limits(job["timeout"] * max(4, job["cells"]), job["memory"] + 2048, processes=96)
        view = View(self.view.tree, self.view.instead, self.view.root, self.view.writable)
        job = {**job, "secret": secrets.token_hex(8)}
        if self.isolation.fork:
            ended = sandbox.run(lambda fd: self._nbval_child(job, fd), limits, view, self.isolation)
            return _outcomes(ended, limits)
        with sandbox.scratch_home(self.scratch / f"run-{job['secret']}") as env:
            command = self._nbval(job, self.scratch / f"run-{job['secret']}")
            ended = sandbox.run_plain(command, b"", limits, env)
            report = self.scratch / f"run-{job['secret']}" / "out.xml"
            said = report.read_bytes() if report.is_file() else b""
        return _outcomes(sandbox.Ended(said, ended.why, ended.status), limits)

    def _nbval_child(self, job: dict[str, Any], fd: int) -> None:
        folder = self._home(job)
        command = self._nbval(job, folder)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(OSError), open(folder / "out.xml", "rb") as file:
            os.write(fd, file.read(sandbox.SAID_LIMIT))
        os._exit(0)

    def _nbval(self, job: Mapping[str, Any], folder: Path) -> list[str]:
        """Write the notebook where it can be run, beside the checks; returns the command."""
        if self.isolation.namespaces:
            place = self.tree / "notebooks"
        else:
            place = folder / "notebooks"
            place.mkdir(parents=True, exist_ok=True)
            (folder / "problem_unittests.py").write_bytes((self.student / "problem_unittests.py").read_bytes())
        (place / "graded.ipynb").write_text(job["notebook"], encoding="utf-8")
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        settings = (
            f"--nbval --nbval-current-env --nbval-cell-timeout={4 * job['timeout']:g} --nbval-kernel-startup-timeout=120 -q"
        )
        return [sys.executable, "-m", "pytest", *settings.split(), "-p", "no:cacheprovider", "-c", os.devnull,
                f"--rootdir={place}", f"--junitxml={folder / 'out.xml'}", str(place / "graded.ipynb")]  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """All that learner's code sees of the environment."""
    env = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "FACEGEN_PRESET": "ci", "MPLBACKEND": "agg"}
    return env | threads | own


def _without_answer(ended: sandbox.Ended, limits: Limits) -> str:
    if ended.why == "time":
        return f"took longer than {limits.seconds:g} s: look for a loop without end"
    if ended.why == "memory":
        return f"took more than {limits.memory} MB of memory"
    if ended.why == "processes":
        return f"started more than {limits.processes} processes"
    if ended.status < 0 or ended.status > 128:
        return "ended the process before the check was done (a crash, or no memory left)"
    return "ended the process before the check was done: leave out exit() and os._exit()"


def _outcomes(ended: sandbox.Ended, limits: Limits) -> dict[str, Any]:
    cells: list[list[str]] = []
    message = _without_answer(ended, limits) if ended.why else ""
    try:
        for case in ET.fromstring(ended.said).iter("testcase") if ended.said else ():
            bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
            cells.append([bad[0].tag if bad else "passed", (bad[0].get("message") or "")[:500] if bad else ""])
    except ET.ParseError:
        message = message or "the report of pytest --nbval could not be read"
    return {"cells": cells, "message": message or ("" if cells else "pytest --nbval gave no report")}


def serve(tree: Path, student: Path, scratch: Path, wanted: str) -> None:
    """Read jobs as JSON lines on stdin until it closes, write answers as JSON lines on what was stdout."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    jobs = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    server = Server(tree, student, scratch, wanted)
    print(json.dumps({"isolation": str(server.isolation), "whole": server.isolation.namespaces}), file=out, flush=True)
    for line in jobs:
        job = json.loads(line)
        began = time.monotonic()
        reply = server.notebook(job) if "notebook" in job else server.exam(job)
        print(json.dumps({**reply, "seconds": round(time.monotonic() - began, 2)}), file=out, flush=True)


def _one_in_its_own_process() -> None:
    """Where there is no fork: one run, read from stdin, answered on stdout."""
    tree, job, kind, number, seed = json.loads(sys.stdin.buffer.read())
    fd = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for old in (0, 1, 2):
        os.dup2(null, old)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")))
    examiner = Examiner(Path(tree))
    examiner.bank_of(job["name"])
    home = Path(os.environ["HOME"])
    os.chdir(home)
    folders = [str(path) for path in sandbox.python_folders()] + [str(Path(tree) / name) for name in ("facegen", "assets")]
    guard(Isolation(False, fork=False), [*folders, "/usr", "/System", "/Library", "/dev", "/etc"], [str(home.parent)])
    write = os.write
    examiner.answer(job, kind, number, seed, lambda line: write(fd, line))
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["one"]:
        _one_in_its_own_process()
    else:
        serve(*(Path(name) for name in sys.argv[1:4]), sys.argv[4])
