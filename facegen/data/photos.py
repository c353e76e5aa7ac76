"""Photographs before an hour of work goes into them: framed like FFHQ, and what may spoil each, by name and number.

print(check_photo(Image.open("me.jpg").convert("RGB")))
# me.jpg: occluded: eyes seen with chance 0.03, at least 0.15 is wanted; ...
print(align("photos", "photos-aligned", size=256))

A projection of a face in a helmet, with sunglasses or cut through the chin runs as long as any other, and its result looks
wrong for a reason that could be seen beforehand. `check_photo` looks for it. Every check is one measured number against one
threshold of `LIMITS`; lengths are in units of the face, so that they mean the same in every picture.
"""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from tqdm.auto import tqdm

from facegen.data.faces import NO_FACE, Face, check_zoom, corners_of, frame_all, framed, safe_name, search_picture, square
from facegen.data.packed import nothing_usable
from facegen.data.pictures import PICTURE_SUFFIXES, Row, Source, Unusable, no_bomb_warnings, table
from facegen.data.visibility import PARTS, ZOOM, seen
from facegen.files import InputError, one_line, replacing, replacing_folder, write_text
from facegen.pages import data_address, render

LIMITS = {
    "no-face": 0.7,  # least probability that the detector gives what it calls a face
    "several-faces": 1,  # most faces
    "too-small": 96,  # least side of the face's square in pixels, where more is not wanted
    "turned": 0.28,  # most distance of the nose from the face's middle line, in eye-to-eye distances: about 28 degrees
    "rotated": 25.0,  # most degrees of tilt
    "chin": 1.6,  # least distance from the eyes down to the border, in eye-to-mouth distances; FFHQ's crop has 1.9
    "forehead": 0.9,  # the same upwards; FFHQ's crop has 1.7
    "side": 0.95,  # the same to the left and right; FFHQ's crop has 1.8
    "occluded": 0.15,  # least chance that both eyes, and that the mouth can be seen
    "already-aligned": 0.08,  # most distance between a corner of the picture and of FFHQ's square, as a share of the side
}
"""The thresholds. Those of the names that are no warnings by themselves belong to "cut"."""

_ADVICE = {
    "no-face": "give a photograph in which a face is upright and not tiny, or mark eyes and mouth by hand",
    "several-faces": "the largest face was taken: crop the picture if you meant another one",
    "too-small": "give a larger picture of this face: enlarging adds no detail",
    "turned": "give a picture that looks into the camera: generators know few turned heads",
    "rotated": "",
    "cut": "give a picture with the whole head: what is missing is filled with the mirror image",
    "occluded": "give a picture without what hides them: a generator invents what it cannot see",
    "already-aligned": "use it as it is: to align again only costs sharpness",
}
NAMES = tuple(_ADVICE)
"""Every warning, in the order in which they are given."""

_CLEAR = 0.5  # chance from which a part counts as seen, where it decides whether something is a face
_SURE = 0.9  # probability from which the detector is believed without being asked again
_DOUBTFUL = (0.5, 0.4, 0.3)  # what the detector's networks must say of a face that is covered
_LARGE = 768  # shorter side of the picture in which tiny faces are looked for
_MOST_PICTURES = 200  # in one report
_SHOWN = 480  # longer side of the pictures in a report
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # that a single aligned picture may have


