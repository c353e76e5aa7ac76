"""Face embeddings: drawn people told apart, the users' own models read by content, gradients, and what is refused."""

import io
import json
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from facegen.data.drawn import drawn
from facegen.files import InputError
from facegen.models import identity
from facegen.models.identity import face_distance, identity_similarity, load_identity, resize
from tools.train_identity import (
    auc,
    contrastive_loss,
    distorted,
    main,
    pairs,
    people,
    save_identity,
    train_identity,
    verification,
)


@pytest.fixture(scope="module")
def embed():
    return load_identity()


@pytest.fixture(scope="module")
def shown():
    """Four people, three pictures of each, in [-1, 1]."""
    who = [person for person in range(4) for _ in range(3)]
    return drawn(12, 96, 77, identities=who).images.float() / 127.5 - 1


def facenet():
    package = pytest.importorskip("facenet_pytorch")
    torch.manual_seed(0)
    return package.InceptionResnetV1(pretrained=None, classify=False).eval()


# ------------------------------------------------------------------------------------------------ the shipped embedding


def test_the_shipped_embedding_knows_drawn_people_apart(embed):
    images, who = people(60, 3, seed=4_000_037, size=96, uncanny=0.0)
    result = verification(embed, images, *pairs(who.tolist(), 150, 0))
    assert result["auc"] > 0.95
    assert result["same"] > result["different"] + 0.3


@pytest.mark.parametrize("size", [32, 64, 97, 256])
def test_vectors_have_length_one_at_any_size(embed, shown, size):
    pictures = F.interpolate(shown[:2], size=size, mode="bilinear", antialias=True)
    vectors = embed(pictures)
    assert vectors.shape == (2, 128) and vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_picture_is_the_same_person_at_another_size(embed, shown):
    larger = F.interpolate(shown, size=192, mode="bilinear")
    assert (identity_similarity(embed, shown, larger) > 0.95).all()


def test_a_vector_depends_on_no_other_picture(embed, shown):
    assert torch.allclose(embed(shown)[3:4], embed(shown[3:4]), atol=1e-5)


def test_stays_in_evaluation_mode_and_frozen(embed, shown):
    inside = nn.ModuleList([embed])
    before = embed(shown)
    inside.train()
    assert torch.equal(embed(shown), before)
    assert not any(p.requires_grad for p in embed.parameters()) and not any(m.training for m in embed.modules())


def test_half_precision_around_it_changes_nothing(embed, shown):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = embed(shown)
    assert inside.dtype == torch.float32 and torch.equal(inside, embed(shown))


def test_distance_is_zero_to_itself_and_larger_to_others(embed, shown):
    distance = face_distance(embed)
    assert distance(shown, shown).abs() < 1e-5
    assert distance(shown, shown.roll(1, 0)) < distance(shown, shown.roll(3, 0))


def test_descending_the_distance_turns_a_picture_to_the_other_person(embed, shown):
    goal, picture = shown[:1], shown[3:4].clone().requires_grad_()
    distance = face_distance(embed)
    start = distance(goal, picture).item()
    optimizer = torch.optim.Adam([picture], 0.02)
    for _ in range(15):
        optimizer.zero_grad()
        distance(goal, picture).backward()
        optimizer.step()
    assert distance(goal, picture).item() < 0.5 * start
    assert all(p.grad is None for p in embed.parameters())


