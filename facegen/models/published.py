"""Networks that NVIDIA publishes: what there is, where, on which terms; and fetching a network file from an address.

Addresses, data sets and resolutions are those of the README files of github.com/NVlabs/stylegan3 and of
github.com/NVlabs/stylegan2-ada-pytorch. NVIDIA publishes no checksums, so none stand here: the sha256 of a first
download is written beside the file, and every later use is checked against it. A checksum that you know goes to the
end of the address: `https://.../network.pkl#sha256=<64 hexadecimal digits>`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from facegen.data.fetch import FetchError, Patience, WrongFile, digest, download, say
from facegen.files import InputError, cache_folder, write_text

WEIGHTS_TERMS = "NVIDIA Source Code License: non-commercial"


@dataclass(frozen=True)
class Published:
    """One published network.

    Attributes:
        name: what `fetch_network` and `--network` take.
        architecture: "stylegan2", "stylegan3-t" (translation equivariant) or "stylegan3-r" (and rotation).
        resolution: pixels of a side.
        data: the set of pictures that it was trained on.
        data_terms: on which terms that set is published.
        url: where the file lies.
        terms: on which terms the weights are published.
        sha256: 64 hexadecimal digits where the publisher gives them, else None.
    """

    name: str
    architecture: str
    resolution: int
    data: str
    data_terms: str
    url: str
    terms: str = WEIGHTS_TERMS
    sha256: str | None = None

    @property
    def licence(self) -> str:
        """Both terms in one line."""
        return f"weights: {self.terms}; trained on {self.data}: {self.data_terms}"


_FFHQ, _METFACES, _AFHQ = "CC BY-NC-SA 4.0", "CC BY-NC 2.0", "CC BY-NC 4.0"
# Of a data set whose page names no licence: nothing is granted, so ask its makers.
_UNSTATED = "no licence stated"
# data set in a file's name -> (its name, its terms)
_DATA = {
    "ffhq": ("FFHQ", _FFHQ),
    "ffhqu": ("FFHQ-U (unaligned)", _FFHQ),
    "metfaces": ("MetFaces", _METFACES),
    "metfacesu": ("MetFaces-U (unaligned)", _METFACES),
    "afhqv2": ("AFHQv2", _AFHQ),
    "afhqcat": ("AFHQ cats", _AFHQ),
    "afhqdog": ("AFHQ dogs", _AFHQ),
    "afhqwild": ("AFHQ wild animals", _AFHQ),
    "brecahad": ("BreCaHAD (tissue)", "see its page on figshare.com"),
    "cifar10": ("CIFAR-10", _UNSTATED),
    "celebahq": ("CelebA-HQ", "non-commercial research"),
    "lsundog": ("LSUN dogs", _UNSTATED),
}
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research"
_NGC_FILES = {
    "stylegan3-t": "ffhq-1024 ffhqu-1024 ffhqu-256 metfaces-1024 metfacesu-1024 afhqv2-512",
    "stylegan3-r": "ffhq-1024 ffhqu-1024 ffhqu-256 metfaces-1024 metfacesu-1024 afhqv2-512",
    "stylegan2": (
        "ffhq-1024 ffhq-512 ffhq-256 ffhqu-1024 ffhqu-256 metfaces-1024 metfacesu-1024 afhqv2-512 afhqcat-512 "
        "afhqdog-512 afhqwild-512 brecahad-512 cifar10-32 celebahq-256 lsundog-256"
    ),
}
_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
_ADA_FILES = "ffhq-1024 metfaces-1024 afhqcat-512 afhqdog-512 afhqwild-512 cifar10-32 brecahad-512"


def _all() -> list[Published]:
    found = []
    for architecture, files in _NGC_FILES.items():
        for data, size in (file.split("-") for file in files.split()):
            name = f"{architecture}-{data}-{size}x{size}"
            url = f"{_NGC}/{architecture.partition('-')[0]}/versions/1/files/{name}.pkl"
            found.append(Published(name, architecture, int(size), *_DATA[data], url))
    for data, size in (file.split("-") for file in _ADA_FILES.split()):
        title, terms = _DATA[data]
        title += " (with classes)" if data == "cifar10" else ""
        found.append(Published(f"stylegan2-ada-{data}", "stylegan2", int(size), title, terms, f"{_ADA}/{data}.pkl"))
    return found


PUBLISHED: dict[str, Published] = {network.name: network for network in _all()}


def find(url_or_name: str) -> Published | None:
    """The published network of this name or address, None where there is none."""
    address = url_or_name.partition("#")[0]
    return PUBLISHED.get(url_or_name) or next((known for known in PUBLISHED.values() if known.url == address), None)


def licence_of(name: str) -> str | None:
    """That of a published network; None of others."""
    known = find(name)
    return known and known.licence


def origin(name: str) -> dict[str, object]:
    """What a new file says of a network that it was made of: file, sha256, and the licence where it is known."""
    path, licence = network_file(name), licence_of(name)
    facts: dict[str, object] = {"file": path.name, "sha256": digest(path)}
    return facts if licence is None else {**facts, "licence": licence}


def short_name(name: str) -> str:
    """A file's name without its suffix, or its run's where it is a run's last network."""
    path = Path(name)
    return path.parent.name if path.stem == "network" and path.parent.name else path.stem or name


