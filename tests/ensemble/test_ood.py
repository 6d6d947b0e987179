"""What training covered: its own clips lie inside, others outside, and the file says so again."""

import numpy as np
import pytest
import threadpoolctl

from fakevoice.core.errors import ArtifactError
from fakevoice.ensemble.ood import INSIDE, Range

N_COLUMNS = 12


@pytest.fixture(scope="module")
def columns() -> np.ndarray:
    """Three directions that vary much, the others little; of another scale and place in each column."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, N_COLUMNS)) + 0.1 * rng.normal(size=(2000, N_COLUMNS))
    return (x * np.geomspace(1e-3, 1e3, N_COLUMNS) + np.linspace(-50, 50, N_COLUMNS)).astype(np.float32)


@pytest.fixture(scope="module")
def covered(columns) -> Range:
    return Range.fit(columns[:1000], seed=0)


def test_new_clips_of_the_same_kind_lie_inside_as_often_as_promised(covered, columns):
    assert np.mean(covered.distance(columns[:1000]) <= 1) == pytest.approx(INSIDE, abs=0.005)
    assert np.mean(covered.distance(columns[1000:]) <= 1) == pytest.approx(INSIDE, abs=0.02)


def test_few_clips_of_many_columns_do_not_shut_others_of_their_kind_out():
    x = np.random.default_rng(0).normal(size=(400, 10)) @ np.random.default_rng(1).normal(size=(10, 300))
    x += 0.5 * np.random.default_rng(2).normal(size=x.shape)
    assert np.mean(Range.fit(x[:100], seed=0).distance(x[100:]) > 1) < 0.05


def test_what_is_far_along_or_across_the_main_directions_lies_outside(covered, columns):
    centre, deviation = columns.mean(axis=0), columns.std(axis=0)
    along = centre + 8 * (columns[:1] - centre) / np.linalg.norm((columns[:1] - centre) / deviation) * 3
    across = columns[:1].copy()
    across[0, 5] += 2 * deviation[5]  # each column alone is unremarkable, together they never occur
    assert covered.distance(along)[0] > 1
    assert covered.distance(across)[0] > 1
    assert covered.distance(centre[None])[0] < 0.5


def test_units_do_not_matter(columns):
    scaled = Range.fit(columns[:1000] * 1000 + 7, seed=0)
    plain = Range.fit(columns[:1000], seed=0)
    assert scaled.distance(columns[1000:1100] * 1000 + 7) == pytest.approx(plain.distance(columns[1000:1100]), rel=1e-2)


@pytest.mark.parametrize("n_columns", [1, 2, N_COLUMNS])
def test_any_number_of_columns_and_constant_ones(columns, n_columns):
    x = columns[:300, :n_columns].copy()
    x[:, 0] = 3.0
    distance = Range.fit(x, seed=0).distance(x)
    assert np.isfinite(distance).all() and np.mean(distance <= 1) > 0.95


def test_the_number_of_threads_changes_no_byte(columns, tmp_path):
    wide = np.tile(columns[:, None], (1, 60, 1)).reshape(len(columns), -1) + columns[:, :1]
    for n_threads in (1, 4):
        with threadpoolctl.threadpool_limits(n_threads):
            Range.fit(wide, seed=0).save(tmp_path / f"{n_threads}.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "4.safetensors").read_bytes()


def test_it_is_read_as_it_was_written_and_damage_is_named(covered, columns, tmp_path):
    covered.save(tmp_path / "range.safetensors")
    again = Range.load(tmp_path / "range.safetensors")
    assert np.array_equal(again.distance(columns), covered.distance(columns))
    (tmp_path / "range.safetensors").write_bytes((tmp_path / "range.safetensors").read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"range\.safetensors.*stack --force"):
        Range.load(tmp_path / "range.safetensors")
    with pytest.raises(ArtifactError, match="other"):
        Range.load(tmp_path / "other.safetensors")
