"""One line of text, the cache folder, locks, and writing completely or not at all."""

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from facegen.__main__ import main
from facegen.files import (
    InputError,
    WriteError,
    cache_folder,
    locked,
    one_line,
    refuse_link,
    replacing,
    replacing_folder,
    write_text,
    writing,
)
from facegen.models import pretrained, stylegan2
from facegen.show.video import save_frames

# ------------------------------------------------------------------------------------------------------------ one line


@pytest.mark.parametrize(
    "text, line",
    [
        ("plain name.png", "plain name.png"),
        ("two\nlines\t and\r\n more", "two lines and more"),
        ("\x1b[31mred\x1b[0m\x07", "?[31mred?[0m?"),
        ("a\u202egnp.exe", "a?gnp.exe"),  # turns the direction of writing
        ("a\u2066b\u200fc\u2028d", "a?b?c d"),
        ("b\udcffd", "b?d"),  # an undecodable byte of a file's name
        (Path("ein/b\x00er"), "ein/b?er"),
        (ValueError("no\nway"), "no way"),
        (12, "12"),
        ("x" * 500, "x" * 197 + "..."),
    ],
)
def test_a_text_from_outside_is_one_line_that_no_terminal_misunderstands(text, line):
    assert one_line(text) == line


def test_a_line_is_as_long_as_it_may_be():
    assert one_line(10**5000) == "?"  # Python writes out no number of more than 4,300 digits
    assert one_line("abcdefgh", 8) == "abcdefgh" and one_line("abcdefghi", 8) == "abcde..."


# ----------------------------------------------------------------------------------------------------------- the cache


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "mine"))
    assert cache_folder("networks") == tmp_path / "mine" / "networks"
    monkeypatch.delenv("FACEGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("networks") == tmp_path / "xdg" / "facegen" / "networks"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder("networks") == tmp_path / ".cache" / "facegen" / "networks"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder("networks") == tmp_path / "Library" / "Caches" / "facegen" / "networks"


def test_without_a_home_the_cache_is_a_private_folder(monkeypatch, tmp_path):
    for name in ("FACEGEN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(2):
        found = cache_folder("networks")
        assert found == tmp_path / f"facegen-{os.getuid()}" / "networks"
        assert found.parent.stat().st_mode & 0o777 == 0o700
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    (tmp_path / f"facegen-{me + 1}").mkdir()  # by another user, who may read and change what is put there
    with pytest.raises(InputError, match="is somebody else's: set FACEGEN_CACHE"):
        cache_folder("networks")


# --------------------------------------------------------------------------------------------------------------- locks

HOLDS = """
import sys
from facegen.files import locked
with locked(sys.argv[1], "facegen train"):
    print("in", flush=True); input()
"""


def test_a_second_process_is_told_who_works_in_a_folder_and_a_dead_one_is_no_obstacle(tmp_path):
    folder = tmp_path / "run"
    other = subprocess.Popen([sys.executable, "-c", HOLDS, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    with pytest.raises(InputError) as caught, locked(folder, "facegen train"):
        pass
    assert str(caught.value).startswith(f"{folder} is in use (facegen train, process {other.pid} on ")
    assert "\n" not in str(caught.value) and "since 2" in str(caught.value)
    other.kill()  # leaves its lock's file and its note
    other.communicate()
    with locked(folder, "facegen train"):
        (folder / "made").touch()
    assert [path.name for path in folder.iterdir()] == ["made"]


def test_a_lock_holds_against_the_same_process_too_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "a" / "run", "one"), pytest.raises(InputError, match="one, process"):
        locked(tmp_path / "a" / "run", "two").__enter__()
    assert not (tmp_path / "a" / "run").exists()
    with locked(tmp_path / "a" / "run", "two"):
        pass


def test_a_folder_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "samples").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="samples is a symbolic link"):
        refuse_link(tmp_path / "samples")
    with pytest.raises(InputError, match="samples is a symbolic link"), replacing_folder(tmp_path / "samples"):
        pass


# ---------------------------------------------------------------------------------------- what killed processes leave

WRITES = """
import sys
from facegen.files import replacing, replacing_folder
with replacing(sys.argv[1]) as file, replacing_folder(sys.argv[2]) as folder:
    file.write_text("half"); (folder / "half").touch()
    print("in", flush=True); input()
"""


def test_what_a_killed_process_leaves_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    command = [sys.executable, "-c", WRITES, tmp_path / "a.png", tmp_path / "folder"]
    ours = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in ours:
        assert process.stdout.readline() == "in\n"
    foreign = tmp_path / ".b.part"  # no work of ours
    foreign.mkdir()
    halves = ".facegen.*.part/[!.]*"
    assert [len(list(tmp_path.glob(pattern))) for pattern in ("*", halves)] == [5, 4]
    ours[0].send_signal(signal.SIGKILL)
    ours[0].communicate()
    with replacing(tmp_path / "a.png") as file, replacing_folder(tmp_path / "other"):
        file.write_text("whole")
        assert sorted(path.name for path in tmp_path.glob(halves)) == ["a.png", "a.png", "folder", "other"]
    assert sorted(path.name for path in tmp_path.glob(halves)) == ["a.png", "folder"]  # the living one's
    ours[1].communicate("go on\n")
    assert (tmp_path / "a.png").read_text() == "half" and (tmp_path / "folder" / "half").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [foreign.name, "a.png", "folder", "other"]


def test_many_files_in_one_folder_are_not_listed_for_each(tmp_path, monkeypatch):
    asked = []
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: asked.append(path) or glob(path, pattern))
    for number in range(3):
        write_text(tmp_path / f"{number}.txt", "x")
    assert asked == [tmp_path] and len(list(tmp_path.iterdir())) == 3


