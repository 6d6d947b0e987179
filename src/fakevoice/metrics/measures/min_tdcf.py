"""Minimum normalised tandem detection cost (min t-DCF): what a spoofing detector spares a speaker verification."""

import numpy as np

from fakevoice.core.errors import FakevoiceError
from fakevoice.metrics.checks import mean_over_outputs
from fakevoice.metrics.roc import error_rates

GREATER_IS_BETTER = False
# The cost model of ASVspoof 2019, from its evaluation plan.
P_SPOOF, P_TARGET, P_NONTARGET = 0.05, 0.95 * 0.99, 0.95 * 0.01
COST_MISS_ASV, COST_FA_ASV, COST_MISS_CM, COST_FA_CM = 1.0, 10.0, 1.0, 10.0


def measure(
    label: np.ndarray,
    probability: np.ndarray,
    *,
    p_miss_asv: float = 0.0,
    p_fa_asv: float = 0.0,
    p_miss_spoof_asv: float = 0.0,
) -> float:
    """Cost at the best threshold, relative to the better of accepting all clips and refusing all.

    Without rates the verification (ASV) is one that never errs among people and accepts every spoof.

    Args:
        label: (n_clips, n_outputs) or (n_clips,) of 0 (bona fide) and 1 (spoof).
        probability: the same shape, that of a spoof, in [0, 1]; clips from the threshold on are refused.
        p_miss_asv: share of targets that the ASV refuses.
        p_fa_asv: share of nontargets that it accepts.
        p_miss_spoof_asv: share of spoofs that it refuses by itself.

    Returns:
        In [0, 1]: 0 for a perfect detector, 1 for a constant; the mean over outputs, nan as soon as
        one output has a single class.

    Raises:
        FakevoiceError: arrays that `predictions.checked` refuses, rates outside [0, 1], or an ASV so bad
            that refusing everybody costs nothing, or so good that accepting every spoof does.

    Source: Kinnunen et al., "t-DCF: a detection cost function for the tandem assessment of spoofing
    countermeasures and automatic speaker verification", Odyssey 2018; ASVspoof 2019 evaluation plan,
    on the primary metric.
    """
    rates = {"p_miss_asv": p_miss_asv, "p_fa_asv": p_fa_asv, "p_miss_spoof_asv": p_miss_spoof_asv}
    outside = [f"{name} {rate}" for name, rate in rates.items() if not 0 <= rate <= 1]
    if outside:
        raise FakevoiceError(f"min_tdcf: {', '.join(outside)} must be in [0, 1]")
    cost_miss = P_TARGET * (COST_MISS_CM - COST_MISS_ASV * p_miss_asv) - P_NONTARGET * COST_FA_ASV * p_fa_asv
    cost_fa = COST_FA_CM * P_SPOOF * (1 - p_miss_spoof_asv)
    if cost_miss <= 0 or cost_fa <= 0:
        listed = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
        raise FakevoiceError(f"min_tdcf is not defined for such a speaker verification: {listed}")
    return mean_over_outputs(lambda spoof, p: _min_cost(spoof, p, cost_miss, cost_fa), label, probability)


def _min_cost(spoof: np.ndarray, probability: np.ndarray, cost_miss: float, cost_fa: float) -> float:
    if spoof.all() or not spoof.any():
        return float("nan")
    # A bona fide clip that is taken for a spoof is a miss of the tandem, a spoof that is not is its false alarm.
    miss_rate, false_alarm_rate = error_rates(spoof, probability)
    cost = cost_miss * miss_rate + cost_fa * false_alarm_rate
    return float(cost.min() / min(cost_miss, cost_fa))
