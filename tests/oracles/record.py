"""What must not change, measured on this tree: `python tests/oracles/record.py` writes it into the files beside this one.

The tests in test_oracles.py measure the same again and compare. How the command line is built is not looked at: it is called
as a user calls it, in this process.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import pkgutil
import re
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPES = ("dcgan", "cyclegan", "stylegan2", "stylegan3-t", "stylegan3-r")
VERBS = (
    *("", "data", "data list", "data fetch", "dataset", "dataset_tool", *(f"train --cfg={recipe}" for recipe in RECIPES)),
    *("generate", "fakes", "portrait", "spectra", "align", "prepare-unpaired", "translate", "gallery", "project", "walk"),
    *("mix", "directions", "edit", "transfer", "blend", "compare", "search", "evaluate", "diagnose", "audit", "convert"),
    *("info", "models"),
)
USAGE = "(usage)"  # stands for whatever is said of a command line that cannot be read


# -- the command line


def commands() -> list[str]:
    lines = (HERE / "commands.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A new working folder with the pictures, networks and the run that commands.txt names; nothing of the user's is seen."""
    import torch
    from PIL import Image

    from facegen.data.drawn import drawn
    from facegen.latent.project import save_latents
    from facegen.models import pretrained, stylegan2, stylegan3

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary, mock.patch.dict(os.environ, COLUMNS="100", NO_COLOR="1"):
        folder = Path(temporary).resolve()
        os.environ |= {"FACEGEN_CACHE": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "cache")}
        os.environ.pop("FACEGEN_DEBUG", None)
        os.chdir(folder)
        try:
            Path("empty").mkdir()
            Path("faces").mkdir()
            for i, face in enumerate(drawn(6, 16).images):
                Image.fromarray(face.permute(1, 2, 0).numpy()).save(f"faces/{i}.png")
            Image.new("RGB", (24, 16), "gray").save("wide.png")
            Path("notes.txt").write_text("no picture and no network\n", encoding="utf-8")
            Path("labels.csv").write_text("seed,smile\n0,1\n1,perhaps\n", encoding="utf-8")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                mapping, narrow = {"num_layers": 2}, {"channel_base": 128, "channel_max": 8}
                style, other, classes = (stylegan2.Generator(8, k, 8, 16, 3, mapping, narrow) for k in (0, 0, 3))
                move = stylegan3.Generator(8, 0, 8, 32, 3, mapping, channel_base=256, channel_max=8, num_layers=6)
                save_latents(Path("me.npz"), torch.randn(1, style.num_ws, 8))
            for name, G in (("style", style), ("other", other), ("classes", classes), ("move", move)):
                pretrained.save(Path(f"{name}.safetensors"), G, None, {"kimg": 1.0, "licence": "CC0"})
            run = "train --data drawn:24 --outdir run --image-size 32 --conv-dim 4 --batch 8 --kimg 0.032 --snap 0.016"
            code, _, errors = call(f"{run} --device cpu --precision float32")
            assert code == 0, errors
            yield folder
        finally:
            os.chdir(before)