def test_results_are_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "usual").touch()
    (tmp_path / "usual folder").mkdir()
    with replacing(tmp_path / "new"), replacing_folder(tmp_path / "new folder"):
        pass
    for usual, new in (("usual", "new"), ("usual folder", "new folder")):
        assert (tmp_path / new).stat().st_mode == (tmp_path / usual).stat().st_mode


# ------------------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def full(tmp_path):
    """A folder on a disk of 256 KiB, and what is said when that is full; without the right to make one, files end there."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], capture_output=True).returncode == 0:
        yield tmp_path, "no space left on the disk"
        subprocess.run(["umount", "-l", tmp_path], check=True)
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, before[1]))
    yield tmp_path, "cannot be written (File too large)"
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", bytes(1 << 20))


NOISE = torch.randint(0, 256, (512, 512, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
WRITERS = {
    "a.safetensors": lambda path: save_file({"a": torch.zeros(1 << 18)}, path),
    "a.pt": lambda path: torch.save({"a": torch.zeros(1 << 18)}, path),
    "a.npz": lambda path: np.savez(path, a=np.zeros(1 << 18)),
    "a.png": lambda path: Image.fromarray(NOISE).save(path),
    "a.zip": _zip,
    "a.txt": lambda path: path.write_text("x" * (1 << 20)),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_whatever_writes_and_nothing_is_left(name, old, full):
    folder, words = full
    if old:
        (folder / name).write_text("old")
    with pytest.raises(WriteError) as caught, replacing(folder / name) as temporary:
        WRITERS[name](temporary)
    left = "the old file stays as it was" if old else "nothing was written"
    assert str(caught.value) == f"{folder / name}: {words}; {left}"
    assert [path.name for path in folder.iterdir()] == [name] * old
    assert not old or (folder / name).read_text() == "old"


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_folder_that_was_to_be_filled(name, full):
    folder, words = full
    with pytest.raises(WriteError) as caught, replacing_folder(folder / "new") as temporary:
        WRITERS[name](temporary / name)
    assert str(caught.value) == f"{folder / 'new'}: {words}; nothing was written" and not list(folder.iterdir())
    with pytest.raises(WriteError) as caught, replacing_folder(folder / "new") as inside, replacing(inside / name) as file:
        WRITERS[name](file)
    assert str(caught.value) == f"{folder / 'new' / name}: {words}; nothing was written" and not list(folder.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.webp", "a.gif"])
def test_a_film_on_a_full_disk_advises_no_other_suffix(name, full):
    folder, words = full
    with pytest.raises(WriteError) as caught:
        save_frames([torch.from_numpy(NOISE.transpose(2, 0, 1)[None]).roll(i, 3) for i in range(9)], folder / name)
    assert str(caught.value) == f"{folder / name}: {words}; nothing was written" and not list(folder.iterdir())


def test_other_refusals_of_the_system_name_the_file_too(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    reasons = {"file/a.png": "Not a directory", "a" * 300 + ".png": "File name too long", "folder": "Is a directory"}
    for name, reason in reasons.items():
        with pytest.raises(WriteError) as caught, replacing(tmp_path / name) as file:
            file.write_text("x")
        assert str(caught.value) == f"{tmp_path / name}: cannot be written ({reason}); nothing was written"
    with replacing(tmp_path / f"{'x' * 250}.png") as file:  # a name that the temporary one must not make too long
        file.write_text("x")
    assert sorted(path.name[:6] for path in tmp_path.iterdir()) == ["file", "folder", "xxxxxx"]


def test_what_is_added_to_a_file_is_named_too(full):
    folder, words = full
    with pytest.raises(WriteError) as caught, writing(folder / "stats.jsonl"), open(folder / "stats.jsonl", "a") as file:
        file.write("x" * (1 << 20))
    assert str(caught.value) == f"{folder / 'stats.jsonl'}: {words}"


def test_what_is_no_matter_of_writing_passes_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "a.png"):
        (tmp_path / "nowhere").read_text()
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.png"):
        1 / 0  # noqa: B018
    with pytest.raises(ConnectionResetError), replacing_folder(tmp_path / "a"):
        raise ConnectionResetError(104, "Connection reset by peer")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Two related networks of 400 KB each."""
    folder = tmp_path_factory.mktemp("networks")
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        widths = {"channel_base": 1024, "channel_max": 64}
        G = stylegan2.Generator(16, 0, 16, 32, 3, {"num_layers": 2}, widths).eval()
        pretrained.save(folder / f"{name}.safetensors", G, None, {})
    for name in ("one", "two"):
        (folder / "pictures").mkdir(exist_ok=True)
        Image.fromarray(NOISE).save(folder / "pictures" / f"{name}.png")
    return folder


