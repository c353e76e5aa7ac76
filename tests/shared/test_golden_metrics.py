"""Distances against the numbers of pytorch-fid, torch-fidelity and NVIDIA's StyleGAN3 on the same features."""

import numpy as np
import pytest

from facegen.evaluation.distances import (
    frechet_distance,
    frechet_from_moments,
    inception_score,
    kid,
    moments,
    precision_recall,
)


def kid_subsets(x, y, subsets, size, seed):
    """Mean and standard deviation of the KID over random subsets, drawn as torch-fidelity draws them."""
    draws, values = np.random.RandomState(seed), []
    for _ in range(subsets):
        a, b = (rows[draws.choice(len(rows), size, replace=False)] for rows in (x, y))
        values.append(kid(a, b))
    return np.mean(values), np.std(values)


@pytest.fixture
def golden(shared):
    return np.load(shared / "golden/metrics_fid_kid.npz")


@pytest.fixture
def nvidia(shared):
    return np.load(shared / "golden/metrics_nvlabs_pr.npz")


def test_frechet_is_pytorch_fids(golden):
    x, y = golden["x"], golden["y"]
    assert frechet_distance(x, y) == pytest.approx(float(golden["fid"]), rel=1e-8)
    assert frechet_from_moments(*moments(x), *moments(y)) == pytest.approx(float(golden["fid"]), rel=1e-8)
    assert frechet_distance(x, y) == pytest.approx(float(golden["tf_fid_big"]), rel=1e-6)  # torch-fidelity's is in float32
    assert abs(frechet_distance(x, x) - float(golden["fid_self"])) < 1e-8


def test_frechet_of_covariances_without_full_rank_is_nearer_to_the_truth_than_the_reference(golden):
    """The references take roots of eigenvalues that are 0 but for rounding: they agree with each other to 1e-8 only and with
    the truth to 3e-7. The truth, by 40-digit arithmetic on these arrays, is below; ours must have all of its digits."""
    x, y = golden["x"][:40], golden["y"][:30]
    exact = 22.961119803575295063
    for found in (frechet_distance(x, y), frechet_from_moments(*moments(x), *moments(y))):
        assert found == pytest.approx(exact, rel=1e-12)
        assert found == pytest.approx(float(golden["fid_small_rankdef"]), rel=3e-7)
        assert found == pytest.approx(float(golden["tf_fid_rankdef"]), rel=3e-7)
    assert abs(frechet_distance(x, x)) < 1e-8


def test_nvidias_fid_divides_by_n(nvidia):
    def population(rows):
        rows = rows.astype(np.float64)
        return rows.mean(0), np.cov(rows.T, bias=True)

    found = frechet_from_moments(*population(nvidia["real"]), *population(nvidia["gen"]))
    assert found == pytest.approx(float(nvidia["fid_nvlabs"]), rel=1e-8)


def test_kid_is_the_unbiased_estimate_on_all_rows(golden):
    m = int(golden["kid_full_m"])
    assert kid(golden["x"][:m], golden["y"][:m]) == pytest.approx(float(golden["kid_full_mmd2"]), rel=1e-10)


def test_kid_of_subsets_is_torch_fidelitys(golden, nvidia):
    mean, std = kid_subsets(golden["x"], golden["y"], subsets=10, size=100, seed=2020)
    assert mean == pytest.approx(float(golden["tf_kid_mean"]), rel=2e-6)  # theirs multiplies in float32
    assert std == pytest.approx(float(golden["tf_kid_std"]), rel=2e-6)
    mean, std = kid_subsets(nvidia["gen"], nvidia["real"], subsets=200, size=100, seed=0)
    assert abs(mean - float(nvidia["kid_nvlabs_1000subsets_of_100"])) < 5 * std / np.sqrt(200)  # other random subsets


def test_precision_and_recall_are_torch_fidelitys(golden):
    expected = dict(zip(golden["tf_prc_keys"].tolist(), golden["tf_prc"].tolist()))
    # its first set is the generated one
    precision, recall = precision_recall(real=golden["y"], fake=golden["x"], k=3)
    assert precision == pytest.approx(expected["precision"], abs=1e-7)
    assert recall == pytest.approx(expected["recall"], abs=1e-7)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall_are_nvidias_but_for_its_half_precision(nvidia, k):
    real, fake, expected = nvidia["real"], nvidia["gen"], nvidia[f"pr_k{k}"]
    ours = precision_recall(real, fake, k)
    assert ours == pytest.approx(expected, abs=1.01 / len(fake))  # one picture over a border


def test_inception_score_is_torch_fidelitys(golden):
    assert inception_score(golden["isc_logits"], splits=5) == pytest.approx(golden["tf_isc"], rel=1e-7)