@dataclass(frozen=True)
class PhotoWarning:
    """One thing that may spoil a portrait.

    Attributes:
        name: one of `NAMES`.
        value: what was measured.
        limit: the threshold that it passed.
        number: both in words, such as "eyes seen with chance 0.03, at least 0.15 is wanted".
        advice: what to do, in one line.
    """

    name: str
    value: float
    limit: float
    number: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.number}; {self.advice}"


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """What was found in one photograph.

    Attributes:
        name: of its file.
        size: (width, height) in pixels.
        landmarks: float64 [5, 2] of the largest face in the picture's pixels, in its own order (the first eye is on the
            left when the face stands upright); None where there is no face.
        probability: how sure the detector is.
        faces: how many there are.
        turned: degrees, 0, 90, 180 or 270, by which the picture was turned clockwise before the face was found.
        measures: every number that was measured, whether it warns or not.
        warnings: in the order of `NAMES`.
    """

    name: str
    size: tuple[int, int]
    landmarks: np.ndarray | None
    probability: float
    faces: int
    turned: int
    measures: dict[str, float]
    warnings: tuple[PhotoWarning, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the warnings."""
        return tuple(warning.name for warning in self.warnings)

    def as_json(self) -> dict[str, object]:
        """The check as plain values."""
        return {
            "file": one_line(self.name),
            "size": list(self.size),
            "landmarks": None if self.landmarks is None else [[round(float(v), 2) for v in row] for row in self.landmarks],
            "probability": round(self.probability, 4),
            "faces": self.faces,
            "turned": self.turned,
            "measures": {key: round(float(value), 4) for key, value in self.measures.items()},
            "warnings": [asdict(warning) | {"value": round(warning.value, 4)} for warning in self.warnings],
        }

    def __str__(self) -> str:
        lines = [str(warning) for warning in self.warnings] or ["nothing to warn of"]
        return "\n".join(f"{one_line(self.name)}: {line}" for line in lines)


def check_photo(image: Image.Image, size: int = 256, *, name: str = "picture") -> PhotoCheck:
    """Find the largest face of a photograph and everything that may spoil its projection.

    Args:
        image: mode "RGB", any size.
        size: side in pixels of the aligned picture that is wanted; a face with fewer pixels is called too small.
        name: of the file, for the report.

    Raises:
        InputError: the package facenet-pytorch is missing.
    """
    first = search_picture(image)
    found = _found_again(image, first)
    if found is None:
        chance = 0.0 if first is None else first[1]
        number = f"nothing is a face with more than {LIMITS['no-face']:.2f} of chance"
        warning = PhotoWarning("no-face", chance, LIMITS["no-face"], number, _ADVICE["no-face"])
        return PhotoCheck(name, image.size, None, chance, 0, 0, {}, (warning,))
    (points, chance, faces), turned = _refined(image, found[0]), found[1]
    points = points.double().numpy()
    measures = {"several-faces": float(faces)} | _measures(image, points)
    return PhotoCheck(name, image.size, points, chance, faces, turned, measures, tuple(_warned(measures, size, turned)))


# --------------------------------------------------------------------------------------------------------- finding


def _found_again(image: Image.Image, first: Face | None) -> tuple[Face, int] | None:
    """The face that the first search found, or one that stands on its head, lies on its side, is covered, tiny or cut; and by
    how many degrees the picture had to be turned clockwise."""
    best, worth, turned = None, -1.0, 0
    if first is not None:
        shown = _parts(image, first[0])
        # A detector that is asked about a face upside down answers with some other place, or with the mouth as eyes.
        if first[1] >= _SURE and min(shown) >= _CLEAR:
            return first, 0
        if first[1] >= _SURE or _clearest(shown) >= _CLEAR:  # else neither eyes nor a mouth: something else
            best, worth = first, first[1] * sum(shown) / 3
    for looks in (_turned_looks(image), _closer_looks(image)):
        for face, degrees in looks:
            shown = [0.0, 0.0, 0.0] if face is None else _parts(image, face[0])
            sure = face is not None and face[1] >= _SURE and _clearest(shown) >= _CLEAR
            # A face so covered that the detector doubts it counts where its eyes or its mouth are seen beyond doubt.
            if (sure or _clearest(shown) >= _SURE) and face[1] * sum(shown) / 3 > worth + 0.25:
                best, worth, turned = face, face[1] * sum(shown) / 3, degrees
        if best is not None:
            return best, turned
    return None


def _turned_looks(image: Image.Image) -> Iterator[tuple[Face | None, int]]:
    """The face in the picture turned clockwise, and by how many degrees."""
    for degrees in (180, 90, 270):
        yield _search_turned(image, -degrees), degrees


def _closer_looks(image: Image.Image) -> Iterator[tuple[Face | None, int]]:
    """The face that the first search doubted, that was too small for it, or that is larger than the picture."""
    yield search_picture(image, least=_DOUBTFUL), 0
    side = min(_LARGE, max(256, 2 * min(image.size)))
    yield search_picture(image, side, 20 / side), 0
    margin = max(image.size) // 3
    colour = tuple(int(v) for v in np.asarray(image).reshape(-1, 3).mean(0))
    face = search_picture(ImageOps.expand(image, margin, colour))
    yield face and (face[0] - margin, *face[1:]), 0


def _search_turned(image: Image.Image, degrees: float) -> Face | None:
    """What is surely a face in the picture turned anticlockwise by so many degrees, with its landmarks in the picture as it
    was."""
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    face = search_picture(turned)
    if face is None or face[1] < _SURE:
        return None
    x, y = (face[0].double() - torch.tensor(turned.size) / 2).unbind(1)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = torch.stack([x * cosine - y * sine, x * sine + y * cosine], 1) + torch.tensor(image.size) / 2
    return points, *face[1:]


def _refined(image: Image.Image, face: Face) -> Face:
    """The landmarks of a tilted face once more, in the picture turned by its tilt: the detector knows upright faces best."""
    across = square(face[0])[1]
    tilt = math.degrees(math.atan2(across[1], across[0]))
    again = _search_turned(image, tilt) if abs(tilt) > LIMITS["rotated"] else None
    # Not another face of the picture.
    if again is None or float((again[0].mean(0) - face[0].mean(0)).norm()) > float(np.hypot(*across)) / 3.6:
        return face
    return again[0], again[1], face[2]


def _parts(image: Image.Image, points: np.ndarray | torch.Tensor) -> list[float]:
    """The chances that the left eye, the right eye and the mouth of a face are seen."""
    points = np.asarray(points, dtype=np.float64)
    try:
        side = float(np.hypot(*square(points, ZOOM)[1]))
        crop = framed(image, points, max(2, min(64, round(side))), ZOOM)[0]
    except Unusable:
        return [0.0, 0.0, 0.0]
    return seen(torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None])[0].tolist()


def _clearest(shown: Sequence[float]) -> float:
    """The chance that both eyes, or the mouth, are seen."""
    return max(min(shown[:2]), shown[2])


# ------------------------------------------------------------------------------------------------------- measuring


def _measures(image: Image.Image, points: np.ndarray) -> dict[str, float]:
    corner, across = square(points)
    side = float(np.hypot(*across))
    down, up, left, right = _borders(points, image.size)
    parts = _parts(image, points)
    return {
        "too-small": side,
        "turned": turn(points),
        "rotated": math.degrees(math.atan2(across[1], across[0])),
        "chin": down,
        "forehead": up,
        "left side": left,
        "right side": right,
        **dict(zip(PARTS, parts)),
        "already-aligned": _off_ffhq(corner, across, image.size),
    }


def turn(points: np.ndarray) -> float:
    """How far a head is turned, from landmarks [5, 2]: the distance of the nose from the middle of eyes and mouth, along the
    eyes, in eye-to-eye distances; positive when it looks to the picture's right. Drawn heads turned by 10 degrees have about
    0.1 and by 25 degrees about 0.25."""
    across = square(points)[1]
    aside = (points[2] - (points[:2].mean(0) + points[3:].mean(0)) / 2) @ across / np.hypot(*across)
    return float(aside / max(np.hypot(*(points[1] - points[0])), 1e-6))


def _borders(points: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """How far the picture reaches from the middle of the eyes towards the chin, the forehead and both sides of the face, in
    eye-to-mouth distances of FFHQ (3.6 make a square)."""
    across = square(points)[1]
    unit = np.hypot(*across) / 3.6
    right = across / np.hypot(*across)
    down = np.array([-right[1], right[0]])
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    # To the sides from the middle of the face, which in a turned head is not that of the eyes alone.
    middle = (eyes + mouth) / 2
    return tuple(
        _reach(start, way, size) / unit for start, way in ((eyes, down), (eyes, -down), (middle, -right), (middle, right))
    )


def _reach(start: np.ndarray, way: np.ndarray, size: tuple[int, int]) -> float:
    """How far one can go from a point in a direction before the border; 0 from outside."""
    ways = [((limit if step > 0 else 0) - place) / step for place, step, limit in zip(start, way, size) if abs(step) > 1e-9]
    inside = all(0 <= place <= limit for place, limit in zip(start, size))
    return min(ways) if inside and ways else 0.0


def _off_ffhq(corner: np.ndarray, across: np.ndarray, size: tuple[int, int]) -> float:
    """The largest distance between corners of the picture and of FFHQ's square, as a share of the picture's longer side."""
    whole = corners_of(np.zeros(2), np.array([1.0, 0])) * size
    return float(np.hypot(*(corners_of(corner, across) - whole).T).max() / max(size))


# --------------------------------------------------------------------------------------------------------- warning


def _warned(m: dict[str, float], size: int, turned: int) -> list[PhotoWarning]:
    found = []

    def warn(name: str, value: float, limit: float, number: str, advice: str = "") -> None:
        found.append(PhotoWarning(name, float(value), float(limit), number, advice or _ADVICE[name]))

    if m["several-faces"] > 1:
        warn("several-faces", m["several-faces"], 1, f"{m['several-faces']:.0f} faces, 1 is wanted")
    least = max(LIMITS["too-small"], 0.75 * size)
    if m["too-small"] < least:
        warn("too-small", m["too-small"], least, f"its square has {m['too-small']:.0f} pixels, at least {least:.0f} are wanted")
    if abs(m["turned"]) > LIMITS["turned"]:
        where = "right" if m["turned"] > 0 else "left"
        number = f"the nose lies {abs(m['turned']):.2f} eye distances {where} of the middle, at most 0.28 are wanted"
        warn("turned", m["turned"], LIMITS["turned"], number)
    if abs(m["rotated"]) > LIMITS["rotated"]:
        number = f"tilted by {m['rotated']:+.0f} degrees, at most 25 are wanted"
        warn("rotated", m["rotated"], LIMITS["rotated"], number, _how_turned(m["rotated"], turned))
    found += _cut(m)
    found += _occluded(m)
    if m["already-aligned"] < LIMITS["already-aligned"]:
        number = f"{100 * m['already-aligned']:.1f} % off FFHQ's square, which is less than 8 %"
        warn("already-aligned", m["already-aligned"], LIMITS["already-aligned"], number)
    return found


def _how_turned(tilt: float, turned: int) -> str:
    if abs(tilt) > 135:
        return "the face stands upside down: turned by 180 degrees"
    what = "the face lies on its side" if abs(tilt) > 60 else "the head is tilted"
    return f"{what}: turned by {turned or round(abs(tilt))} degrees"


def _cut(m: dict[str, float]) -> list[PhotoWarning]:
    edges = (("chin", "chin", "below"), ("forehead", "forehead", "above"))
    edges += (("left side", "side", "left of"), ("right side", "side", "right of"))
    missing = [(m[edge] / LIMITS[limit], edge, limit, where) for edge, limit, where in edges if m[edge] < LIMITS[limit]]
    if not missing:
        return []
    text = ", ".join(
        f"the picture ends {m[edge]:.2f} face lengths {where} the eyes ({edge}, at least {LIMITS[limit]:.2f})"
        for _, edge, limit, where in missing
    )
    _, edge, limit, _ = min(missing)
    return [PhotoWarning("cut", m[edge], LIMITS[limit], text, _ADVICE["cut"])]


def _occluded(m: dict[str, float]) -> list[PhotoWarning]:
    """Eyes or mouth that are hidden, where they should be in the picture and large enough to be judged."""
    if m["too-small"] < 40:
        return []
    chances = {}
    if m["forehead"] > 0.2 and min(m["left side"], m["right side"]) > 0.6:
        # The far eye of a turned head is hidden by its nose.
        eyes = m["left eye"], m["right eye"]
        chances["eyes"] = max(eyes) if abs(m["turned"]) > LIMITS["turned"] else min(eyes)
    if m["chin"] > 1.15:
        chances["mouth"] = m["mouth"]
    hidden = {part: chance for part, chance in chances.items() if chance < LIMITS["occluded"]}
    if not hidden:
        return []
    number = " and ".join(f"{part} seen with chance {chance:.2f}" for part, chance in hidden.items())
    number += f", at least {LIMITS['occluded']:.2f} is wanted"
    return [PhotoWarning("occluded", min(hidden.values()), LIMITS["occluded"], number, _ADVICE["occluded"])]


# -------------------------------------------------------------------------------------------------------- pictures


def annotated(image: Image.Image, landmarks: np.ndarray | None) -> Image.Image:
    """The photograph, at most 480 pixels long, with FFHQ's square and the five points of its face."""
    zoom = min(1.0, _SHOWN / max(image.size))
    picture = image.resize((max(1, round(image.width * zoom)), max(1, round(image.height * zoom))), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    if landmarks is not None:
        corners = zoom * corners_of(*square(landmarks))
        draw.line([tuple(p) for p in corners[[0, 1, 2, 3, 0]]], fill=(255, 200, 0), width=3)
        draw.line([tuple(p) for p in corners[:2]], fill=(255, 60, 60), width=4)  # its upper edge
        radius = max(2, np.hypot(*(corners[1] - corners[0])) / 80)
        for x, y in zoom * landmarks:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 230, 120), outline=(0, 0, 0))
    return picture


