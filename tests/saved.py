"""One right solution of notebook 1, saved and arranged in all the ways in which hand-ins come: `save_all` writes them."""

import copy
import json
import zipfile

CELLS = {"scale", "unscale"}


def code(source, name=None):
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    return {**cell, "id": name} if name else cell


def save_all(folder, stem, solved, empty, own):
    """Write hand-ins of a solved notebook; returns {name: words of the refusal, "" for full marks}.

    Args:
        solved: the learners' notebook with right solutions in its cells; empty: without.
        own: exercise -> id of its cell.
    """
    expected = {}

    def save(name, book, said="", encode=lambda text: text.encode()):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{stem}.ipynb").write_bytes(encode(json.dumps(book, ensure_ascii=False)))
        expected[name] = said

    def changed(change):
        book = copy.deepcopy(solved)
        change(book)
        return book

    def cell_of(book, name):
        return next(cell for cell in book["cells"] if cell.get("id") == own[name])

    def place_of(book, name):
        return book["cells"].index(cell_of(book, name))

    def without_ids(book):
        for cell in book["cells"]:
            cell.pop("id", None)
        book["nbformat_minor"] = 4

    def colab(book):
        for cell in book["cells"]:
            cell["metadata"]["id"] = cell.pop("id")
        book["nbformat_minor"] = 0

    def renumbered(book):
        for number, cell in enumerate(book["cells"]):
            cell["id"] = str(number)

    def copied_cells(book):
        for name in CELLS:
            cell_of(book, name)["id"] = f"copy-of-{name}"

    def jupytext(book):
        without_ids(book)
        for cell in book["cells"]:
            cell["metadata"] = {}
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None

    def split(book):
        at = place_of(book, "scale")
        book["cells"].insert(at, code("def width_of(feature_range):\n    return feature_range[1] - feature_range[0]"))
        cell_of(book, "scale")["source"] = (
            "def scale(x, feature_range=(-1, 1)):\n    return x * width_of(feature_range) + feature_range[0]"
        )

    def pasted_twice(book):
        at = place_of(book, "scale")
        book["cells"].insert(at, copy.deepcopy(book["cells"][at]))

    def helper_above(book):
        split(book)
        book["cells"].insert(1, book["cells"].pop(place_of(book, "scale") - 1))

    def constant_of_its_own(book):
        at = place_of(book, "scale")
        book["cells"].insert(at, code("LOWEST = -1.0\nif LOWEST < 0:\n    SIGN = -1"))
        source = (
            "def scale(x, feature_range=(LOWEST, -LOWEST)):\n    low, high = feature_range\n    return x * (high - low) + low"
        )
        cell_of(book, "scale")["source"] = source

    def import_of_its_own(book):
        at = place_of(book, "scale")
        book["cells"].insert(at, code("from operator import mul as times, add"))
        cell_of(book, "scale")["source"] = (
            "def scale(x, feature_range=(-1, 1)):\n    low, high = feature_range\n    return add(times(x, high - low), low)"
        )

    def import_in_the_teachers_cell(book):
        import_of_its_own(book)
        del book["cells"][place_of(book, "scale") - 1]
        teachers = next(cell for cell in book["cells"] if "import problem_unittests" in "".join(cell["source"]))
        teachers["source"] = "".join(teachers["source"]) + "\nfrom operator import mul as times, add"

    def line(text, before=False):
        def change(book):
            cell = cell_of(book, "scale")
            cell["source"] = f"{text}\n{cell['source']}" if before else f"{cell['source']}\n\n{text}"

        return change

    def trials(book):
        at = place_of(book, "unscale")
        text = "import torch\nsteps = []\nfor i in range(3):\n    steps.append(scale(torch.ones(1)))\nprint(steps)"
        book["cells"].insert(at, code(text))

    def compared_with_the_packages(book):
        at = place_of(book, "unscale")
        book["cells"].insert(at, code("import facegen.data\nprint(facegen.data.scale(torch.ones(2)), scale(torch.ones(2)))"))

    for name, change in {
        "jupyter": lambda book: None, "colab": colab, "vscode": without_ids, "nbstripout": renumbered, "copied": copied_cells,
        "jupytext": jupytext, "split": split, "pasted twice": pasted_twice, "helper above": helper_above,
        "a constant": constant_of_its_own, "an import": import_of_its_own, "in the teacher's cell": import_in_the_teachers_cell,
        "timeit": line("%timeit -n1 -r1 scale(torch.ones(2))"), "prun": line("%prun -l 5 scale(torch.ones(2))"),
        "timeit -o": line("t = %timeit -o -q -n1 -r1 scale(torch.ones(2))\nt.best"), "time": line("%%time", before=True),
        "shell": line("!ls\nfiles = !ls"), "trials": trials, "compared": compared_with_the_packages,
    }.items():  # fmt: skip
        save(name, changed(change))
    save(
        "windows",
        changed(lambda book: cell_of(book, "scale").update(source=cell_of(book, "scale")["source"].replace("\n", "\r\n"))),
    )
    save("mark", solved, encode=lambda text: b"\xef\xbb\xbf" + text.encode())
    save("utf-16", solved, encode=lambda text: text.encode("utf-16"))
    conflict = json.dumps(solved, indent=1).replace('\n "nbformat"', '\n<<<<<<< HEAD\n "nbformat"', 1)
    save("conflict", solved, "merge conflict", encode=lambda text: conflict.encode())
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr(f"ada/{stem}.ipynb", json.dumps(solved))
        archive.writestr("__MACOSX/ada/._x.ipynb", "x")
    expected["zipped"] = ""

    save("twice the same", solved)
    (folder / "twice the same" / f"{stem} (1).ipynb").write_text(json.dumps(changed(jupytext)))
    save("one still empty", solved)
    (folder / "one still empty" / f"{stem}-empty.ipynb").write_text(json.dumps(empty))
    other = changed(lambda book: cell_of(book, "unscale").update(source="def unscale(y, feature_range=(-1, 1)):\n    return y"))
    save("two versions", solved, "hand in one of them")
    (folder / "two versions" / f"{stem}_final.ipynb").write_text(json.dumps(other))
    return expected
