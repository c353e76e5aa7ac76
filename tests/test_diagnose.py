"""Each failure of a translation, provoked on purpose, is named; a healthy translation raises nothing."""

import pytest
import torch
import torch.nn.functional as F

from facegen.data.drawn import drawn
from facegen.files import InputError
from facegen.training.diagnose import LONG, change_made, diagnose, diversity_kept, identity_kept

SEEDS = range(50)
N, SIZE = 8, 32  # the size of the pictures in the tests; the thresholds were measured at 64


def names(*args, **options):
    return [alarm.name for alarm in diagnose(*args, **options)]


@pytest.fixture(scope="module")
def batches():
    """Per seed: eight people, the same pictures with planted faults, and the same people in another pose and light."""
    people = {seed: drawn(N, SIZE, seed).images for seed in SEEDS}
    faults = {seed: drawn(N, SIZE, seed, uncanny=1.0).images for seed in SEEDS}
    again = {seed: drawn(N, SIZE, seed, start=5000, identities=list(range(N)), uncanny=1.0).images for seed in SEEDS}
    return people, faults, again


@pytest.fixture(scope="module")
def people(batches):
    return batches[0]


def floats(images):
    return images.float() / 127.5 - 1


def each(people, translate):
    """The sets of names that `translate`, a function of pictures in [-1, 1], raises over all seeds."""
    return [names(floats(x), translate(floats(x)).clamp(-1, 1)) for x in people.values()]


@pytest.fixture(scope="module")
def embed():
    """Pictures -> skin, hair, glasses and beard, by a ridge regression on other drawn faces."""

    def features(x):
        return F.pad(F.adaptive_avg_pool2d(x, 16).flatten(1), (0, 1), value=1.0)

    faces = drawn(1000, SIZE, seed=777)
    about = faces.attributes
    style = [F.one_hot(about[name]).float() / 2 for name in ("hair_style", "beard", "glasses")]
    target = torch.cat([about["skin_rgb"], about["hair_rgb"], *style], dim=1)
    x = features(floats(faces.images))
    weights = torch.linalg.solve(x.T @ x + 30 * torch.eye(x.shape[1]), x.T @ (target - target.mean(dim=0)))
    return lambda pictures: features(pictures) @ weights


def test_healthy_translations_raise_nothing_in_fifty_seeds(batches, embed):
    people, faults, again = batches
    for translated in (faults, again):
        for seed, x in people.items():
            assert diagnose(x, translated[seed]) == [], seed
            assert diagnose(x, translated[seed], embed=embed) == [], seed


@pytest.mark.parametrize("translate", [
    lambda x: x * torch.tensor([1.1, 1.0, 0.9]).view(3, 1, 1) + 0.06,  # warmer
    lambda x: x + torch.tensor([-0.24, 0.0, 0.24]).view(3, 1, 1),  # a strong blue cast
    lambda x: x.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1),  # grey
    lambda x: 0.6 * x,  # paler
    lambda x: F.interpolate(F.interpolate(x, scale_factor=1.1, mode="bilinear"), size=(36, 36))[..., 2:34, 2:34],  # larger
    lambda x: F.interpolate(F.avg_pool2d(x, 4), size=SIZE, mode="bilinear"),  # soft
])  # fmt: skip
def test_mild_changes_raise_nothing_in_fifty_seeds(people, translate):
    assert each(people, translate) == [[]] * len(people)


def with_one_face(x):
    """The first person's face in everybody's hair and room."""
    at = torch.linspace(-1, 1, SIZE)
    inside = ((at[None] / 0.62).square() + (at[:, None] / 0.8).square() < 1).float()
    return x * (1 - inside) + x[:1] * inside


