"""Mixed batches: labels are mixed as the clips are, and with the same clips."""

import numpy as np
import pytest

from fakevoice.core import plugins

N, SHAPE = 12, (20, 50)
LEVELS = np.arange(1, N + 1, dtype=np.float32)
X = np.broadcast_to(LEVELS[:, None, None, None], (N, 1, *SHAPE)).copy()  # clip k is k + 1 everywhere
Y = np.eye(N, dtype=np.float32)
SEEDS = pytest.mark.parametrize("seed", range(5))


def mixed(name: str, seed: int, **args) -> tuple[np.ndarray, np.ndarray]:
    return plugins.load("augment", name).build(**args)(X, Y, np.random.default_rng(seed))


@SEEDS
def test_mixups_labels_are_the_weights_of_the_clips(seed):
    x, y = mixed("mixup", seed, alpha=1.0, probability=1.0)
    assert (np.ptp(x, axis=(1, 2, 3)) == 0).all()
    np.testing.assert_allclose(y @ LEVELS, x[:, 0, 0, 0], rtol=1e-5)  # the label holds both clips and both weights
    np.testing.assert_allclose(y.sum(axis=1), 1.0, atol=1e-6)
    assert ((y > 0).sum(axis=1) <= 2).all() and ((y > 0).sum(axis=1) == 2).sum() > N / 2


def test_mixups_weights_are_beta_and_drawn_for_each_clip():
    def weights(alpha: float) -> np.ndarray:
        labels = [mixed("mixup", seed, alpha=alpha, probability=1.0)[1] for seed in range(40)]
        own = np.concatenate([np.diagonal(y) for y in labels])
        return own[own < 1]

    for alpha in (0.2, 1.0, 5.0):
        found = weights(alpha)
        assert len(set(found)) > 0.7 * len(found)
        assert found.mean() == pytest.approx(0.5, abs=0.06)
        assert found.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.2)


@SEEDS
def test_spec_mix_pastes_whole_bands_and_mixes_labels_by_area(seed):
    x, y = mixed("spec_mix", seed, probability=1.0)
    for k in range(N):
        pasted = x[k, 0] != LEVELS[k]
        rows, columns = pasted.all(axis=1), pasted.all(axis=0)
        assert np.array_equal(pasted, rows[:, None] | columns[None])
        if pasted.any():  # otherwise it was paired with itself
            assert rows.sum() <= 3 * 2 and columns.sum() <= 3 * 5 and rows.any() and columns.any()
            (other,) = np.unique(x[k, 0][pasted])
            assert y[k, int(other) - 1] == pytest.approx(pasted.mean(), abs=1e-6)
        assert y[k, k] == pytest.approx(1 - pasted.mean(), abs=1e-6)


def test_spec_mix_leaves_the_clip_its_greater_part_by_default():
    shares = np.concatenate([1 - np.diagonal(mixed("spec_mix", seed, probability=1.0)[1]) for seed in range(20)])
    assert shares.max() < 0.55 and 0.15 < shares.mean() < 0.35


def test_a_feature_of_one_band_is_cut_in_time_alone():
    x = np.broadcast_to(LEVELS[:, None, None, None], (N, 1, 1, 1000))
    build = plugins.load("augment", "spec_mix").build
    mixed, labels = build(probability=1.0)(x, Y, np.random.default_rng(0))
    shares = (mixed[:, 0, 0] != x[:, 0, 0]).mean(axis=1)
    assert 0 < shares.max() <= 0.3
    np.testing.assert_allclose(1 - np.diagonal(labels), shares, atol=1e-6)
