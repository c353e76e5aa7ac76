"""Real pictures: one table of sources (what, where from, terms, checksums) and one verified way to get them.

What is guaranteed after `fetch`:

- *Sets from a repository* (congress, omi, faker) are pinned to a commit. GitHub names every file of that commit with
  its git id, a SHA-1 of its bytes, and every file is checked against it; where this table knows a file's sha256, that
  is checked as well. The repository's listing itself is trusted as GitHub gives it over https.
- *Archives* (lfw, celeba) are checked against the md5 that their makers or torchvision publish. celeba64 has no
  published checksum: nothing is promised for its content beyond what `SHA256SUMS` records.
- *LFW through scikit-learn* is checked by scikit-learn against its own sha256; the number of pictures is checked here.
- In every case the sha256 of each file lies in `SHA256SUMS` beside the pictures (`sha256sum -c SHA256SUMS` reads it),
  and a later `fetch` into the same folder checks the pictures against it. That protects against damage, not against
  somebody who rewrites both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
import shutil
import textwrap
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from facegen.data.fetch import (
    FetchError,
    Names,
    Patience,
    Stopped,
    digest,
    download,
    extract,
    is_picture,
    read_json,
    wrong_checksum,
)
from facegen.files import InputError, replacing, replacing_folder, sha256_of

GITHUB_API = "https://api.github.com"
GITHUB_FILES = "https://raw.githubusercontent.com"
SUMS = "SHA256SUMS"
CARD = "SOURCE.json"
LISTING = "listing.json"


@dataclass(frozen=True)
class Repository:
    """Where a set lies on GitHub.

    Attributes:
        name: "owner/name".
        commit: the commit's id; a unique beginning of it is enough, GitHub completes it.
        folders: (folder there, folder here) pairs; the pictures in the first go to the second.
        extras: files beside the pictures that are wanted too where the commit has them (ratings, licence text).
    """

    name: str
    commit: str
    folders: tuple[tuple[str, str], ...]
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One set of faces: what it is, on which terms, and how it is got.

    Attributes:
        contents: number and form of the pictures.
        size: download size, as text.
        licence: short name of the licence.
        terms: one plain sentence about what may be done.
        citation: who is to be named.
        kind: "repository" (fetched file by file), "sklearn" (fetched by scikit-learn's loader), "archive" (a file that
            the user brings), "folder" (the user's own pictures, passed as --data), "embedded" (part of facegen).
        home: the page that a person reads.
        how: one line on how to get it, for those that `fetch` cannot get alone.
        repositories: where a "repository" set lies; the second is a mirror of the first.
        archives: (file name, "md5:..." or "" where nobody published one) of the archives that may be brought.
        images: the exact number of pictures where it is known, else 0.
        sha256: sha256 of single files, by their path below the data folder.
    """

    name: str
    contents: str
    size: str
    licence: str
    terms: str
    citation: str
    kind: Literal["repository", "sklearn", "archive", "folder", "embedded"]
    home: str
    how: str = ""
    repositories: tuple[Repository, ...] = ()
    archives: tuple[tuple[str, str], ...] = ()
    images: int = 0
    sha256: tuple[tuple[str, str], ...] = ()


