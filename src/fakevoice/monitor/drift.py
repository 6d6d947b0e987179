"""Whether two samples are of one distribution: how far apart they lie, and whether chance alone could do that.

Two questions, since each misleads alone. A population stability index says how large a shift is, but few clips make
a large one by chance; a p-value says that chance is ruled out, but many clips make a tiny shift significant.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, fisher_exact, kstwo

N_BINS = 10
SMOOTHING = 0.5  # added to every bin's count, so that an empty one has a logarithm
MIN_VALUES = 2


def population_stability(reference: np.ndarray, new: np.ndarray) -> float:
    """Population stability index (PSI): 0 for equal shares in all bins, without an upper end.

    Bins end at the deciles of the reference. Where many values are equal some deciles are, and there are fewer bins;
    what lies below the least value of the reference has a bin of its own where that value is a decile.

    Args:
        reference: (n_reference,) finite.
        new: (n_new,) finite.

    Source: Siddiqi, Credit Risk Scorecards, 2006, chapter 9; it is the divergence J of Kullback & Leibler, "On
    information and sufficiency", 1951. By chance alone its mean is (n_bins - 1)(1/n_reference + 1/n_new): Yurdakul &
    Naranjo, "Statistical properties of the population stability index", 2020.
    """
    edges = np.unique(np.quantile(reference, np.arange(1, N_BINS) / N_BINS))
    if edges[0] == reference.min():
        edges = np.concatenate([[np.nextafter(edges[0], -np.inf)], edges])
    shares = []
    for values in (reference, new):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + SMOOTHING
        shares.append(counts / counts.sum())
    expected, found = shares
    return float(np.sum((found - expected) * np.log(found / expected)))


def compare(reference: np.ndarray, new: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Each column of two samples beside each other.

    Args:
        reference: (n_reference, n_columns) float; nan where not known.
        new: (n_new, n_columns) float; nan where not known.
        names: of the columns.

    Returns:
        name, n_reference, n, psi, ks (the largest distance of cumulated shares), p (of such a distance by chance,
        asymptotic, which ties make larger), reference_median, median. Columns of which either sample knows less than
        two values are left out.

    Source: the two-sample test of Smirnov, "Table for estimating the goodness of fit of empirical distributions", 1948.
    """
    rows = []
    for name, before, after in zip(names, reference.T, new.T, strict=True):
        before, after = np.sort(before[np.isfinite(before)]), np.sort(after[np.isfinite(after)])
        if min(len(before), len(after)) < MIN_VALUES:
            continue
        distances = population_stability(before, after), _largest_distance(before, after)
        rows.append((name, len(before), len(after), *distances, float(np.median(before)), float(np.median(after))))
    columns = ["name", "n_reference", "n", "psi", "ks", "reference_median", "median"]
    table = pd.DataFrame(rows, columns=columns)
    n_effective = np.round(table["n"] * table["n_reference"] / (table["n"] + table["n_reference"]))
    table.insert(5, "p", kstwo.sf(table["ks"].astype(float), n_effective.astype(float)))
    return table


def _largest_distance(before: np.ndarray, after: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples."""
    values = np.concatenate([before, after])
    shares = (np.searchsorted(part, values, side="right") / len(part) for part in (before, after))
    return float(np.abs(np.subtract(*shares)).max())


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected for how many there are, so that 1 % is the chance that any of them is below 1 % by chance.

    Columns may depend on each other in any way, as statistics of neighbouring bands do.

    Args:
        p: (n_tests,) in [0, 1].

    Returns:
        (n_tests,) float64 in [0, 1], none below its own `p`.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def excess_probability(n_hits: int, n: int, n_reference_hits: int, n_reference: int, promised: float) -> float:
    """How probable so many hits are where they are no more frequent than promised, or no more than in the reference.

    The larger of two p-values: an exact binomial test against the promised share, and Fisher's exact test against
    the reference, which may itself hold more than was promised. 1 without clips.

    Source: Clopper & Pearson 1934; Fisher, Statistical Methods for Research Workers, 5th edition, 1934, section 21.02.
    """
    if not n:
        return 1.0
    table = [[n_hits, n - n_hits], [n_reference_hits, n_reference - n_reference_hits]]
    more_than_promised = binomtest(n_hits, n, promised, alternative="greater").pvalue
    return float(max(more_than_promised, fisher_exact(table, alternative="greater").pvalue))
