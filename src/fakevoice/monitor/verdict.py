"""Whether the clips that come in are still what training covered: drift of every measure, and a verdict.

A measure has drifted where it is shifted far enough to matter, by its population stability index, and further than
chance goes, by a test that is corrected for how many there are. Facts and answers call for a new training where one
of them has another distribution, features where a tenth of them have. The thresholds of the index are the customary
ones (Siddiqi, Credit Risk Scorecards, 2006, chapter 9).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from fakevoice.ensemble.ood import INSIDE
from fakevoice.monitor.clips import FACTS, Clips, Reference
from fakevoice.monitor.drift import compare, excess_probability, holm

FINE, WATCH, RETRAIN = "fine", "watch", "retrain"
EXIT_CODES = {FINE: 0, WATCH: 10, RETRAIN: 20}
ALPHA = 0.01  # of a false alarm among all tests together, since one monitors again and again
PSI_WATCH, PSI_RETRAIN = 0.1, 0.25
OUTSIDE_RETRAIN = 0.1  # share of clips outside of what training covered, where it is more than chance
N_HALVES = 2  # features, and all the rest: each may raise half of the false alarms
FEATURES_RETRAIN = 0.1  # share of the columns that are shifted as far; single ones are worth a look
MIN_CLIPS = 30  # below, only what is broken altogether would show
UNREADABLE_WATCH = 0.05  # share of files
UNSURE = 0.4, 0.6  # a probability in between says nothing
KINDS = ("fact", "prediction", "feature")
N_STRONGEST = 10
MAX_BLOCKS, MIN_BLOCK = 20, 10


@dataclass(frozen=True)
class Reason:
    """Why the verdict is what it is: a key of the page's texts, and what stands in the gaps."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found about clips that came in.

    Attributes:
        reference: kind of what they are held against.
        n_reference, n: clips of both; n_unreadable: files that came in and could not be read.
        drift: kind (fact, prediction, feature), name, n_reference, n, psi, ks, p, p_corrected, reference_median,
            median, level (fine, watch or retrain); the largest index first.
        families: family of features, columns, drifted (how many), median_psi, max_psi, column (the strongest).
        outside, reference_outside: share of clips outside of what training covered; p_outside, corrected as well.
        blocks: number, first, last (when, UTC), n, the mean of each <output>, unsure and outside (shares), spread, the
            median of each fact.
        verdict: fine, watch or retrain; reasons say why.
    """

    reference: str
    n_reference: int
    n: int
    n_unreadable: int
    drift: pd.DataFrame
    families: pd.DataFrame
    outside: float
    reference_outside: float
    p_outside: float
    blocks: pd.DataFrame
    verdict: str
    reasons: list[Reason]

    def of_kind(self, kind: str) -> pd.DataFrame:
        """The rows of `drift` of one kind."""
        return self.drift[self.drift["kind"] == kind].reset_index(drop=True)

    def max_psi(self, kind: str) -> float:
        """The largest index of one kind; 0 where nothing of it was compared."""
        return float(self.of_kind(kind)["psi"].max()) if (self.drift["kind"] == kind).any() else 0.0


def judge(reference: Reference, clips: Clips, n_unreadable: int, outputs: list[str], columns: list[str]) -> Findings:
    """Hold clips against the reference.

    Args:
        clips: oldest first, of `incoming.score_clips`.
        n_unreadable: files that could not be read.
        columns: names of the pooled features.
    """
    outside, before = (part.table["distance"].to_numpy() > 1 for part in (clips, reference.clips))
    p_outside = excess_probability(int(outside.sum()), len(outside), int(before.sum()), len(before), 1 - INSIDE)
    drift = _drift(reference.clips, clips, outputs, columns)
    is_feature = (drift["kind"] == "feature").to_numpy()
    drift.insert(drift.columns.get_loc("p") + 1, "p_corrected", 1.0)
    drift.loc[is_feature, "p_corrected"] = _corrected(drift.loc[is_feature, "p"].to_numpy())
    *others, p_outside = _corrected(np.append(drift.loc[~is_feature, "p"].to_numpy(), p_outside))
    drift.loc[~is_feature, "p_corrected"] = others
    is_drifted = drift["p_corrected"] < ALPHA
    drift["level"] = np.select(
        [is_drifted & (drift["psi"] >= PSI_RETRAIN), is_drifted & (drift["psi"] >= PSI_WATCH)], [RETRAIN, WATCH], FINE
    )
    drift = drift.sort_values("psi", ascending=False, kind="stable", ignore_index=True)
    shares = {"outside": _share(outside), "reference_outside": _share(before), "p_outside": float(p_outside)}
    verdict, reasons = _verdict(drift, shares, len(outside), n_unreadable)
    return Findings(
        *(reference.kind, len(before), len(outside), n_unreadable, drift, _families(drift)),
        **shares,
        blocks=_blocks(clips.table, outputs),
        verdict=verdict,
        reasons=reasons,
    )


def _corrected(p: np.ndarray) -> np.ndarray:
    """Holm's correction within one of two halves of all tests: hundreds of features would drown a handful of facts."""
    return np.minimum(N_HALVES * holm(p), 1.0)


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def _drift(reference: Clips, clips: Clips, outputs: list[str], columns: list[str]) -> pd.DataFrame:
    predictions = {f"compared_{output}": output for output in outputs} | {"spread": "spread"}
    tables = {"fact": {name: name for name in FACTS}, "prediction": predictions}
    found = []
    for kind, names in tables.items():
        before, after = (part.table[list(names)].to_numpy(float) for part in (reference, clips))
        found.append(compare(before, after, list(names.values())).assign(kind=kind))
    found.append(compare(reference.pooled, clips.pooled, columns).assign(kind="feature"))
    drift = pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)
    return drift[["kind", *(name for name in drift.columns if name != "kind")]]