def test_one_face_for_all_is_named(people):
    noise = 0.04 * torch.randn(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    tint = 0.3 * torch.randn(N, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    for translate in (
        lambda x: x.mean(dim=0, keepdim=True) + noise,
        lambda x: x[:1] + tint,
        lambda x: torch.zeros_like(x),
        with_one_face,
    ):
        for found in each(people, translate):
            assert found[0] == "outputs converge to one face"


def test_shuffled_people_and_strangers_have_lost_their_identity(people, embed):
    assert each(people, lambda x: x.roll(1, 0)) == [["identity lost"]] * len(people)
    for seed in range(10):
        assert names(drawn(24, SIZE, seed).images, drawn(24, SIZE, seed + 100).images) == ["identity lost"]
    # Eight people are few: where the neighbour in the batch happens to look alike, a swap is no loss.
    caught = [names(x, x.roll(1, 0), embed=embed) == ["identity lost"] for x in people.values()]
    assert sum(caught) >= 0.95 * len(caught)


def test_an_embedding_sees_what_coarse_structure_cannot(people, embed):
    """One face in everybody's own hair: the structure around it is kept, the person is not."""
    caught = {"blind": 0, "seeing": 0}
    for x in map(floats, people.values()):
        caught["blind"] += "identity lost" in names(x, with_one_face(x))
        caught["seeing"] += "identity lost" in names(x, with_one_face(x), embed=embed)
    assert caught["blind"] <= 0.1 * len(people) and caught["seeing"] >= 0.9 * len(people)


def test_the_evidence_says_how_identity_was_judged(people, embed):
    x = people[0]
    (blind,), (seeing,) = diagnose(x, x.roll(1, 0)), diagnose(x, x.roll(1, 0), embed=embed)
    assert "no embedding was given" in blind.evidence
    assert "by the embedding" in seeing.evidence


def test_negatives_and_turned_hues_are_named_once(people):
    assert each(people, lambda x: -x) == [["colours inverted"]] * len(people)
    assert each(people, lambda x: 2 * x.mean(dim=1, keepdim=True) - x) == [["colours inverted"]] * len(people)


def test_copies_are_named_even_with_noise(people):
    noise = 0.02 * torch.randn(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert each(people, lambda x: x) == [["output unchanged"]] * len(people)
    smooth = F.avg_pool2d(noise, 3, 1, 1)
    assert each(people, lambda x: x + smooth) == [["output unchanged"]] * len(people)


def test_bytes_and_floats_and_half_precision_say_the_same(people):
    x = people[0]
    y = x.roll(1, 0)
    for a, b in ((x, floats(y)), (floats(x), floats(y)), (floats(x).bfloat16(), floats(y).bfloat16())):
        assert names(a, b) == ["identity lost"]
    assert torch.allclose(identity_kept(x, y), identity_kept(floats(x), floats(y)), atol=1e-4)


def test_alarms_are_one_line_with_numbers_and_advice(people):
    x = people[0]
    logits = {"logits_real": torch.ones(60), "logits_fake": torch.zeros(60)}
    provoked = [y for made in (x[:1].expand_as(x), x.roll(1, 0), 255 - x, x) for y in diagnose(x, made, **logits)]
    assert len({alarm.name for alarm in provoked}) == 5
    for alarm in provoked:
        assert "\n" not in str(alarm) and "tensor" not in str(alarm) and len(str(alarm)) < 400
        assert any(c.isdigit() for c in alarm.evidence) and alarm.evidence.endswith(".") and alarm.advice.endswith(".")
        assert alarm.severity in ("warning", "serious")


def test_severity_follows_how_bad_it_is(people):
    x = floats(people[3])
    half = diagnose(x, 0.25 * x + 0.75 * x.mean(dim=0, keepdim=True))
    whole = diagnose(x, x.mean(dim=0, keepdim=True).expand_as(x))
    assert [a.severity for a in half] == ["warning"] and whole[0].severity == "serious"


# -- the measures


def test_measures_have_known_values(people):
    x = floats(people[1])
    assert diversity_kept(x, x) == pytest.approx(1)
    assert diversity_kept(x, 0.5 * x) == pytest.approx(1, abs=1e-4), "paler is not more alike"
    assert diversity_kept(x, x[:1].expand_as(x)) == pytest.approx(0, abs=1e-5)
    assert torch.allclose(identity_kept(x, x), torch.ones(N), atol=1e-4)
    assert identity_kept(x, x[:1].expand_as(x)).abs().max() < 1e-4
    assert torch.allclose(change_made(x, (x * 0.9)), (0.1 * x).abs().mean(dim=(1, 2, 3)) / 2, atol=1e-6)
    one_lost = x.clone()
    one_lost[2] = x[5]
    assert identity_kept(x, one_lost).argmin() == 2


def test_identity_by_an_embedding_is_on_its_scale():
    """Cosines 0.8 with oneself and 0.2 with others: (0.8 - 0.2) / (1 - 0.2)."""
    n = 6
    who = torch.eye(n)
    common, own = torch.ones(n, 1), 2.0
    first, second = torch.cat([own * who, common], 1), torch.cat([own * who, common], 1)
    cosine = 1 / (own**2 + 1)
    calls = []

    def embed(pictures):
        calls.append((pictures.shape, pictures.min().item() >= -1, pictures.max().item() <= 1))
        return first if len(calls) == 1 else second.roll(1, 0)

    x = drawn(n, SIZE, 1).images
    kept = identity_kept(x, x, embed)
    others = (n * 1 + n * (n - 2) * cosine) / (n * (n - 1))  # one of the five others is oneself, shifted by one
    assert kept == pytest.approx([(cosine - others) / (1 - others)] * n, abs=1e-5)
    assert calls == [((n, 3, SIZE, SIZE), True, True)] * 2


# -- the discriminator


def series(real, fake, steps=200, spread=0.02):
    noise = torch.randn(2, steps, generator=torch.Generator().manual_seed(0)) * spread
    return {"logits_real": real + noise[0], "logits_fake": fake + noise[1]}


@pytest.mark.parametrize(("loss", "real", "fake", "won"), [
    ("lsgan", 0.99, 0.0, True), ("lsgan", 0.91, 0.09, False), ("lsgan", 0.5, 0.5, False),
    ("bce", 9.0, -8.0, True), ("vanilla", 9.0, -8.0, True), ("bce", 3.0, -3.2, False), ("bce", 0.4, -0.3, False),
    ("hinge", 9.0, -2.2, True), ("hinge", 1.2, -1.2, False), ("hinge", 0.69, -0.64, False),
    ("wgan-gp", 90.0, -90.0, False), ("relativistic", 20.0, -20.0, False),
])  # fmt: skip
def test_a_discriminator_has_won_when_it_has_no_doubt_left(people, loss, real, fake, won):
    x = people[0]
    y = drawn(N, SIZE, 0, uncanny=1.0).images
    assert names(x, y, loss=loss, **series(real, fake)) == (["discriminator won"] if won else [])


def test_a_lead_that_is_short_or_past_is_no_victory(people):
    x, y = people[0], drawn(N, SIZE, 0, uncanny=1.0).images
    won, level = series(1.0, 0.0), series(0.6, 0.4)
    assert names(x, y, **{k: v[: LONG - 1] for k, v in won.items()}) == []
    recovered = {k: torch.cat([won[k], level[k][:LONG]]) for k in won}
    assert names(x, y, **recovered) == []
    lost_it = {k: torch.cat([level[k], won[k][:LONG]]).tolist() for k in won}
    assert names(x, y, **lost_it) == ["discriminator won"]
    patches = {k: v[:, None, None, None].expand(-1, 1, 6, 6) for k, v in won.items()}
    assert names(x, y, **patches) == ["discriminator won"]


def test_a_discriminator_in_training_beats_a_generator_that_stands_still():
    """The alarm on a real run: D learns to tell drawn faces from smooth noise that never gets better."""
    torch.manual_seed(0)
    faces = floats(drawn(64, 16, 3).images)
    D = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 4, 2, 1), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(16, 1, 8))
    optimizer = torch.optim.Adam(D.parameters(), 5e-3, (0.5, 0.999))
    log = {"logits_real": [], "logits_fake": []}
    for _ in range(150):
        real, fake = D(faces[torch.randperm(64)[:16]]), D(torch.randn(16, 3, 16, 16) * 0.5)
        ((real - 1).square().mean() + fake.square().mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        log["logits_real"].append(real.mean().item())
        log["logits_fake"].append(fake.mean().item())
    x, y = drawn(N, SIZE, 0).images, drawn(N, SIZE, 0, uncanny=1.0).images
    assert names(x, y, **log) == ["discriminator won"]
    assert names(x, y, **{name: values[:LONG] for name, values in log.items()}) == [], "it had to learn first"


# -- refusals


@pytest.mark.parametrize(("change", "words"), [
    (lambda x: {"outputs": x[:4]}, "differ in shape"),
    (lambda x: {"inputs": x[:3], "outputs": x[:3]}, "too few"),
    (lambda x: {"outputs": x.int()}, "int32"),
    (lambda x: {"outputs": [1, 2]}, "list"),
    (lambda x: {"outputs": x[:, :1]}, r"\[N, 3, H, W\]"),
    (lambda x: {"inputs": x[..., :8], "outputs": x[..., :8]}, "16 x 16"),
    (lambda x: {"outputs": floats(x) * float("nan")}, "not finite"),
    (lambda x: {"inputs": x[:1].expand(N, -1, -1, -1)}, "same picture"),
    (lambda x: {"embed": lambda pictures: pictures}, "one finite vector"),
    (lambda x: {"logits_real": [1.0] * 60}, "both or neither"),
    (lambda x: {"logits_real": [1.0] * 60, "logits_fake": [0.0] * 59}, "59"),
    (lambda x: {"logits_real": [float("inf")] * 60, "logits_fake": [0.0] * 60}, "finite"),
    (lambda x: {"logits_real": [1.0] * 60, "logits_fake": [0.0] * 60, "loss": "l2"}, "'l2'"),
])  # fmt: skip
def test_bad_input_is_refused_in_one_line(people, change, words):
    x = people[0]
    with pytest.raises(InputError, match=words) as refusal:
        diagnose(**({"inputs": x, "outputs": x.roll(1, 0)} | change(x)))
    assert "\n" not in str(refusal.value)