_CONGRESS_FOLDERS = (("congress/450x550", ""),)
_CONGRESS_SHA256 = (
    ("B000589.jpg", "56139ca3ad7d52495f10f11b0bbdcc26e856cfaf0e386e698273ddc00c7234e4"),
    ("B001135.jpg", "848027f3df299e3e6ee79e6f5b56f79d9c4f27fb0d3de4e1258723629c338bfc"),
    ("B001233.jpg", "3656dc9eaee74c42f1043f76f8500f384209fe3ea9e79bc85072cdddf41fb390"),
    ("B001234.jpg", "1982198e9b2532eccc89360d80419fce557d7fef01f2cbc8d10ccd4983b8f638"),
    ("B001251.jpg", "98f8a2041ce35485b1e976b3484db8293c961094e4c8aa61b29547c36d10b975"),
    ("B001254.jpg", "ef141b9a726805f005e2e7a7d6b2bae9877abb4c3c7e57f0e105961405eb803d"),
    ("B001268.jpg", "9b579d745da29bd35b610a586596df292d73741e6929a2849f609ec5c03cba4d"),
    ("B001272.jpg", "3c1daf4ee973d51fa6af1483ec1d4323f6a71e7872f9fbd0b42cf163976c53c8"),
    ("B001276.jpg", "92bf5ba78a540f45603857325f99e2eec47989da9f3d3ae27ca6a99811c0aad9"),
    ("C001056.jpg", "781f028d7d1af97c8e236e63b1f58539c9d8784cc305e3be6f37741913a9d843"),
    ("D000492.jpg", "794b8d7be268d00002aa155d664d1c1b2d8e3613b9b69918d27fae506b3552ce"),
    ("D000622.jpg", "12f2212791d605b3b62660e6d04b8a7af2a4eb0f59534f753627715e43c08d64"),
    ("G000571.jpg", "b021f1f60639f5cd01b1e130be495bd85801653139f1c033b06c4dfd27cafecb"),
    ("H001050.jpg", "1ba09ad2e1a70bc4d306ad07816f1ede101300045857ccc54dc86e5d8947a9db"),
    ("I000057.jpg", "da70eedd9ffb85823a4fd84354af327e1bade4383432ccdff9fe88d1f42f0b0d"),
    ("K000180.jpg", "7bc65cb0a2aa691a608971548e914040098b99c67aea7dcfe3a8cc9ac6b52a5b"),
    ("K000336.jpg", "248754fa961ec7babb9062561aa048b7beed5c224a8f1638b1370a52fd1f60f6"),
    ("K000368.jpg", "33c8158b38d82c6a8d2c5fe515ca6cf3bb798343b660901caec76bae16fdf39a"),
    ("M000508.jpg", "c4cec58bde2fbf0e0ff78e76969e083d0eeb880e9e304922ba2c92a2e1728d7b"),
    ("M001156.jpg", "70d291897e1c6910ac5b5e24363a7001f9a2e6254c97598be01f795bfe11e616"),
    ("M001172.jpg", "a101149153ddcd06b27f5453392db06a0f5666e8f27189f5fc9ce5fab1152ed4"),
    ("N000182.jpg", "de0ca5ee8914e4b95c159b99fddea97cd3a6b167dc854e25928eb842735cd3f2"),
    ("R000395.jpg", "c38edff4a00a13de6e0b86fc5ede687ad5df27e2ad783b41d6ce357ba273edc3"),
    ("W000795.jpg", "379069906f8a98102f7bbf33430b7abbe08dae660bcebd9e5b149e104a1e7b16"),
)