def _verdict(drift: pd.DataFrame, shares: dict[str, float], n: int, n_unreadable: int) -> tuple[str, list[Reason]]:
    """The worst that any measure calls for, and all reasons."""
    if n < MIN_CLIPS:
        return WATCH, [Reason("few", {"n": n, "n_wanted": MIN_CLIPS}), *_unreadable(n, n_unreadable)]
    verdicts, reasons = {FINE}, _unreadable(n, n_unreadable)
    verdicts |= {WATCH} if reasons else set()
    for kind in KINDS:
        rows = drift[(drift["kind"] == kind) & (drift["level"] != FINE)]
        if rows.empty:
            continue
        shown = [f"{row.name} ({row.psi:.2f})" for row in rows.head(N_STRONGEST).itertuples(index=False)]
        reasons.append(Reason(kind, {"n": len(rows), "names": ", ".join(shown)}))
        n_far, n_all = (rows["level"] == RETRAIN).sum(), (drift["kind"] == kind).sum()
        is_far = n_far > 0 if kind != "feature" else n_far >= FEATURES_RETRAIN * n_all
        verdicts.add(RETRAIN if is_far else WATCH)
    if shares["p_outside"] < ALPHA:
        reasons.append(Reason("outside", {"share": shares["outside"], "reference": shares["reference_outside"]}))
        verdicts.add(RETRAIN if shares["outside"] >= OUTSIDE_RETRAIN else WATCH)
    return max(verdicts, key=EXIT_CODES.get), reasons


def _unreadable(n: int, n_unreadable: int) -> list[Reason]:
    too_many = n_unreadable > UNREADABLE_WATCH * (n + n_unreadable)
    return [Reason("unreadable", {"n": n_unreadable, "n_files": n + n_unreadable})] if too_many else []


def _families(drift: pd.DataFrame) -> pd.DataFrame:
    """Features by what their names begin with, before the first underscore; the family most shifted first."""
    features = drift[drift["kind"] == "feature"]
    by = features.assign(is_drifted=features["level"] != FINE).groupby(features["name"].str.split("_").str[0])
    table = pd.DataFrame(
        {
            "columns": by.size(),
            "drifted": by["is_drifted"].sum(),
            "median_psi": by["psi"].median(),
            "max_psi": by["psi"].max(),
            "column": by["name"].first(),
        }
    )
    return table.sort_values("median_psi", ascending=False, kind="stable").rename_axis("family").reset_index()


def _blocks(table: pd.DataFrame, outputs: list[str]) -> pd.DataFrame:
    """Clips in the order in which they came, in parts of one size: when something changed is seen."""
    n_blocks = int(np.clip(len(table) // MIN_BLOCK, 1, MAX_BLOCKS))
    rows = []
    for number, places in enumerate(np.array_split(np.arange(len(table)), n_blocks), start=1):
        part = table.iloc[places]
        answers = part[outputs].to_numpy()
        first, last = (_time(part["modified_s"].iloc[end]) if len(part) else "" for end in (0, -1))
        means = {output: float(part[output].mean()) for output in outputs}
        unsure = ((answers > UNSURE[0]) & (answers < UNSURE[1])).any(axis=1)
        facts = {"unsure": _share(unsure), "outside": _share(part["distance"].to_numpy() > 1)}
        rows.append({"block": number, "first": first, "last": last, "n": len(part), **means, **facts})
        rows[-1] |= {"spread": float(part["spread"].mean()), **part[list(FACTS)].median().astype(float).to_dict()}
    return pd.DataFrame(rows)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def as_dict(findings: Findings) -> dict[str, Any]:
    """Plain values for JSON; None where a number is not known."""
    values = dict(vars(findings))
    for name in ("drift", "families", "blocks"):
        values[name] = _plain(values[name])
    values["reasons"] = [{"key": reason.key, **reason.values} for reason in findings.reasons]
    values["thresholds"] = {
        **{
            "alpha": ALPHA,
            "psi_watch": PSI_WATCH,
            "psi_retrain": PSI_RETRAIN,
            "outside_promised": round(1 - INSIDE, 9),
        },
        **{"outside_retrain": OUTSIDE_RETRAIN, "features_retrain": FEATURES_RETRAIN},
        **{"unreadable_watch": UNREADABLE_WATCH, "min_clips": MIN_CLIPS},
    }
    return values


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.to_dict("records")
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]