def table() -> str:
    """Every published network: name, architecture, resolution, data with their terms, and its address below; then the
    terms of the weights."""
    heads = ("name", "architecture", "pixels", "trained on", "terms of the pictures")
    rows = [(n.name, n.architecture, str(n.resolution), n.data, n.data_terms) for n in PUBLISHED.values()]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]

    def line(cells: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()

    text = [line(heads), line(tuple("-" * width for width in widths))]
    for network, row in zip(PUBLISHED.values(), rows):
        text += [line(row), f"    {network.url}"]
    terms = "; ".join(dict.fromkeys(network.terms for network in PUBLISHED.values()))
    text += [
        "",
        f"Terms of the weights: {terms}.",
        "NVIDIA publishes these files; they are no part of facegen. Pictures of people carry rights of their own.",
        "facegen generate --network NAME fetches one and keeps it.",
    ]
    return "\n".join(text)


# ------------------------------------------------------------------------------------------------------- fetching


def is_address(text: object) -> bool:
    """Whether this is an address (anything with "://", also of a scheme that will be refused) and not a file's path."""
    return isinstance(text, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def network_file(path_url_or_name: str | os.PathLike[str]) -> Path:
    """A file on this computer for whatever names a network: a file's path, an address, or a name from the table.

    A file of that name wins over a published network of that name.
    """
    text = os.fspath(path_url_or_name)
    if is_address(text) or (text in PUBLISHED and not Path(text).is_file()):
        return fetch_network(text)
    if Path(text).is_file():
        return Path(text)
    close = difflib.get_close_matches(text, PUBLISHED, n=1, cutoff=0.7)
    hint = f": did you mean {close[0]}?" if close else ", nor is it a name that `facegen models` lists"
    raise InputError(f"{text}: no such network file{hint}")


def fetch_network(url_or_name: str, dest: str | os.PathLike[str] | None = None, *, patience: Patience | None = None) -> Path:
    """A network file from the web, kept and checked: downloaded once, resumed where it broke off, never trusted blindly.

    The file's sha256 is compared with the one after "#sha256=" in the address or in the table. Where neither has one,
    the sha256 of the first download is written beside the file (FILE.sha256, as `sha256sum -c` reads it), and from then
    on that one must hold. A file that is here and intact is not downloaded again. Of several processes that want the same
    file one downloads it and the others wait.

    Args:
        url_or_name: an http or https address, or a name from the table.
        dest: the folder to keep it in; `facegen.files.cache_folder("networks")` where it is not given.
        patience: how long a server is waited for.

    Returns:
        The file. Its contents are still unknown: `facegen.models.pretrained.load` reads it without running anything.

    Raises:
        FetchError: not an http(s) address or a known name; not there; a web page, too large, or not the expected file;
            or no success within the tries. Nothing is left but a ".part" that the same call takes up again.
    """
    source = _source(url_or_name)
    path = Path(dest if dest is not None else cache_folder("networks")) / source.file
    note = path.with_name(path.name + ".sha256")
    noted = None if source.sha256 else _noted(note)
    expected = source.sha256 or noted
    if path.is_file():
        found = digest(path)
        if expected is None:
            _note(note, path.name, found)
        if expected in (None, found):
            return path
        say(f"{path} is damaged or another file (its sha256 is not {expected}): downloading it again")
    if source.terms:
        say(f"{source.file}: {source.terms}")
    try:
        download(source.url, path, (f"sha256:{expected}",) if expected else (), patience=patience)
    except WrongFile as error:
        advice = f"; if the file there was rightly replaced, delete {note} and run the same command again" if noted else ""
        raise WrongFile(f"{error}{advice}") from None
    if expected is None:
        _note(note, path.name, digest(path))
    return path


class _Source(NamedTuple):
    """What an address or a name means: the address without its checksum, the file's name here, sha256, terms."""

    url: str
    file: str
    sha256: str | None
    terms: str


def _source(url_or_name: str) -> _Source:
    network = find(url_or_name)
    url, _, fragment = (url_or_name if network is None or is_address(url_or_name) else network.url).partition("#")
    sha256 = _checksum(url_or_name, fragment)
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:  # such as an unclosed bracket
        usable = False
    if not usable:
        raise FetchError(f"{url_or_name}: only http and https addresses, and the names of `facegen models`, can be fetched")
    if network:
        return _Source(url, f"{network.name}.pkl", sha256 or network.sha256, network.licence)
    # Many addresses end in network.pkl: the hash tells them apart.
    base = re.sub(r"[^A-Za-z0-9._-]+", "_", urllib.parse.unquote(parts.path.rpartition("/")[2])).strip("._") or "network"
    stem, dot, suffix = base[-80:].rpartition(".")
    key = hashlib.sha256(url.encode()).hexdigest()[:10]
    return _Source(url, f"{stem}-{key}.{suffix}" if dot else f"{base[-80:]}-{key}", sha256, "")


def _checksum(url: str, fragment: str) -> str | None:
    """The 64 digits of "sha256=...", None where the fragment says nothing about a checksum."""
    name, _, digits = fragment.partition("=")
    if name.lower() != "sha256":
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        raise FetchError(f"{url}: #sha256= must be followed by 64 hexadecimal digits")
    return digits.lower()


def _noted(path: Path) -> str | None:
    """The sha256 that an earlier download wrote down."""
    try:
        match = re.match(r"([0-9a-f]{64})\b", path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return match.group(1) if match else None


def _note(path: Path, name: str, sha256: str) -> None:
    write_text(path, f"{sha256}  {name}\n")
    say(f"{name}: no checksum is published; its sha256 {sha256} is noted beside it, and later uses are checked against it")
