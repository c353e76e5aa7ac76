"""Real pictures: one table of sources (what, where from, terms, checksums) and one verified way to get them.

What is guaranteed after `fetch`:

- *Sets from a repository* (congress, omi, faker) are pinned to a commit. GitHub names every file of that commit with
  its git id, a SHA-1 of its bytes, and every file is checked against it. The repository's listing itself is trusted as
  GitHub gives it over https.
- *Archives* (lfw, celeba) are checked against the md5 that their makers or torchvision publish. celeba64 has no
  published checksum: nothing is promised for its content beyond what `SHA256SUMS` records.
- *LFW through scikit-learn* is checked by scikit-learn against its own sha256; the number of pictures is checked here.
- In every case the sha256 of each file lies in `SHA256SUMS` beside the pictures (`sha256sum -c SHA256SUMS` reads it),
  and a later `fetch` into the same folder checks the pictures against it. That protects against damage, not against
  somebody who rewrites both.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import textwrap
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from facegen.data.archives import Names, extract, is_picture
from facegen.data.fetch import FetchError, Patience, Stopped, digest, download, exclusive, read_json, wrong_checksum
from facegen.files import InputError, replacing_folder, write_text

GITHUB_API = "https://api.github.com"
GITHUB_FILES = "https://raw.githubusercontent.com"
SUMS = "SHA256SUMS"
CARD = "SOURCE.json"


@dataclass(frozen=True)
class Repository:
    """Where a set lies on GitHub."""

    name: str  # "owner/name"
    commit: str  # its id; a unique beginning of it is enough, GitHub completes it
    folders: tuple[tuple[str, str], ...]  # (folder there, folder here): the pictures in the first go to the second
    extras: tuple[str, ...] = ()  # files beside the pictures that are wanted too where the commit has them


@dataclass(frozen=True)
class Source:
    """One set of faces: what it is, on which terms, and how it is got."""

    name: str
    contents: str  # number and form of the pictures
    size: str  # of the download, as text
    licence: str  # short name
    terms: str  # one plain sentence about what may be done
    citation: str  # who is to be named
    # repository: fetched file by file; sklearn: by scikit-learn's loader; archive: a file that the user brings;
    # folder: the user's own pictures, passed as --data; embedded: part of facegen.
    kind: Literal["repository", "sklearn", "archive", "folder", "embedded"]
    home: str  # the page that a person reads
    how: str = ""  # one line on how to get it, for those that `fetch` cannot get alone
    repositories: tuple[Repository, ...] = ()  # where a "repository" set lies; the second is a mirror of the first
    archives: tuple[tuple[str, str], ...] = ()  # that may be brought: (name, "md5:..." or "" where nobody published one)
    images: int = 0  # the exact number of pictures where it is known


_CONGRESS_FOLDERS = (("congress/450x550", ""),)
_ALL = (
    Source(
        name="drawn",
        contents="Faces drawn by facegen itself: as many as you ask for, any size, with attributes and landmarks",
        size="no download",
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
    """All sources as one text: name, size, contents, licence and terms, citation, and how to get them.

    Args:
        width: columns to fill; the terminal's width where it is not given (kept between 72 and 160).
    """
    width = min(max(width or shutil.get_terminal_size((100, 24)).columns, 72), 160)
    lines = []
    for source in SOURCES.values():
        texts = (f"{source.size}. {source.contents}", f"{source.licence}. {source.terms}", f"cite: {source.citation}")
        block = [line for text in texts for line in textwrap.wrap(text, width - 9, break_on_hyphens=False)]
        lines += [f"{name:9}{line}" for name, line in zip([source.name] + [""] * len(block), block)] + [""]
    fetched = ", ".join(source.name for source in SOURCES.values() if source.kind in ("repository", "sklearn"))
    brought = ", ".join(source.name for source in SOURCES.values() if source.archives)
    folders = ", ".join(source.name for source in SOURCES.values() if source.kind == "folder")
    for line in (
        f"facegen data fetch NAME downloads {fetched}.",
        f"facegen data fetch NAME --archive FILE unpacks a file that you have: {brought}.",
        f"--data DIR|ZIP takes your own pictures as they are: {folders}, or anything else.",
        "--data drawn needs no download.",
    ):
        lines += textwrap.wrap(line, width, subsequent_indent="  ")
    return "\n".join(lines)


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
    complete is checked and left as it is. Of two processes that fetch into one folder the second waits for the first.

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
        if not _is_complete(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(target) as waited:
                if waited and _is_complete(source, target):
                    pass
                elif archive is not None:
                    _from_archive(source, Path(archive), target)
                elif source.kind == "repository":
                    _from_repositories(source, target, base_url, patience or Patience(), threads)
                else:
                    _from_sklearn(source, target)
        else:
            print(f"{name}: {target} is complete, every file has its sha256; nothing to do")
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
        card, sums = _card(target), _read_sums(target / SUMS)
    except (OSError, ValueError):
        raise InputError(f"{target} holds other files: choose another --dest, or remove it first") from None
    if card.get("name") != source.name:
        raise InputError(f"{target} holds another source: choose another --dest, or remove it first")
    bad = [
        path
        for path, expected in tqdm(sums.items(), desc=f"checking {target}", disable=None)
        if not (target / path).is_file() or digest(target / path) != expected
    ]
    if bad:
        raise InputError(
            f"{target}: {len(bad)} of {len(sums)} files are missing or changed, the first is {bad[0]}: "
            f"remove the folder and fetch again"
        )
    return True


def _card(folder: Path) -> dict[str, Any]:
    """What SOURCE.json says; {} where there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card if isinstance(card, dict) else {}
    return {}