_ALL = (
    Source(
        name="drawn",
        contents="Faces drawn by facegen itself: as many as you ask for, any size, with attributes and landmarks",
        size="none",
        licence="MIT",
        terms="Do with the pictures as you like.",
        citation="facegen",
        kind="embedded",
        home="",
        how="drawn needs no download: pass --data drawn",
    ),
    Source(
        name="congress",
        contents="About 1,200 official portraits of members of the US Congress, 450x550 JPEG, one per person",
        size="~150 MB",
        licence="Public domain",
        terms="Works of the US government: free for any use.",
        citation="US Government Publishing Office and others, collected by the project @unitedstates",
        kind="repository",
        home="https://github.com/unitedstates/images",
        repositories=(
            Repository("unitedstates/images", "7eb7278deac9251bb7d787a96c5dabf84eabb60f", _CONGRESS_FOLDERS),
            Repository("jforms/images", "7eb7278deac9251bb7d787a96c5dabf84eabb60f", _CONGRESS_FOLDERS),
        ),
        sha256=_CONGRESS_SHA256,
    ),
    Source(
        name="omi",
        contents="1,004 faces made by StyleGAN2, 1024x1024 JPEG, with people's mean ratings of 34 attributes",
        size="~125 MB",
        licence="CC BY-NC-SA 4.0",
        terms="Not for commercial use; name the authors; what you derive from it carries the same licence.",
        citation="Peterson, Uddenberg, Griffiths, Todorov, Suchow: Deep models of superficial face judgments, PNAS 2022",
        kind="repository",
        home="https://github.com/jcpeterson/omi",
        repositories=(
            Repository(
                "jcpeterson/omi",
                "53bb3c13113afc3ae67aa6ede4ac9dfe33f306af",
                (("images", ""),),
                ("attribute_ratings.csv", "LICENSE.txt", "README.md"),
            ),
        ),
        images=1004,
    ),
    Source(
        name="faker",
        contents="200 portraits made by Stable Diffusion 3, 512x512 JPEG, 100 in each of the folders female and male",
        size="~10 MB",
        licence="CC0 1.0",
        terms="Free for any use.",
        citation="The faker-js project: person portraits, 2024",
        kind="repository",
        home="https://github.com/faker-js/assets-person-portrait",
        repositories=(
            Repository("faker-js/assets-person-portrait", "63aef57b", (("female/512", "female"), ("male/512", "male"))),
        ),
        images=200,
    ),
    Source(
        name="lfw",
        contents="13,233 press photographs of 5,749 people, 250x250 JPEG, a folder per person (Labeled Faces in the Wild)",
        size="~240 MB",
        licence="None stated",
        terms="Research use; the photographers keep their rights and the people shown were not asked.",
        citation="Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild, UMass Amherst TR 07-49, 2007; "
        "alignment: Huang et al., ICCV 2007 (funneled), NIPS 2012 (deep funneled)",
        kind="sklearn",
        home="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.fetch_lfw_people.html",
        how="bring lfw-funneled.tgz or lfw-deepfunneled.tgz with --archive FILE",
        archives=(
            ("lfw-funneled.tgz", "md5:1b42dfed7d15c9b2dd63d5e5840c86ad"),
            ("lfw-deepfunneled.tgz", "md5:68331da3eb755a505a502b5aacb3c201"),
        ),
        images=13233,
    ),
    Source(
        name="celeba",
        contents="202,599 photographs of 10,177 celebrities, aligned, 178x218 JPEG, with 40 attributes",
        size="1.4 GB",
        licence="Own agreement",
        terms="Non-commercial research only; the pictures must not be passed on.",
        citation="Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015",
        kind="archive",
        home="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        how="get img_align_celeba.zip from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and pass --archive FILE, "
        "or pass the folder that torchvision's CelebA reads as --archive DIR",
        archives=(("img_align_celeba.zip", "md5:00d2c5bc6d35e252742224ab0c1e8fcb"),),
        images=202599,
    ),
    Source(
        name="celeba64",
        contents="About 90,000 CelebA faces cropped to the face, 64x64 JPEG (the set of Udacity's course)",
        size="~150 MB",
        licence="Own agreement",
        terms="As CelebA: non-commercial research only; the pictures must not be passed on.",
        citation="Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015; cropped by Udacity",
        kind="archive",
        home="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        how="get processed-celeba-small.zip from Udacity's course (project Face Generation) and pass --archive FILE",
        archives=(("processed-celeba-small.zip", ""),),
    ),
    Source(
        name="ffhq",
        contents="70,000 photographs from Flickr, aligned, 128x128 PNG thumbnails",
        size="2 GB",
        licence="CC BY-NC-SA 4.0",
        terms="Not for commercial use and not for face recognition; each photograph has its own licence and author.",
        citation="Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR 2019",
        kind="folder",
        home="https://github.com/NVlabs/ffhq-dataset",
        how="ffhq is not fetched: get the folder thumbnails128x128 from https://github.com/NVlabs/ffhq-dataset "
        "and pass it, or a zip of it, as --data DIR|ZIP",
    ),
    Source(
        name="anime",
        contents="Any set of drawn faces that you have, any size",
        size="yours",
        licence="None stated",
        terms="The sets in circulation were copied from shops and artists without asking: look before you publish.",
        citation="whoever drew them",
        kind="folder",
        home="",
        how="anime is not fetched, the sets in circulation state no licence: "
        "pass a folder or zip that you have as --data DIR|ZIP",
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}


# --------------------------------------------------------------------------------------------------------- table


def table(width: int | None = None) -> str:
    """All sources as one text: name, contents, size, licence and terms, citation, and how to get them.

    Args:
        width: columns to fill; the terminal's width where it is not given (kept between 72 and 160).
    """
    width = min(max(width or shutil.get_terminal_size((100, 24)).columns, 72), 160)
    heads = ("name", "contents", "size", "licence and terms", "who to cite")
    rows = [
        (source.name, source.contents, source.size, f"{source.licence}. {source.terms}", source.citation)
        for source in SOURCES.values()
    ]
    gap = "  "
    text = width - 8 - 9 - 4 * len(gap)  # what the three columns of prose share
    widths = (8, text * 35 // 100, 9, text * 34 // 100, text - text * 35 // 100 - text * 34 // 100)
    lines = [*_table_row(heads, widths, gap), gap.join("-" * w for w in widths)]
    for row in rows:
        lines += [*_table_row(row, widths, gap), ""]
    kinds: dict[str, list[str]] = {}
    for source in SOURCES.values():
        kinds.setdefault(source.kind, []).append(source.name)
    fetched = ", ".join(kinds["repository"] + kinds["sklearn"])
    brought = ", ".join([s.name for s in SOURCES.values() if s.archives])
    for line in (
        f"facegen data fetch NAME downloads {fetched}.",
        f"facegen data fetch NAME --archive FILE unpacks a file that you have: {brought}.",
        f"--data DIR|ZIP takes your own pictures as they are: {', '.join(kinds['folder'])}, or anything else.",
        "--data drawn needs no download.",
    ):
        lines += textwrap.wrap(line, width, subsequent_indent=gap)
    return "\n".join(line.rstrip() for line in lines)


def _table_row(cells: tuple[str, ...], widths: tuple[int, ...], gap: str) -> list[str]:
    columns = [textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(cells, widths)]
    height = max(len(column) for column in columns)
    return [
        gap.join((column[i] if i < len(column) else "").ljust(width) for column, width in zip(columns, widths))
        for i in range(height)
    ]


# --------------------------------------------------------------------------------------------------------- fetch


def fetch(
    name: str,
    dest: str | Path | None = None,
    *,
    archive: str | Path | None = None,
    base_url: str | None = None,
    patience: Patience | None = None,
    threads: int = 8,
) -> Path:
    """Get a source's pictures into a folder, checked; prints its terms and citation.

    The folder appears when everything in it is complete and checked, together with `SHA256SUMS` and `SOURCE.json`. A
    download that was broken off waits in `DEST.part` and is taken up by the next call. A folder that is already
    complete is checked and left as it is.

    Args:
        name: a key of `SOURCES`.
        dest: the folder; `data/NAME` where it is not given.
        archive: a file that the user brings (lfw, celeba, celeba64), or for celeba the folder that torchvision's
            `CelebA(root)` reads, which is checked and used where it lies.
        base_url: stands for both of GitHub's addresses: another server with the same paths, such as a mirror.
        patience: how long servers are waited for.
        threads: downloads at the same time.

    Returns:
        The folder with the pictures (nested is fine), to be passed as --data.

    Raises:
        InputError: unknown name, a source that is not fetched, a wrong or harmful archive, a folder with other files
            in it or with damaged pictures.
        FetchError: the network failed; what has arrived is kept for the next try.
    """
    source = _find(name)
    target = Path(dest) if dest is not None else Path("data") / name
    if source.kind in ("folder", "embedded"):
        raise InputError(source.how)
    if archive is not None and not source.archives:
        raise InputError(f"{name} comes from {source.home}, not from an archive: leave --archive out")
    if archive is not None and Path(archive).is_dir():
        return _use_folder(source, Path(archive), dest)
    if source.kind == "archive" and archive is None and not _is_filled(target):
        raise InputError(f"{name} is not downloaded: {source.how}")
    try:
        if _is_complete(source, target):
            print(f"{name}: {target} is complete, every file has its sha256; nothing to do")
        elif archive is not None:
            _from_archive(source, Path(archive), target)
        elif source.kind == "repository":
            _from_repositories(source, target, base_url, patience or Patience(), threads)
        else:
            _from_sklearn(source, target)
    except FetchError as error:
        raise FetchError(f"{name}: {error}") from None
    except OSError as error:
        raise InputError(f"{name}: {error.filename or target}: {error.strerror or error}: nothing was published") from None
    print(_notice(source, target))
    return target


def _find(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    near = difflib.get_close_matches(name.lower(), SOURCES, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"there is no source {name!r}: {hint}known are {', '.join(SOURCES)}")


def _notice(source: Source, where: Path) -> str:
    return (
        f"{source.name}: {where}\n  licence: {source.licence}. {source.terms}\n"
        f"  cite: {source.citation}\n  use it with --data {where}"
    )


# ------------------------------------------------------------------------------------------- a published folder


def _is_filled(target: Path) -> bool:
    return target.exists() and (not target.is_dir() or any(target.iterdir()))


def _is_complete(source: Source, target: Path) -> bool:
    """True for a finished folder of this source, False for none; anything else in that place is refused."""
    if not _is_filled(target):
        return False
    try:
        card = json.loads((target / CARD).read_text(encoding="utf-8"))
        sums = _read_sums(target / SUMS)
    except (OSError, ValueError):
        raise InputError(f"{target} holds other files: choose another --dest, or remove it first") from None
    if not isinstance(card, dict) or card.get("name") != source.name:
        raise InputError(f"{target} holds another source: choose another --dest, or remove it first")
    bad = [
        path
        for path, expected in tqdm(sums.items(), desc=f"checking {target}", disable=None)
        if not (target / path).is_file() or sha256_of(target / path) != expected
    ]
    if bad:
        raise InputError(
            f"{target}: {len(bad)} of {len(sums)} files are missing or changed, the first is {bad[0]}: "
            f"remove the folder and fetch again"
        )
    return True


def _read_sums(path: Path) -> dict[str, str]:
    """A file in the format of sha256sum: 64 digits, two spaces, path."""
    lines = path.read_text(encoding="utf-8").splitlines()
    sums = {line[66:]: line[:64] for line in lines if len(line) > 66 and line[64:66] == "  "}
    if not sums or len(sums) != len(lines):
        raise ValueError(f"{path} is not a list of sha256 sums")
    return sums


def _describe(source: Source, folder: Path, origin: dict[str, Any], verified: str) -> None:
    """Write SHA256SUMS and SOURCE.json into a folder that is about to be published."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, CARD, LISTING))
    relative = [path.relative_to(folder).as_posix() for path in files]
    sums = [sha256_of(path) for path in tqdm(files, desc="sha256", disable=None)]
    with replacing(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{s}  {p}\n" for s, p in zip(sums, relative)), encoding="utf-8")
    card = {
        "name": source.name,
        "home": source.home,
        **origin,
        "licence": source.licence,
        "terms": source.terms,
        "citation": source.citation,
        "pictures": sum(is_picture(path) for path in relative),
        "bytes": sum(path.stat().st_size for path in files),
        "fetched": datetime.now(timezone.utc).date().isoformat(),
        "verified": verified,
    }
    with replacing(folder / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------- from a repository


@dataclass(frozen=True)
class _File:
    """One file of a listing: path there, path here, length, git id."""

    there: str
    here: str
    size: int
    blob: str


@dataclass(frozen=True)
class _Listing:
    repository: str
    commit: str
    files: tuple[_File, ...]


def _from_repositories(source: Source, target: Path, base_url: str | None, patience: Patience, threads: int) -> None:
    """Download, check and publish; works in `TARGET.part`, which a later call continues."""
    work = target.with_name(target.name + ".part")
    listing = _saved_listing(source, work)
    if listing is None and work.exists() and (not work.is_dir() or any(p.name[0] != "." for p in work.iterdir())):
        raise InputError(f"{work} is in the way and was not left by this version's fetch of {source.name}: remove it first")
    work.mkdir(parents=True, exist_ok=True)
    with _tidy(work):
        if listing is None:
            listing = _first_listing(source, base_url, patience)
            with replacing(work / LISTING) as temporary:
                temporary.write_text(json.dumps(dataclasses.asdict(listing)), encoding="utf-8")
        size = sum(file.size for file in listing.files)
        print(f"{source.name}: {len(listing.files)} files, {size / 1e6:.0f} MB, from {listing.repository} into {target}")
        _download_all(source, listing, work, (base_url or GITHUB_FILES).rstrip("/"), patience, threads)
        listed = {work / file.here for file in listing.files} | {work / LISTING}
        for path in list(work.rglob("*")):
            if path not in listed and not path.is_dir():
                path.unlink()  # left by a process that was killed; only what was checked is published
        _check_count(source, sum(is_picture(file.here) for file in listing.files), listing.repository)
        _describe(
            source,
            work,
            {"repository": f"https://github.com/{listing.repository}", "commit": listing.commit},
            "every file against its git id at this commit, and its sha256 where facegen knows it",
        )
        (work / LISTING).unlink()
        if target.exists():
            target.rmdir()  # it is empty, _is_complete saw to that
        os.replace(work, target)


@contextlib.contextmanager
def _tidy(work: Path) -> Iterator[None]:
    """On the way out of a failure keep the working folder only where it holds something to continue from."""
    try:
        yield
    except BaseException:
        if not any(path.is_file() and path.name != LISTING for path in work.rglob("*")):
            shutil.rmtree(work, ignore_errors=True)
        raise


def _saved_listing(source: Source, work: Path) -> _Listing | None:
    """The listing of a broken-off fetch, if it belongs to one of the source's repositories."""
    try:
        saved = json.loads((work / LISTING).read_text(encoding="utf-8"))
        listing = _Listing(saved["repository"], saved["commit"], tuple(_File(**file) for file in saved["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = any(r.name == listing.repository and listing.commit.startswith(r.commit) for r in source.repositories)
    return listing if known else None


def _first_listing(source: Source, base_url: str | None, patience: Patience) -> _Listing:
    """The listing from the first repository that answers."""
    failed: FetchError | None = None
    for repository in source.repositories:
        try:
            return _read_listing(repository, (base_url or GITHUB_API).rstrip("/"), patience)
        except FetchError as error:
            failed = failed or error
    assert failed is not None  # every repository source names at least one
    raise failed


def _read_listing(repository: Repository, api: str, patience: Patience) -> _Listing:
    """Ask GitHub which files the commit has in the wanted folders, folder by folder (never a truncated answer)."""
    root = f"{api}/repos/{repository.name}"
    url = f"{root}/commits/{repository.commit}"
    answer = read_json(url, patience)
    try:
        commit, tree = str(answer["sha"]), str(answer["commit"]["tree"]["sha"])
    except (KeyError, TypeError):
        raise FetchError(f"{url}: the answer does not describe a commit") from None
    if not commit.startswith(repository.commit):
        raise FetchError(f"{url}: the answer is about another commit, {commit}")
    trees: dict[str, list[dict[str, Any]]] = {}

    def entries(folder: str) -> list[dict[str, Any]]:
        if folder not in trees:
            parent, _, last = folder.rpartition("/")
            found = [e["sha"] for e in entries(parent) if e["path"] == last and e["type"] == "tree"] if folder else [tree]
            if not found:
                raise FetchError(f"{url}: there is no folder {folder} at this commit")
            trees[folder] = _read_tree(f"{root}/git/trees/{found[0]}", patience)
        return trees[folder]

    names, files = Names(root), []
    for folder, here in (*repository.folders, ("", "")):
        for entry in entries(folder):
            wanted = is_picture(entry["path"]) if folder else entry["path"] in repository.extras
            if wanted and entry["type"] == "blob" and entry["mode"] in ("100644", "100755"):  # no links
                path = names.add(f"{here}/{entry['path']}" if here else entry["path"])
                files.append(_File(f"{folder}/{entry['path']}".lstrip("/"), path, entry["size"], entry["sha"]))
    if not any(is_picture(file.here) for file in files):
        raise FetchError(f"{url}: there are no pictures in {', '.join(f for f, _ in repository.folders)}")
    return _Listing(repository.name, commit, tuple(files))


def _read_tree(url: str, patience: Patience) -> list[dict[str, Any]]:
    """One folder of a commit: entries with path, mode, type, sha and, for files, size."""
    answer = read_json(url, patience)
    try:
        whole = answer["truncated"] is False
        tree = [{key: str(entry[key]) for key in ("path", "mode", "type", "sha")} for entry in answer["tree"]]
        for entry, given in zip(tree, answer["tree"]):
            entry["size"] = int(given.get("size", 0))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FetchError(f"{url}: the answer does not describe a folder") from None
    if not whole:
        raise FetchError(f"{url}: the server lists the folder only in part")
    return tree


def _download_all(source: Source, listing: _Listing, work: Path, files_url: str, patience: Patience, threads: int) -> None:
    """Every file of the listing into `work`, several at a time; what is already there and right is not fetched."""
    known = dict(source.sha256)
    total = sum(file.size for file in listing.files)
    free = shutil.disk_usage(work).free
    if total > free:
        raise InputError(f"{work}: {total >> 20} MiB are needed and {free >> 20} MiB are free: choose another --dest")
    stop, lock = threading.Event(), threading.Lock()
    bar = tqdm(total=total, desc=source.name, unit="B", unit_scale=True, disable=None)

    def progress(count: int) -> None:
        with lock:  # tqdm counts for one thread
            bar.update(count)

    def get(file: _File) -> None:
        path = work / file.here
        sums = (f"git:{file.blob}", *([f"sha256:{known[file.here]}"] if file.here in known else []))
        if path.exists() and wrong_checksum(path, sums) is None:
            progress(file.size)
            return
        url = f"{files_url}/{listing.repository}/{listing.commit}/{urllib.parse.quote(file.there)}"
        download(url, path, sums, size=file.size, patience=patience, progress=progress, stop=stop)

    _in_parallel(get, listing.files, threads, stop, bar)


def _in_parallel(
    work: Callable[[_File], None], files: tuple[_File, ...], threads: int, stop: threading.Event, bar: Any
) -> None:
    """Run `work` over the files; the first failure stops the others and is the one that is raised."""

    def run(file: _File) -> None:
        if stop.is_set():
            raise Stopped
        try:
            work(file)
        except BaseException:
            stop.set()
            raise

    with bar, ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, file) for file in files]
        try:
            for future in as_completed(futures):
                with contextlib.suppress(Stopped):  # not the reason: that is another file's failure
                    future.result()
        except BaseException:  # also Ctrl-C: the threads must not go on downloading
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_count(source: Source, found: int, where: str | Path) -> None:
    if source.images and found != source.images:
        raise InputError(f"{where}: {found} pictures, {source.images} are expected in {source.name}: it is incomplete")


# ------------------------------------------------------------------------------------------------ from an archive


def _from_archive(source: Source, archive: Path, target: Path) -> None:
    """Check an archive that the user brings, unpack it, publish."""
    if not archive.is_file():
        raise InputError(f"{archive}: there is no such file; {source.how}")
    md5s = {checksum: name for name, checksum in source.archives if checksum}
    found = f"md5:{digest(archive, 'md5')}"
    if md5s and found not in md5s:
        wanted = " or ".join(f"{name} ({checksum})" for checksum, name in md5s.items())
        raise InputError(f"{archive}: its md5 is {found[4:]}, not that of {wanted}: broken or another file, get it again")
    with replacing_folder(target) as work:
        count = extract(archive, work)
        _check_count(source, count, archive)
        _describe(
            source,
            work,
            {"archive": archive.name, "archive_sha256": sha256_of(archive)},
            "the archive against its published md5" if md5s else "nothing: no checksum of this archive is published",
        )


def _use_folder(source: Source, root: Path, dest: str | Path | None) -> Path:
    """CelebA where the user has it laid out for torchvision: checked by torchvision's loader, used where it lies."""
    if source.name != "celeba":
        raise InputError(f"{root} is a folder: pass it as --data {root}, or the archive itself as --archive FILE")
    if dest is not None:
        raise InputError(f"{root} is used where it lies: leave --dest out")
    from torchvision.datasets import CelebA  # slow to import, and only needed here

    if (root / "img_align_celeba").is_dir() and root.name == CelebA.base_folder:
        root = root.parent
    try:
        data = CelebA(str(root), split="all", target_type="identity", download=False)
    except (RuntimeError, OSError, ValueError):
        lists = ", ".join(file for _, _, file in CelebA.file_list if file.endswith(".txt"))
        raise InputError(
            f"{root}: not a folder that torchvision's CelebA reads: {root / CelebA.base_folder} must hold "
            f"img_align_celeba/ and, unchanged, {lists}"
        ) from None
    pictures = root / CelebA.base_folder / "img_align_celeba"
    missing = set(data.filename) - {entry.name for entry in os.scandir(pictures)}
    if missing:
        raise InputError(f"{pictures}: {len(missing)} pictures are missing, such as {min(missing)}: unpack it again")
    print(_notice(source, pictures))
    return pictures


# ------------------------------------------------------------------------------------------- through scikit-learn


def _from_sklearn(source: Source, target: Path) -> None:
    """LFW as scikit-learn's loader downloads, checks (sha256) and unpacks it.

    The loader's own result, float32 arrays, would take 10 GB for the whole set in colour. So it is asked for few people
    at a small size, and the JPEG files that it unpacked are taken as they are.
    """
    from sklearn.datasets import fetch_lfw_people  # slow to import, and only needed here

    with replacing_folder(target) as work:
        home = work / "sklearn"
        try:
            fetch_lfw_people(data_home=str(home), color=True, slice_=None, resize=0.1, min_faces_per_person=100)
        except (OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())
            raise FetchError(f"scikit-learn's loader failed ({reason}): try again later, or {source.how}") from None
        unpacked = home / "lfw_home" / "lfw_funneled"
        if not unpacked.is_dir():
            raise FetchError(f"scikit-learn's loader left no folder lfw_funneled: {source.how}")
        os.replace(unpacked, work / "lfw_funneled")
        shutil.rmtree(home)
        count = 0
        for path in list((work / "lfw_funneled").rglob("*")):
            if path.is_symlink() or (path.is_file() and not is_picture(path.name)):
                path.unlink()  # the lists of pairs; this is a set of pictures
            count += path.is_file()
        _check_count(source, count, "scikit-learn's loader")
        _describe(source, work, {"loader": "sklearn.datasets.fetch_lfw_people"}, "the archive, by scikit-learn's sha256")
