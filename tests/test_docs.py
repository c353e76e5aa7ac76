"""README and docs/: one page that can be read aloud, links that lead somewhere, commands whose flags exist."""

import contextlib
import functools
import io
import re
from pathlib import Path

import pytest

from facegen.__main__ import main
from facegen.config import RECIPES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
LINK = re.compile(r"(?:\]\(|^\[\w+\]: )([^)\s]+)", re.M)  # in the text, or at the page's end
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")


def anchors(page: Path) -> set[str]:
    """What can stand behind #, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Instructions.md"], ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_readme_is_one_page():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


def test_the_readme_is_read_aloud_in_two_minutes():
    said = re.sub(r"^(?: {4}|\||!|\[\w+\]: ).*$|\]\([^)]*\)", "", README, flags=re.M)  # no code, tables, pictures, addresses
    assert 300 <= len(re.findall(r"\w[\w.'-]*", said)) <= 450


def test_the_readme_names_every_notebook_and_every_page_of_the_docs():
    links = set(LINK.findall(README))
    badge = "https://colab.research.google.com/github/facegen-course/facegen/blob/main/notebooks/"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert {f"notebooks/{path.name}", badge + path.name} <= links
    assert {f"docs/{path.name}" for path in DOCS} <= links


def commands(page: Path) -> list[list[str]]:
    """The command lines of a page, in words: those in blocks, and those within the text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [part for line in re.findall(r"^ {4}(.*)$", text, re.M) for part in re.sub(r"(^|\s)#.*", "", line).split(";")]
    within = re.findall(r"`([^`]+)`", re.sub(r"^ {4}.*$", "", text, flags=re.M))
    found = [words for part in blocks + within if len(words := part.split()) > 1 or part.startswith("--")]
    return [words[words.index("facegen") :] if "facegen" in words[:-1] else words for words in found]


VERBS = {words[1] for page in PAGES for words in commands(page) if words[0] == "facegen"} - {"--help", "VERB"}
TRAIN = [("train", f"--cfg={recipe}") for recipe in RECIPES]


@functools.cache
def flags_of(*words: str) -> set[str]:
    """The flags that a verb's help names."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    assert f"facegen {words[0]}" in said.getvalue(), f"{' '.join(words)} is no verb"
    return set(FLAG.findall(said.getvalue()))


def is_file(words: list[str]) -> bool:
    return words[0] == "python" and words[1].endswith(".py")


def flags_for(words: list[str]) -> set[str]:
    """The flags that a command may have."""
    match words:
        case ["python", file, *_]:
            return set(FLAG.findall((ROOT / file).read_text(encoding="utf-8")))
        case ["facegen", "data", action, *_]:
            return flags_of("data", action)
        case ["facegen", "train", *rest]:
            return flags_of(*next((recipe for recipe in TRAIN if recipe[1] in rest), TRAIN[0]))
        case ["facegen", verb, *_]:
            return flags_of(verb)
        case [verb, *_] if verb in VERBS - {"train"}:
            return flags_of(verb)
        case _:  # of whatever the text is about
            bench = FLAG.findall("".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py")))
            return set(bench).union(*(flags_of(*one) for one in [*TRAIN, *((verb,) for verb in VERBS - {"data"})]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_and_every_flag_of_a_command_exists(page):
    for words in commands(page):
        given = set(FLAG.findall(" ".join(words))) - {"--help"}
        if words[0] in VERBS or words[0].startswith("--") or (words[0] == "facegen" and words[1] in VERBS) or is_file(words):
            assert given <= flags_for(words), " ".join(words)


def test_commands_are_found_and_a_wrong_flag_would_be_noticed():
    assert sum(words[0] == "facegen" for words in commands(ROOT / "README.md")) >= 10
    assert len(VERBS) > 20
    assert "--conv-dim" in flags_of("train") and "--cbase" not in flags_of("train")