def _read_sums(path: Path) -> dict[str, str]:
    """A file in the format of sha256sum: 64 digits, two spaces, path."""
    lines = path.read_text(encoding="utf-8").splitlines()
    sums = {line[66:]: line[:64] for line in lines if len(line) > 66 and line[64:66] == "  "}
    if not sums or len(sums) != len(lines):
        raise ValueError(f"{path} is not a list of sha256 sums")
    return sums


def _describe(source: Source, folder: Path, origin: dict[str, Any], verified: str) -> None:
    """Write SHA256SUMS and SOURCE.json into a folder that is about to be published."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, CARD))
    relative = [path.relative_to(folder).as_posix() for path in files]
    sums = [digest(path) for path in tqdm(files, desc="sha256", disable=None)]
    write_text(folder / SUMS, "".join(f"{s}  {p}\n" for s, p in zip(sums, relative)))
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
    write_text(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")


# ---------------------------------------------------------------------------------------------- from a repository


@dataclass(frozen=True)
class _File:
    """One file of a repository: path there, path here, length, git id."""

    there: str
    here: str
    size: int
    blob: str


def _from_repositories(source: Source, target: Path, base_url: str | None, patience: Patience, threads: int) -> None:
    """Download, check and publish; works in `TARGET.part`, which a later call continues."""
    work = target.with_name(target.name + ".part")
    if _is_filled(work) and _card(work).get("name") != source.name:
        raise InputError(f"{work} is in the way and was not left by a fetch of {source.name}: remove it first")
    work.mkdir(parents=True, exist_ok=True)
    try:
        repository, commit, files = _first_listing(source, base_url, patience)
        (work / CARD).write_text(json.dumps({"name": source.name}))  # by this a later call knows the folder
        size = sum(file.size for file in files)
        print(f"{source.name}: {len(files)} files, {size / 1e6:.0f} MB, from {repository} into {target}")
        _download_all(f"{(base_url or GITHUB_FILES).rstrip('/')}/{repository}/{commit}", files, work, patience, threads)
        listed = {work / CARD, *(work / file.here for file in files)}
        for path in list(work.rglob("*")):
            if path not in listed and not path.is_dir():
                path.unlink()  # left by a process that was killed; only what was checked is published
        _check_count(source, sum(is_picture(file.here) for file in files), repository)
        origin = {"repository": f"https://github.com/{repository}", "commit": commit}
        _describe(source, work, origin, "every file against its git id at this commit")
        if target.exists():
            target.rmdir()  # an empty one
        os.replace(work, target)
    except BaseException:
        if not any(path.is_file() and path.name != CARD for path in work.rglob("*")):  # nothing to continue from
            shutil.rmtree(work, ignore_errors=True)
        raise


def _first_listing(source: Source, base_url: str | None, patience: Patience) -> tuple[str, str, list[_File]]:
    """Name, commit and files of the first repository that answers; where none does, the first one's reason."""
    failed: list[FetchError] = []
    for repository in source.repositories:
        try:
            return repository.name, *_read_listing(repository, (base_url or GITHUB_API).rstrip("/"), patience)
        except FetchError as error:
            failed.append(error)
    raise failed[0]


