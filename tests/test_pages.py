"""Pages out of templates: text stays text, no template forgets a value or the policy, and all of them come along."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError

from facegen.pages import TEMPLATES, render

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "</script><script>alert(1)</script>\x1b[2J \"'"


class Texts(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def folder(tmp_path):
    """Templates beside those of the package, which may build on them."""
    (tmp_path / "x.html").write_text(
        '{% extends "base.html" %}{% from "blocks.html" import code, table %}{% block main %}'
        '<p title="{{ text }}">{{ text | line }}</p>'
        '{{ table(["a", text], [["group"], ["row", "5 (4 to 6)"]], text) }}{{ code(text) }}'
        '<script id="data">{{ {"t": text} | tojson }}</script>{% endblock %}'
    )
    return tmp_path


def test_text_stays_text_wherever_it_stands(folder):
    page = render("x.html", {"title": HOSTILE, "text": HOSTILE}, folder)
    found = Texts(page)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert ("p", {"title": HOSTILE}) in found.tags and not any(name.startswith("on") for _, a in found.tags for name in a)
    assert page.count("\x1b") == 1 and "?[2J" in found.text, "only what was not asked to be one line holds the escape code"
    assert json.loads(re.search(r'<script id="data">(.*?)</script>', page)[1]) == {"t": HOSTILE}
    assert '<th scope="colgroup" colspan="2">' in page and '<td>5 <span class="range">(4 to 6)</span></td>' in page
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy and "script-src" not in policy


def test_a_missing_value_is_no_empty_place(folder):
    with pytest.raises(UndefinedError, match="text"):
        render("x.html", {"title": "t"}, folder)


def test_no_template_trusts_what_it_is_given():
    files = [*TEMPLATES.glob("*.html"), *(ROOT / "teaching/templates").glob("*.html")]
    assert len(files) > 10
    for path in files:
        text = path.read_text(encoding="utf-8")
        Environment().parse(text)
        assert not re.search(r"\|\s*safe\b|autoescape|https?:", text), path


def test_the_wheel_takes_all_templates_along():
    stated = re.search(r"^facegen = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    package = ROOT / "facegen"
    taken = {path for pattern in re.findall(r'"([^"]+)"', stated) for path in package.glob(pattern)}
    there = {path for folder in package.rglob("templates") for path in folder.iterdir()}
    assert there and there <= taken
