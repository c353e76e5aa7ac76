"""What a film's file says, of MP4 too, as ffmpeg reads it."""

import re
import subprocess
from pathlib import Path

from facegen.show import video
from facegen.show.video import FilmFacts


def film_facts(path: Path) -> FilmFacts:
    """All of its frames are decoded and counted."""
    return _mp4_facts(path) if path.suffix == ".mp4" else video.film_facts(path)


def _mp4_facts(path: Path) -> FilmFacts:
    # ffmpeg tells on stderr what it reads, and counts what it decodes; imageio-ffmpeg has no ffprobe.
    command = [video._encoder(), "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, check=False).stderr.decode(errors="replace")
    size = re.search(r"Video:.*?\b(\d{2,5})x(\d{2,5})\b", said)
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    frames = re.findall(r"frame=\s*(\d+)", said)
    if not (size and duration and frames):
        raise ValueError(f"{path} is not a film that can be read")
    hours, minutes, seconds = (float(part) for part in duration.groups())
    comment = re.search(r"^\s+comment\s*: (.*)$", said, re.MULTILINE)
    return FilmFacts(
        int(frames[-1]),
        (int(size[1]), int(size[2])),
        3600 * hours + 60 * minutes + seconds,
        comment[1].strip() if comment else "",
    )