def _read_listing(repository: Repository, api: str, patience: Patience) -> tuple[str, list[_File]]:
    """The commit's whole id and its wanted files: two questions to GitHub."""
    root = f"{api}/repos/{repository.name}"
    url = f"{root}/commits/{repository.commit}"
    names, wanted, folders = Names(root), [], dict(repository.folders)
    try:
        answer = read_json(url, patience)
        commit, tree = str(answer["sha"]), str(answer["commit"]["tree"]["sha"])
        if not commit.startswith(repository.commit):
            raise FetchError(f"{url}: the answer is about another commit, {commit}")
        url = f"{root}/git/trees/{tree}?recursive=1"
        answer = read_json(url, patience)
        if answer["truncated"] is not False:
            raise FetchError(f"{url}: the server lists the commit only in part")
        for entry in answer["tree"]:
            there, kind, mode = str(entry["path"]), entry["type"], entry["mode"]
            folder, _, name = there.rpartition("/")
            if kind != "blob" or mode not in ("100644", "100755"):  # a folder, or a link
                continue
            if (is_picture(name) and folder in folders) or there in repository.extras:
                here = f"{folders.get(folder, '')}/{name}".lstrip("/")
                wanted.append(_File(there, names.add(here), int(entry["size"]), str(entry["sha"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):  # a ValueError too
            raise
        raise FetchError(f"{url}: the answer does not describe a commit") from None
    if not any(is_picture(file.here) for file in wanted):
        raise FetchError(f"{url}: there are no pictures in {', '.join(folders)}")
    return commit, wanted


def _download_all(root: str, files: list[_File], work: Path, patience: Patience, threads: int) -> None:
    """Every file into `work`, several at a time; what is already there and right is not fetched. The first failure ends it."""
    total, free = sum(file.size for file in files), shutil.disk_usage(work).free
    if total > free:
        raise InputError(f"{work}: {total >> 20} MiB are needed and {free >> 20} MiB are free: choose another --dest")
    stop, lock = threading.Event(), threading.Lock()
    bar = tqdm(total=total, desc=work.stem, unit="B", unit_scale=True, disable=None)

    def progress(count: int) -> None:
        with lock:  # tqdm counts for one thread
            bar.update(count)

    def get(file: _File) -> None:
        path, sums = work / file.here, (f"git:{file.blob}",)
        try:
            if path.exists() and wrong_checksum(path, sums) is None:
                progress(file.size)
            elif not stop.is_set():
                url = f"{root}/{urllib.parse.quote(file.there)}"
                download(url, path, sums, size=file.size, patience=patience, progress=progress, stop=stop)
        except BaseException:
            stop.set()
            raise

    with bar, ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(get, file) for file in files]
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
            {"archive": archive.name, "archive_sha256": digest(archive)},
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