class Checks:
    """The checks of a whole source, made while `frame_all` goes through it.

    Attributes:
        size: as for `check_photo`.
        pictures: whether to keep a picture of each warning for `write`.
    """

    def __init__(self, size: int, *, pictures: bool) -> None:
        self.size, self.pictures = size, pictures
        self._checks: dict[str, PhotoCheck] = {}
        self._shown: dict[str, bytes] = {}

    def find(self, name: str, image: Image.Image) -> Face | None:
        """Check one photograph; returns the face that is to be framed. Threads may call it."""
        check = self._checks[name] = check_photo(image, self.size, name=name)
        if self.pictures and check.warnings and len(self._shown) < _MOST_PICTURES:
            buffer = io.BytesIO()
            annotated(image, check.landmarks).save(buffer, "JPEG", quality=88)
            self._shown[name] = buffer.getvalue()
        if check.landmarks is None:
            return None
        return torch.from_numpy(check.landmarks), check.probability, check.faces

    @property
    def all(self) -> tuple[PhotoCheck, ...]:
        """Sorted by name."""
        return tuple(self._checks[name] for name in sorted(self._checks))

    def write(self, folder: Path) -> None:
        """Write report.json, and where there are warnings warnings.html, one page with its pictures inside it."""
        about = {"limits": LIMITS, "pictures": [check.as_json() for check in self.all]}
        write_text(folder / "report.json", json.dumps(about, indent=1, ensure_ascii=True))
        if any(check.warnings for check in self.all):
            write_text(folder / "warnings.html", self._page())

    def _page(self) -> str:
        warned = [check for check in self.all if check.warnings]
        title = f"{len(warned):,} of {len(self._checks):,} photographs with warnings"
        shown = {name: data_address(data, "JPEG") for name, data in self._shown.items()}
        return render("warnings.html", {"title": title, "warned": warned, "shown": shown})


