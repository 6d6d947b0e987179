"""Intervals: right width, whole groups, same seed same interval, lost draws said."""

import numpy as np
import pytest

from fakevoice.core.errors import FakevoiceError
from fakevoice.metrics.bootstrap import bootstrap_interval


def share(label, probability):
    return float(np.mean(probability))


@pytest.fixture
def clips():
    rng = np.random.default_rng(4)
    return rng.integers(2, size=400), rng.random(400)


def test_width_is_that_of_the_normal_law(clips):
    low, high = bootstrap_interval(share, *clips, n_draws=2000)
    probability = clips[1]
    expected = 1.96 * probability.std() / np.sqrt(len(probability))
    assert low < probability.mean() < high
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)


def test_level(clips):
    wide, narrow = (bootstrap_interval(share, *clips, level=level) for level in (0.95, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_seed(clips):
    assert bootstrap_interval(share, *clips) == bootstrap_interval(share, *clips)
    assert bootstrap_interval(share, *clips) != bootstrap_interval(share, *clips, seed=1)


def test_groups_are_drawn_whole():
    groups = np.array(["b", "a", "b", "c", "a", "b"])  # of different sizes, rows not in order
    seen = []

    def note(label, rows):
        seen.append(tuple(rows.astype(int)))
        return 0.0

    bootstrap_interval(note, np.zeros(6), np.arange(6.0), groups=groups, n_draws=50)
    assert len(set(seen)) > 5
    for rows in seen:
        count = np.bincount(rows, minlength=6)
        assert all(len(set(count[groups == group])) == 1 for group in "abc")
        assert sum(count[groups == group][0] for group in "abc") == 3


def test_groups_widen(clips):
    label = clips[0]
    groups = np.repeat(np.arange(20), 20)
    alike = np.random.default_rng(5).random(20)[groups]
    by_row, by_group = bootstrap_interval(share, label, alike), bootstrap_interval(share, label, alike, groups=groups)
    assert by_group[1] - by_group[0] > 3 * (by_row[1] - by_row[0])


def test_few_lost_draws_are_left_out(clips):
    values = iter([float("nan")] * 10 + [1.0] * 90)
    assert bootstrap_interval(lambda *_: next(values), *clips, n_draws=100) == (1.0, 1.0)


def test_many_lost_draws_are_said(clips):
    values = iter([float("nan")] * 11 + [1.0] * 89)
    with pytest.warns(UserWarning, match="11 of 100 draws"):
        assert bootstrap_interval(lambda *_: next(values), *clips, n_draws=100) == (1.0, 1.0)


def test_no_interval(clips):
    with pytest.warns(UserWarning, match="200 of 200"):
        assert np.isnan(bootstrap_interval(lambda *_: float("nan"), *clips)).all()
    with pytest.warns(UserWarning, match="1 group"):
        assert np.isnan(bootstrap_interval(share, *clips, groups=["one"] * 400)).all()


def test_impossible_groups(clips):
    with pytest.raises(FakevoiceError, match="3 groups for 400 clips"):
        bootstrap_interval(share, *clips, groups=["a", "b", "c"])
    with pytest.raises(FakevoiceError, match="missing in 1 of 400 rows"):
        bootstrap_interval(share, *clips, groups=np.array([None] + ["a", "b", "c"] * 133, dtype=object))