def call(line: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `facegen LINE`; paths of this machine are taken out."""
    from facegen.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = main(shlex.split(line))
        except SystemExit as stop:
            code = stop.code or 0
        except Exception as error:  # what would be a traceback
            code = 1
            print(f"{type(error).__name__}: {error}", file=err)
    return code, *(stream.getvalue().replace(f"{Path.cwd()}/", "") for stream in (out, err))


def outcome(line: str) -> dict[str, object]:
    """Exit code and last line of stderr, and of a dry run every setting, which is what was made of the flags."""
    code, said, errors = call(line)
    last = (errors.strip().splitlines() or [""])[-1]
    found: dict[str, object] = {"code": code, "stderr": USAGE if errors.startswith("usage:") else last}
    if code == 0 and "--dry-run" in line:
        found["settings"] = dict(re.findall(r"^(\w+) +(\S.*)$", said, re.M))
    return found


def help_of(verb: str) -> str:
    code, said, errors = call(f"{verb} --help")
    assert code == 0, f"facegen {verb} --help: {errors}"
    return said


def flags_of(text: str) -> list[str]:
    """The flags that a help text explains: those at the beginnings of its lines, not those that text was wrapped before."""
    columns = re.findall(r"^[│*]? {1,4}(-{1,2}[A-Za-z].*?)(?:\s{2,}|$)", text, re.M)
    return sorted({flag for column in columns for flag in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", column)})


def facts_of(text: str) -> dict[str, str]:
    """Each flag, and what today's help says of it: required or not, and its default."""
    usage = re.sub(r"\[[^\[\]]*(\[[^\[\]]*\])?[^\[\]]*\]", "", text.split("\n\n")[0])
    required = re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", usage)  # of a group, one of them
    facts = {}
    for entry in re.split(r"^(?=  -)", text, flags=re.M)[1:]:
        default = re.search(r"\(default: (.*?)\)$|\[([^\[\]]*)\]$", " ".join(entry.split("\n\n")[0].split()))
        for flag in flags_of(entry.splitlines()[0]):
            facts[flag] = "required" if flag in required else f"default: {default[1] or default[2]}" if default else ""
    return facts


# -- the bank, drawn faces, notebooks


def bank() -> dict[str, dict[str, str]]:
    """Exercise -> wrong solution -> what its check says, with the check's own seed; lines of source files are left out."""
    from teaching.bank import run_bank

    run, found = run_bank(seeds=1, workers=1), {}
    assert run.problems == []  # none passes, and each is called by its name
    for entry in run.entries:
        if not entry.right:
            found.setdefault(entry.exercise, {})[entry.label] = re.sub(r"\bline \d+", "line N", entry.message)
    return found


DRAWINGS: dict[str, dict] = {
    "smallest": {"n": 8, "size": 16},
    "usual": {"n": 8, "size": 64},
    "odd": {"n": 6, "size": 33, "seed": 1},
    "large": {"n": 2, "size": 128, "seed": 2024},
    "later": {"n": 4, "size": 64, "seed": 7, "start": 1000},
    "two people": {"n": 8, "size": 64, "seed": 5, "identities": [3] * 4 + [4] * 4},
    "uncanny": {"n": 8, "size": 64, "seed": 12, "uncanny": 1.0},
    "weighted": {"n": 8, "size": 48, "seed": 3, "weights": {"hat": [0, 1, 1], "skin_tone": [1] * 2 + [0] * 6 + [1] * 2}},
}


def drawings() -> dict[str, dict[str, str]]:
    """Of each call in DRAWINGS, a digest of pixels, landmarks, identities and attributes."""
    from facegen.data.drawn import drawn

    found = {}
    for name, arguments in DRAWINGS.items():
        faces = drawn(**arguments)
        parts = {"pixels": [faces.images], "landmarks": [faces.landmarks], "identity": [faces.identity]}
        parts["attributes"] = [faces.attributes[key] for key in sorted(faces.attributes)]
        found[name] = {part: _sha256(*(one.numpy().tobytes() for one in tensors)) for part, tensors in parts.items()}
    return found


def _sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _code_cells() -> dict[str, list[dict]]:
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    books = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {name: [cell for cell in book["cells"] if cell["cell_type"] == "code"] for name, book in books.items()}


def compared() -> dict[str, dict[str, object]]:
    """Of each notebook, how many cells `pytest --nbval` compares, and a digest of what they printed."""
    found = {}
    for name, cells in _code_cells().items():
        strict = [cell for cell in cells if "nbval-ignore-output" not in cell["metadata"].get("tags", [])]
        printed = ["".join(output.get("text", "")) for cell in strict for output in cell["outputs"]]
        found[name] = {"cells": len(strict), "sha256": _sha256(json.dumps(printed).encode())}
    return found


def imported() -> list[str]:
    """All that notebooks take from the package: what they import, and what they use of modules that they import."""
    names: set[str] = set()
    for cells in _code_cells().values():
        nodes = [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]
        known: dict[str, str] = {}  # name in the notebook -> name in the package
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facegen":
                known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                known |= {a.asname or a.name: a.name for a in node.names if a.name.split(".")[0] == "facegen"}
        names |= set(known.values())
        parts = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
        used = {(known[part.value.id], part.attr) for part in parts if part.value.id in known}
        names |= {f"{module}.{attribute}" for module, attribute in used if isinstance(in_package(module), ModuleType)}
    return sorted(names)


def in_package(name: str) -> object:
    """The object, or module, that is called such as facegen.data.packed.Faces; None if there is none."""
    try:
        return pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return None


def main() -> None:
    with workspace():
        texts = {verb: help_of(verb) for verb in VERBS}
        cli = {"flags": {verb: facts_of(text) for verb, text in texts.items()}, "commands": {c: outcome(c) for c in commands()}}
    pages = (f"$ facegen {verb} --help\n{text}" for verb, text in texts.items())
    (HERE / "help.txt").write_text("\n\n".join(pages), encoding="utf-8")
    notebooks = {"compared": compared(), "imported": imported()}
    for name, found in {"cli": cli, "drawn": drawings(), "notebooks": notebooks, "bank": bank()}.items():
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