# --------------------------------------------------------------------------------------------------------- aligning


@dataclass(frozen=True)
class AlignReport:
    """What `align` did.

    Attributes:
        dest: the folder or file written.
        count: pictures written.
        seen: files looked at.
        size: their side in pixels.
        several: files with several faces, of which the largest was taken.
        rows: every file that was left out or about which there is something to say.
        checks: what was found in each picture that could be read.
        page: pictures of the warnings, if there are warnings and a folder for them.
    """

    dest: Path
    count: int
    seen: int
    size: int
    several: tuple[str, ...] = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    checks: tuple[PhotoCheck, ...] = field(default=(), repr=False)
    page: Path | None = None

    @property
    def faceless(self) -> tuple[str, ...]:
        """Files without a face, which were left out."""
        return tuple(row.file for row in self.rows if row.what == NO_FACE)

    def __str__(self) -> str:
        lines = [f"{self.dest}: {self.count:,} of {self.seen:,} files framed at {self.size}x{self.size}"]
        groups = {"{} without a face, left out": self.faceless, "{} with several faces, the largest taken": self.several}
        groups = {what: [one_line(name) for name in names] for what, names in groups.items()}
        for check in self.checks:
            for warning in check.warnings:
                if warning.name not in ("no-face", "several-faces"):
                    file = f"{one_line(check.name)} ({warning.number})"
                    groups.setdefault(f"warning: {{}} {warning.name}", []).append(file)
        for what, files in groups.items():
            if files:
                more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
                lines.append(f"{what.format(f'{len(files):,}')}: {', '.join(files[:10])}{more}")
        told = {*self.faceless, *self.several}
        rest = [row for row in self.rows if row.file not in told]
        page = [f"pictures of the warnings: {self.page}"] if self.page else []
        return "\n".join([*lines, *([table(rest)] if rest else []), *page])


