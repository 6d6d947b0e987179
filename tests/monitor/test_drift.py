"""How far two samples lie apart: by hand, against SciPy, and what chance does."""

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, ks_2samp

from fakevoice.monitor.drift import compare, excess_probability, holm, population_stability


def test_psi_by_hand():
    """Ten bins of ten values; the new ones lie in the lowest two bins, half in each."""
    reference, new = np.arange(100.0), np.repeat([0.0, 15.0], 50)
    expected = np.full(10, 10.5 / 105)
    found = np.array([50.5, 50.5, *[0.5] * 8]) / 105
    by_hand = float(np.sum((found - expected) * np.log(found / expected)))
    assert population_stability(reference, new) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(3.52, abs=0.01)


def test_psi_of_the_same_values_is_0_and_order_does_not_matter():
    values = np.random.default_rng(0).normal(size=500)
    assert population_stability(values, values[::-1]) == 0


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_psi_sees_where_a_constant_has_gone(shift):
    """All clips of the reference last 5 s: shorter and longer ones are another kind."""
    five = np.full(200, 5.0)
    assert population_stability(five, five + shift) > 5
    assert population_stability(five, five) == 0
    mostly = np.append(five, np.linspace(6, 7, 20))
    assert population_stability(mostly, mostly) == 0 and population_stability(mostly, five - 0.5) > 5


def test_psi_of_chance_is_as_published():
    rng, n_reference, n = np.random.default_rng(1), 1000, 400
    found = [population_stability(rng.normal(size=n_reference), rng.normal(size=n)) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9 * (1 / n_reference + 1 / n), rel=0.1)


@pytest.mark.parametrize(("n_reference", "n"), [(1000, 30), (40, 500), (17, 19)])
def test_smirnovs_test_is_that_of_scipy(n_reference, n):
    rng = np.random.default_rng(n)
    reference = np.stack([rng.normal(size=n_reference), rng.integers(4, size=n_reference)], axis=1)
    new = np.stack([rng.normal(0.5, 1, n), rng.integers(5, size=n)], axis=1)
    table = compare(reference, new, ["plain", "ties"])
    for row, before, after in zip(table.itertuples(), reference.T, new.T, strict=True):
        theirs = ks_2samp(before, after, method="asymp")
        assert row.ks == pytest.approx(theirs.statistic, abs=1e-12) and row.p == pytest.approx(theirs.pvalue)
        assert (row.median, row.reference_median) == (np.median(after), np.median(before))


def test_what_is_not_known_is_left_out():
    reference, new = np.ones((20, 3)), np.ones((10, 3))
    reference[:15, 0], new[:, 1], new[1:, 2] = np.nan, np.nan, np.nan
    table = compare(reference, new, ["some", "none", "one"])
    assert table["name"].tolist() == ["some"]
    assert table[["n_reference", "n"]].to_numpy().tolist() == [[5, 10]]
    assert compare(np.empty((5, 0)), np.empty((5, 0)), []).empty and "p" in compare(reference, new[:0], list("abc"))


def test_holm_by_hand():
    """Holm's procedure on .01, .04, .03: 3 × .01, then 2 × .03, then what came before, since it may not fall."""
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0] and holm(np.empty(0)).size == 0


def test_holm_is_stricter_than_the_rate_of_false_discoveries():
    p = np.random.default_rng(3).uniform(size=50) ** 4
    assert (holm(p) >= false_discovery_control(p) - 1e-12).all() and (holm(p) >= p).all()


def test_holm_holds_its_promise():
    rng = np.random.default_rng(4)
    alarms = [(holm(rng.uniform(size=40)) < 0.05).any() for _ in range(2000)]
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)


def test_excess_is_more_than_promised_and_more_than_before():
    alone = binomtest(6, 100, 0.01, alternative="greater").pvalue
    assert excess_probability(6, 100, 0, 10**6, 0.01) == pytest.approx(alone, rel=1e-3)
    assert excess_probability(6, 100, 60, 1000, 0.01) > 0.4  # as many in the reference
    assert excess_probability(6, 100, 0, 3, 0.01) > 0.5  # of which nothing is known
    assert excess_probability(0, 100, 0, 100, 0.01) == 1 and excess_probability(0, 0, 1, 100, 0.01) == 1
