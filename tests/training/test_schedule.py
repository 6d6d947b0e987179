"""The schedule is what torch's own schedulers make of the same numbers."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from fakevoice.core.config_sections import Training
from fakevoice.training.schedule import learning_rate_factor


def factors(n_steps: int, **settings) -> list[float]:
    return [learning_rate_factor(step, n_steps, Training(**settings)) for step in range(n_steps)]


def by_torch(n_steps: int, warmup: int, start: float, end: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warming = LinearLR(optimizer, start_factor=start, total_iters=warmup - 1)
    rates = []
    for _ in range(warmup):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warming.step()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cooling = CosineAnnealingLR(optimizer, T_max=n_steps - warmup, eta_min=end)
    for _ in range(n_steps - warmup):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cooling.step()
    return rates


@pytest.mark.parametrize(("start", "end"), [(0.01, 0.01), (0.01, 0.0), (1.0, 0.5)])
def test_linear_warm_up_then_cosine(start, end):
    ours = factors(200, warmup_fraction=0.1, start_factor=start, end_factor=end)
    assert ours == pytest.approx(by_torch(200, 20, start, end), abs=1e-6)


def test_it_begins_and_ends_at_a_hundredth_where_told():
    ours = factors(10_000, start_factor=0.01, end_factor=0.01)
    assert ours[0] == 0.01 and max(ours) == ours[999] == 1.0 and ours[-1] == pytest.approx(0.01, abs=1e-6)


def test_without_a_start_the_first_step_is_one_part_of_the_warm_up():
    assert factors(100, warmup_fraction=0.1)[:11] == pytest.approx([*(i / 10 for i in range(1, 11)), 1.0])
    assert factors(100, warmup_fraction=0.1)[-1] == pytest.approx(0.0, abs=1e-3)


def test_constant_is_constant():
    assert set(factors(50, schedule="constant", start_factor=0.01)) == {1.0}


@pytest.mark.parametrize("settings", [{"warmup_fraction": 0.0}, {"warmup_fraction": 0.0, "start_factor": 0.01}])
@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_short_trainings_have_a_rate_in_every_step(n_steps, settings):
    assert all(0 < factor <= 1 for factor in factors(n_steps, **settings))