def align(
    source: str | Path, dest: str | Path, size: int = 256, *, zoom: float = 1.0, warnings: str | Path | None = None
) -> AlignReport:
    """Frame the largest face of every photograph as FFHQ would: see `facegen.data.faces.framed`.

    What may spoil the result is looked for in every picture and named in the report: see `check_photo`. Faces that
    stand upside down, lie on their sides or are tiny are found as well.

    Args:
        source: a folder (nested is fine) or a zip of pictures, or one picture.
        dest: a new or empty folder, which appears complete or not at all, with PNG files named like the originals, in
            folders named like theirs. For one picture, a name ending in .png, .jpg or .webp writes that file.
        size: side of the squares, 16 to 4096 pixels.
        zoom: 0.5 to 3; above 1 cuts tighter than FFHQ does, for pictures that show little around the face.
        warnings: where the checks go, if anywhere: report.json, and where there are warnings warnings.html, with a picture of
            each. It may be `dest`; where no face is found in any picture, another folder is written all the same.
    """
    if not 16 <= size <= 4096:
        raise InputError(f"size {size} is out of range: choose 16 to 4096 pixels")
    check_zoom(zoom)
    source, dest = Path(source).expanduser(), Path(dest).expanduser()
    with ExitStack() as stack:
        stack.enter_context(no_bomb_warnings())
        opened = stack.enter_context(Source(source, single=True))
        single = opened.single
        as_file = single and dest.suffix.lower() in _FORMATS and not dest.is_dir()
        if single and dest.suffix.lower() in PICTURE_SUFFIXES and not as_file and not dest.is_dir():
            raise InputError(f"{dest}: pictures are written as {', '.join(_FORMATS)}: choose one of these, or a folder")
        place = stack.enter_context((replacing if as_file else replacing_folder)(dest))
        rows: list[Row] = list(opened.rows)
        several: list[str] = []
        count, taken = 0, set()
        kind = _FORMATS[dest.suffix.lower()] if as_file else "PNG"
        checks = Checks(size, pictures=warnings is not None)
        results = frame_all(opened, opened.names, size, zoom, functools.partial(_encoded, kind=kind), checks.find)
        with closing(results), tqdm(total=len(opened.names), desc="Aligning", unit="img", disable=None) as bar:
            for result in results:
                bar.update()
                if result.row:
                    rows.append(result.row)
                if result.value is None:
                    continue
                data, faces = result.value
                several += [result.name] if faces > 1 else []
                file = place if as_file else place / safe_name(result.name, ".png", taken, folders=True)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                count += 1
        inside = warnings is not None and not as_file and Path(warnings).expanduser() == dest
        if warnings is not None and (count or not inside):
            checks.write(place if inside else Path(warnings).expanduser())
        if not count:
            raise _nothing_framed(opened, rows, checks.all)
    page = Path(warnings) / "warnings.html" if warnings is not None and any(check.warnings for check in checks.all) else None
    return AlignReport(dest, count, len(opened.names), size, tuple(several), tuple(rows), checks.all, page)


def default_warnings(source: str | Path, dest: str | Path) -> Path:
    """Where `facegen align` puts the checks unless told: in the new folder, or for a single file in a folder beside it."""
    source, dest = Path(source).expanduser(), Path(dest).expanduser()
    one = source.is_file() and dest.suffix.lower() in _FORMATS and not dest.is_dir()
    return dest.with_name(f"{dest.stem}-warnings") if one else dest


def _nothing_framed(source: Source, rows: list[Row], checks: Sequence[PhotoCheck]) -> InputError:
    if all(row.what != NO_FACE for row in rows):
        error = nothing_usable(source, rows)
        names = dict.fromkeys(warning.name for check in checks for warning in check.warnings)
        return InputError(f"{', '.join(names)}: {error}") if names else error
    n = len(source.names)
    where = f"the {n:,} files of {source.path}" if n > 1 else str(source.path)
    return InputError(f"no-face: no face was found in {where}: give photographs in which faces are upright and not tiny")


def _encoded(image: Image.Image, faces: int, *, kind: str) -> tuple[bytes, int]:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({} if kind == "PNG" else {"quality": 95}))
    return buffer.getvalue(), faces