VERBS = {
    "convert": "convert {nets}/a.safetensors {disk}/new.safetensors",
    "blend": "blend --network {nets}/a.safetensors --with {nets}/b.safetensors --from-layer 2 --out {disk}/new.safetensors",
    "project": "project --network {nets}/a.safetensors --target seed:3 --space pti --steps 2 --tune-steps 2 --perceptual lite0 "
    "--outdir {disk}/new --device cpu",
    "train": "train --cfg=dcgan --data drawn:8 --outdir {disk}/new --image-size 32 --conv-dim 8 --batch 8 --kimg 0.016 "
    "--snap 0.008 --device cpu",
    "dataset": "dataset --source {nets}/pictures --resolution 512x512 --dest {disk}/new.zip",
    "generate": "generate --network {nets}/a.safetensors --seeds 0-199 --outdir {disk}/new --device cpu",
    "walk": "walk --network {nets}/a.safetensors --between 1,2 --frames 60 --out {disk}/new.mp4 --device cpu",
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_one_line_that_the_disk_is_full(verb, networks, full, capsys):
    folder, words = full
    (folder / "ballast").write_bytes(bytes(200 << 10))
    assert main(VERBS[verb].format(nets=networks, disk=folder).split()) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"facegen: error: {folder}/new") and words in said
    assert not list(folder.rglob(".*"))
