"""Near-duplicates: what a picture may suffer and still be found, and that different faces are not taken for the same."""

from __future__ import annotations

import pytest
import torch
from edits import EDITS, measured

from facegen.data.drawn import drawn
from facegen.data.duplicates import THRESHOLD, fingerprints, matching, repeats, unique
from facegen.files import InputError


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return drawn(60, 64, seed=11).images


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_copy_is_found_and_nothing_else_is(faces, name):
    both = torch.cat([faces, EDITS[name](faces[:30])])
    found = repeats(fingerprints(both))
    assert all(first in (None, i - 60) for i, first in enumerate(found))
    assert sum(first is not None for first in found) >= 29  # one in a hundred copies may be lost, as measured below
    assert repeats(fingerprints(both[60:]), fingerprints(faces)) == found[60:]
    assert unique(both).tolist() == [i for i, first in enumerate(found) if first is None]


def test_measured_on_2000_drawn_faces():
    images = drawn(2000, 64, seed=5).images
    wrong, lowest, edits = measured(images)
    print(f"\n2,000 drawn faces, 64 px: {wrong} pairs of different faces taken for the same, least unlikeness {lowest:.3f}")
    for name, (found, largest) in edits.items():
        print(f"  {name}: {found} of 200 found, largest unlikeness {largest:.4f}")
    assert wrong == 0 and lowest > THRESHOLD
    assert min(found for found, _ in edits.values()) >= 196  # JPEG at quality 30 leaves little of a face of 64 px


def test_all_copies_are_of_the_first_which_is_kept(faces):
    order = torch.tensor([3, 0, 3, 1, 0, 3, 2])
    images = faces[order].clone()
    images[4] = images[4].flip(-1)
    assert repeats(fingerprints(images)) == [None, None, 0, None, 1, 0, None]
    assert unique(images).tolist() == [0, 1, 3, 6]


def test_a_row_of_small_changes_is_not_one_group(faces):
    """Each neighbour is alike, the ends are not: what is kept must cover the row, and no group may span it."""
    blend = torch.linspace(0, 1, 21)[:, None, None, None]
    row = ((1 - blend) * faces[0] + blend * faces[1]).round().to(torch.uint8)
    pairs = {tuple(pair) for pair in matching(fingerprints(row))[0].tolist()}
    assert {(i, i + 1) for i in range(20)} <= pairs and (0, 20) not in pairs
    kept = unique(row).tolist()
    assert len(kept) >= 2 and all((i, j) in pairs for j, i in enumerate(repeats(fingerprints(row))) if i is not None)
    assert not any((i, j) in pairs for i in kept for j in kept)
    assert unique(row[:10]).tolist() == [i for i in kept if i < 10]  # later pictures change nothing before them


def test_one_person_in_two_shots_is_no_duplicate():
    shots = drawn(40, 64, seed=2, identities=[i // 2 for i in range(40)]).images
    assert len(unique(shots)) == 40


def test_other_colours_are_another_picture(faces):
    assert len(unique(torch.stack([faces[0], faces[0].flip(0)]))) == 2  # red and blue exchanged
    flat = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    flat[0, 0], flat[1, 2], flat[2, 0] = 200, 200, 190
    assert unique(flat).tolist() == [0, 1]


def test_a_face_is_found_in_another_set_of_another_size(faces):
    large = torch.nn.functional.interpolate(faces[5:8].float(), size=100, mode="bilinear").round().to(torch.uint8)
    pairs, unlikeness = matching(fingerprints(large), fingerprints(faces))
    assert pairs.tolist() == [[0, 5], [1, 6], [2, 7]] and unlikeness.min() > 0 and unlikeness.max() < THRESHOLD
    again, same = matching(fingerprints(faces), fingerprints(faces))
    assert again.tolist() == [[i, i] for i in range(60)] and same.max() < 1e-6


def test_sets_beyond_one_block_give_the_same_pairs(faces, monkeypatch):
    both = torch.cat([faces, EDITS["JPEG quality 30"](faces)])
    whole = matching(fingerprints(both))[0].tolist()
    monkeypatch.setattr("facegen.data.duplicates._ROWS", 7)
    monkeypatch.setattr("facegen.data.duplicates._PAIRS", 5)
    assert matching(fingerprints(both))[0].tolist() == whole and len(whole) >= 59


def test_nothing_and_one_picture(faces):
    assert unique(faces[:0]).tolist() == [] and unique(faces[:1]).tolist() == [0]
    assert repeats(fingerprints(faces[:1]), fingerprints(faces[:0])) == [None]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: unique(x.float()),
        lambda x: unique(x[0]),
        lambda x: unique(x[:, :1]),
        lambda x: unique(x[..., :4]),
        lambda x: matching(fingerprints(x), threshold=0.0),
        lambda x: matching(fingerprints(x), threshold=1.5),
        lambda x: matching(fingerprints(x), threshold=float("nan")),
    ],
)
def test_bad_input_is_refused_in_one_line(faces, call):
    with pytest.raises(InputError) as error:
        call(faces[:2])
    assert "\n" not in str(error.value)