def test_the_gradient_is_that_of_the_distance():
    """Of the resizing, and of the smooth path through a network: against finite differences in double precision."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, 40, 36, dtype=torch.float64, requires_grad=True)
    rows = identity._triangles(40, 0.1, 0.8, 8, x.device).double()
    got = resize(x.float(), (0.1, 0.1, 0.8, 0.8), 8)
    (gradient,) = torch.autograd.grad(got[..., 3, 2].sum(), x)
    columns = identity._triangles(36, 0.1, 0.8, 8, x.device).double()
    assert torch.allclose(gradient[0, 0], torch.outer(rows[3], columns[2]), atol=1e-6)


def test_resizing_agrees_with_an_antialiased_resize():
    x = torch.rand(2, 3, 60, 80)
    ours = resize(x, (0.25, 0.0, 0.75, 1.0), 24)
    theirs = F.interpolate(x[..., 20:60], size=24, mode="bilinear", antialias=True)
    assert torch.allclose(ours[..., 3:-3, 3:-3], theirs[..., 3:-3, 3:-3], atol=1e-5)  # ours sees beyond the crop's edge
    assert torch.allclose(resize(x, (0, 0, 1, 1), 96), F.interpolate(x, size=96, mode="bilinear"), atol=1e-5)


def test_pictures_that_are_none_are_refused(embed):
    for bad in (torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)):
        with pytest.raises(InputError, match=r"floats \[N, 3, H, W\]"):
            embed(bad)
    with pytest.raises(InputError, match="16x40 are too small"):
        embed(torch.zeros(1, 3, 40, 16))
    with pytest.raises(InputError, match="2 pictures on one side and 1"):
        identity_similarity(embed, torch.zeros(2, 3, 64, 64), torch.zeros(1, 3, 64, 64))


# ------------------------------------------------------------------------------------------------------ users' own models


def test_dlib_adds_unlike_maps_with_zeros_behind(tmp_path):
    """7x7 halves to 3x3 by an average, and to 3x3 by a convolution; 8x8 to 4x4 and 3x3."""
    torch.manual_seed(0)
    block = identity._DlibBlock(2, 3, True)
    x = torch.rand(1, 2, 8, 8)
    y = block(x)
    inner = block.conv2(F.relu(block.conv1(x)))
    assert y.shape == (1, 3, 4, 4)
    expected = torch.zeros(1, 3, 4, 4)
    expected[:, :2] += F.avg_pool2d(x, 2)
    expected[:, :, :3, :3] += inner
    assert torch.allclose(y, F.relu(expected), atol=1e-6)


def test_facenet_is_read_with_and_without_its_head(tmp_path, shown):
    net = facenet()
    weights = net.state_dict()
    head = {"logits.weight": torch.zeros(7, 512), "logits.bias": torch.zeros(7)}
    torch.save(weights | head, tmp_path / "vggface2.pt")
    torch.save({f"module.{k}": v for k, v in weights.items()}, tmp_path / "odd name.bin")
    embed = load_identity(tmp_path / "vggface2.pt")
    assert embed.name == "facenet"
    with torch.no_grad():
        expected = net(((resize(shown[:3], embed.crop, 160) + 1) * 127.5 - 127.5) / 128)
    assert torch.allclose(embed(shown[:3]), expected, atol=1e-5)
    assert torch.equal(load_identity(tmp_path / "odd name.bin")(shown[:1]), embed(shown[:1]))


class Planted:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def test_code_in_a_file_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save({"conv2d_1a.conv.weight": Planted(marker)}, buffer)
    for name, data in (("zip.pt", buffer.getvalue()), ("bare.pt", pickle.dumps(Planted(marker)))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as error:
            load_identity(tmp_path / name)
        assert "\n" not in str(error.value) and name in str(error.value)
    assert not marker.exists()


def other(tmp_path):
    torch.save({"model.1.weight": torch.zeros(3, 3, 7, 7)}, tmp_path / "other.pt")
    return tmp_path / "other.pt", "no InceptionResnetV1"


def wrong_shape(tmp_path):
    weights = facenet().state_dict()
    weights["last_linear.weight"] = torch.zeros(128, 1792)
    torch.save(weights, tmp_path / "narrow.pt")
    return tmp_path / "narrow.pt", "it differs in .*last_linear.weight"


def not_finite(tmp_path):
    weights = facenet().state_dict()
    weights["last_bn.bias"][3] = torch.nan
    torch.save(weights, tmp_path / "nan.pt")
    return tmp_path / "nan.pt", "not finite"


def absent(tmp_path):
    return tmp_path / "nothing.pt", "cannot be read"


def no_file(tmp_path):
    return "facenet", "cannot be read"


def a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return tmp_path / "a.png", "no face embedding"


def empty_file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    return tmp_path / "a.bin", "no face embedding"


def a_folder(tmp_path):
    return tmp_path, "python tools/convert_face_api.py .* face-api.safetensors; then give that file"


def face_api(tmp_path):
    (tmp_path / "face_recognition_model-weights_manifest.json").write_text("[]")
    return tmp_path / "face_recognition_model-weights_manifest.json", "python tools/convert_face_api.py"


def torn_ours(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(identity.SHIPPED.read_bytes()[:-100])
    return tmp_path / "a.safetensors", "damaged"


def foreign_ours(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors", "no identity network|not an identity network"


def another_dlib(tmp_path):
    save_file(load_file(identity.SHIPPED), tmp_path / "a.safetensors", {identity.FORMAT: json.dumps({"network": "face-api"})})
    return tmp_path / "a.safetensors", "not an identity network"


def odd_ours(tmp_path):
    save_file(load_file(identity.SHIPPED), tmp_path / "a.safetensors", {identity.FORMAT: "[]"})
    return tmp_path / "a.safetensors", "not an identity network"


def huge_ours(tmp_path):
    about = json.dumps({"settings": {"width": 10**6, "dims": 128}})
    save_file(load_file(identity.SHIPPED), tmp_path / "a.safetensors", {identity.FORMAT: about})
    return tmp_path / "a.safetensors", "settings out of range"


REFUSED = [
    *(other, wrong_shape, not_finite, absent, no_file, a_picture, empty_file, a_folder, face_api),
    *(torn_ours, foreign_ours, another_dlib, odd_ours, huge_ours),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_files_that_are_no_embedding_get_one_line(tmp_path, make):
    if make in (other, wrong_shape, not_finite):
        pytest.importorskip("facenet_pytorch")
    path, says = make(tmp_path)
    with pytest.raises(InputError, match=says) as error:
        load_identity(path)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------------------- training


def test_training_is_reproducible():
    state = torch.get_rng_state()
    runs = [train_identity(4, seed, count=6, shots=4, width=4, dims=16) for seed in (0, 1, 0)]
    assert torch.equal(torch.get_rng_state(), state)
    first, second, again = ([*run.net.state_dict().values()] for run in runs)
    assert all(torch.equal(p, q) for p, q in zip(first, again))
    assert not all(torch.equal(p, q) for p, q in zip(first, second))


def test_training_learns():
    told = []
    train_identity(40, 0, count=8, shots=4, width=6, dims=16, report=lambda *row: told.append(row))
    assert [step for step, _ in told] == [20, 40]
    assert told[1][1] < told[0][1] - 0.3


def test_the_loss_is_the_supervised_contrastive_one():
    torch.manual_seed(0)
    vectors, who = torch.randn(6, 8), torch.tensor([0, 2, 1, 1, 0, 2])
    z = F.normalize(vectors, dim=1)
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        below = sum(torch.exp(z[i] @ z[j] / 0.2) for j in others)
        mates = [j for j in others if who[j] == who[i]]
        total -= sum(torch.log(torch.exp(z[i] @ z[j] / 0.2) / below) for j in mates) / len(mates)
    assert contrastive_loss(vectors, who, 0.2).item() == pytest.approx(float(total) / 6, rel=1e-5)


def test_distortions_keep_who_it_is_roughly_and_come_from_the_seed(embed):
    images, _ = people(8, 1, 3)
    one, same, another = (distorted(images, 48, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, another)
    assert one.shape == (8, 3, 48, 48) and one.isfinite().all() and one.abs().max() < 5


def test_pairs_and_auc():
    who = [0, 0, 0, 1, 1, 2]
    same, unlike = pairs(who, 4, seed=3)
    assert {tuple(p) for p in same.tolist()} == {(0, 1), (0, 2), (1, 2), (3, 4)}
    assert len({tuple(p) for p in unlike.tolist()}) == 4 and all(who[a] != who[b] for a, b in unlike.tolist())
    assert torch.equal(pairs(who, 4, seed=3)[1], unlike)
    with pytest.raises(InputError, match="have 4 such pairs, not 5"):
        pairs(who, 5)
    assert auc(torch.tensor([0.9, 0.5]), torch.tensor([0.1, 0.5])) == 0.875


def test_the_command_writes_a_file_that_loads(tmp_path, capsys, monkeypatch, shown):
    monkeypatch.setattr("tools.train_identity.verification_drawn", lambda *_: {"auc": 0.5})
    out = tmp_path / "small.safetensors"
    main(["--steps", "1", "--people", "2", "--seed", "3", "--out", str(out)])
    assert "AUC" in capsys.readouterr().out
    embed = load_identity(out)
    assert embed.name == "small" and embed(shown).shape == (12, 128)
    trained = train_identity(1, 3, count=2)
    save_identity(tmp_path / "again.safetensors", trained)
    assert (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()
    with pytest.raises(SystemExit) as end:
        main(["--steps", "0", "--out", str(out)])
    assert end.value.code == 2


def test_the_shipped_file_is_small_and_facenet_is_not_imported_for_it():
    assert identity.SHIPPED.stat().st_size < 2 << 20
    code = "import sys, facegen.models.identity as i; i.load_identity(); print('facenet_pytorch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
