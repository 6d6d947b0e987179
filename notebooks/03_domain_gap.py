# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What lies between training and test
#
# Training clips are clean, test clips are not, and scenes stand between them: the score out of fold is worth as much
# as scenes resemble the test. This notebook asks how far they do, and where the errors that remain come from. It
# reads a finished run (`./run.sh all`) and no label of a test or unlabeled clip; the unlabeled clips, which come from
# the test's environment, stand for it. A run without them goes through as well: what needs them says so.
#
# To run it: `FAKEVOICE_CONFIG=demo .venv/bin/python -m jupytext --to ipynb --execute notebooks/03_domain_gap.py`
# (`FAKEVOICE_OVERRIDES=experiment=NAME` chooses another run; how it was made is read from the run itself).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Audio, display
from scipy.stats import ks_2samp

from fakevoice.analysis.domain_gap import audit_scenes, predict_unlabeled, separate, unlabeled_clips
from fakevoice.analysis.exploration import average_spectra, draw_spectrogram
from fakevoice.analysis.finished_run import describe_scenes, load_run, render_scene
from fakevoice.analysis.separation import conditions
from fakevoice.audio.read import read_audio
from fakevoice.core.config import load_config
from fakevoice.core.tables import read_table
from fakevoice.core.tasks import sides_of_states
from fakevoice.data.shortcuts import REMEDIES
from fakevoice.ensemble.label_shares import Shares
from fakevoice.ensemble.label_shift import resample_to_shares
from fakevoice.metrics.slices import label_and_probability, pair_aucs, slice_aucs, voice_aucs

run = load_run(
    load_config(os.environ.get("FAKEVOICE_CONFIG", "demo"), os.environ.get("FAKEVOICE_OVERRIDES", "").split())
)
config, outputs = run.config, run.config.outputs
scenes, unlabeled = describe_scenes(run), unlabeled_clips(run)
label, probability = label_and_probability(scenes, outputs)
is_comparable = len(unlabeled) >= config.folds.n_folds
plt.rcParams |= {"figure.dpi": 80, "figure.constrained_layout.use": True}
pd.set_option("display.precision", 3, "display.max_columns", None, "display.max_rows", 100)
print(f"{config.competition}/{config.experiment}: {len(scenes)} scenes, {len(unlabeled)} unlabeled clips")

# %% [markdown]
# ## Facts: train, unlabeled, test, scenes
#
# The audit's facts as cumulated shares; scenes are rendered and audited as the clips were (60 of them, so that their
# curves may be off by a tenth). See whether unlabeled lies on test: it must, if it is to stand for it. Then whether
# scenes lie on unlabeled where train does not.

# %%
clips = run.clips[run.clips["error"] == ""]
sources = {split: part for split, part in clips.groupby("split")}
sources["scenes"], scene_spectra_db = audit_scenes(run)
colours = dict(zip(sources, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
facts = {
    "level_dbfs": "level (dBFS)",
    "bandwidth_hz": "bandwidth (Hz)",
    "noise_floor_db": "noise floor (dBFS)",
    "silence_fraction": "silent frames (share)",
    "leading_silence_s": "leading silence (s)",
    "duration_s": "duration (s)",
}
figure, grid = plt.subplots(2, 3, figsize=(13, 6.5))
for axes, (fact, name) in zip(grid.flat, facts.items(), strict=True):
    for source, table in sources.items():
        axes.ecdf(table[fact].dropna(), label=source, color=colours[source])
    ends = np.array([table[fact].quantile([0.01, 0.99]) for table in sources.values()])
    margin = 0.02 * np.ptp(ends) + 1e-3
    axes.set(xlabel=name, ylabel="share of clips below", xlim=(ends.min() - margin, ends.max() + margin))
grid.flat[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# The same as numbers: the largest distance between the curve of each source and that of the unlabeled clips. 0 is
# alike, 1 is apart; two draws of 60 from the same world differ by some .15.

# %%
if is_comparable:
    distance = {
        source: {fact: ks_2samp(table[fact].dropna(), unlabeled[fact].dropna()).statistic for fact in facts}
        for source, table in sources.items()
        if source != "unlabeled"
    }
    display(pd.DataFrame(distance))
else:
    print("no unlabeled clips to compare with")

# %% [markdown]
# ## Long-term spectra
#
# Mean level of each mel band around each clip's own mean, so that loudness does not count. See where scenes leave
# test and unlabeled: too much treble is noise that is whiter than the test's, too little is a band limit that is too
# frequent. Train by label shows what the scenes are made of.

# %%
spectra = average_spectra(config)
spectra["scenes"] = scene_spectra_db.mean(axis=0)
figure, axes = plt.subplots(figsize=(9, 4.5))
for source in spectra:
    style = {"linestyle": "--"} if source.startswith("train") else {"linewidth": 2, "color": colours[source]}
    axes.plot(spectra.index, spectra[source], label=source, **style)
axes.set(xscale="log", xlabel="frequency (Hz)", ylabel="level around the clip's mean (dB)")
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# ## Shortcuts
#
# What facts about train's files tell of their labels, without listening, for groups never seen (notebook 01 draws
# them): an AUC far from 0.5 is what a model trained on the clips as they come would learn, and what test does not
# have. The last column is what evens it out in scenes; see that each strong one is switched on.

# %%
shortcuts = read_table(run.paths.stage("folds") / "shortcuts.csv", ("shortcut", "label"))
shortcuts["evened out by"] = shortcuts["shortcut"].map(REMEDIES).fillna("")
with pd.option_context("display.max_colwidth", None):
    display(shortcuts.sort_values("auc", ascending=False, ignore_index=True))

# %% [markdown]
# ## What tells scenes from unlabeled clips
#
# A classifier on the pooled features of the cache, asked about folds that it did not see. The nearer its AUC is to 0.5,
# the more the score out of fold can be believed. Scenes far to the left are unlike every unlabeled clip, clips far to
# the right are not simulated yet.

# %%
if is_comparable:
    separation = separate(run)
    figure, axes = plt.subplots(figsize=(7, 3.5))
    both = {"scenes": separation.scenes["log_odds"], "unlabeled": separation.clips["log_odds"]}
    edges = np.linspace(*np.quantile(np.concatenate(list(both.values())), [0.005, 0.995]), 30)
    for name, values in both.items():
        values, weight = values.clip(edges[0], edges[-1]), np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=weight, alpha=0.5, label=name, color=colours[name])
    axes.set(xlabel="log-odds that the classifier gives unlabeled (nats)", ylabel="share of clips")
    axes.legend()
    plt.show()
    print(f"AUC {separation.auc:.3f}, 95 % interval {separation.low:.3f} to {separation.high:.3f}")
else:
    print("no unlabeled clips to compare with")

# %% [markdown]
# The columns that tell most, each alone. An AUC above 0.5: higher in the unlabeled clips. The picture shows the range
# from the 10th to the 90th percentile and the median in both, in units of the scenes' own range. See whether the
# unlabeled clips are shifted (a level, a band) or wider (a variety that the scenes lack).

# %%
if is_comparable:
    top = separation.columns.head(15)[::-1]
    display(top[::-1])
    width = (top["scenes_p90"] - top["scenes_p10"]).replace(0, np.nan)
    figure, axes = plt.subplots(figsize=(9, 5))
    for shift, source in ((0.15, "scenes"), (-0.15, "unlabeled")):
        low, middle, high = (
            (top[f"{source}_{name}"] - top["scenes_median"]) / width for name in ("p10", "median", "p90")
        )
        axes.hlines(np.arange(len(top)) + shift, low, high, color=colours[source], label=source, linewidth=3)
        axes.plot(middle, np.arange(len(top)) + shift, "o", color=colours[source])
    axes.set_yticks(range(len(top)), top.index)
    axes.set(xlabel="value around the scenes' median (1 = from their 10th to their 90th percentile)", ylabel="column")
    axes.legend()
    plt.show()

# %% [markdown]
# All columns of a pooled feature by band (or coefficient), low to high. See where the curves leave 0.5: `mean` is the
# long-term spectrum, `p10` the noise floor between words, `p90` the voices, `std` and `step` how much moves.

# %%
if is_comparable:
    for feature in config.pooled:
        bands = separation.columns["auc"].filter(regex=rf"^{feature}_\d+_")
        bands.index = bands.index.str.removeprefix(f"{feature}_").str.split("_", expand=True)
        figure, axes = plt.subplots(figsize=(9, 3.5))
        bands.unstack().rename(index=int).sort_index().plot(ax=axes)
        axes.axhline(0.5, color="black", linewidth=1)
        axes.set(xlabel=f"band of {feature} (number)", ylabel="AUC, higher in unlabeled")
        plt.show()

# %% [markdown]
# The two scenes least like any unlabeled clip, then the two unlabeled clips least like any scene. Listen: what the
# first have too much of, and what the second have and no scene can have yet.

# %%
if is_comparable:
    odd = separation.scenes.nsmallest(2, "log_odds")
    sounds = {f"scene {name}": render_scene(run, name) for name in odd["scene"]}
    paths = unlabeled.set_index("id")["path"]
    for name in separation.clips.nlargest(2, "log_odds")["id"]:
        sounds[f"unlabeled {name}"] = read_audio(run.paths.raw / paths[name], config.sample_rate_hz).waveform
    figure, grid = plt.subplots(2, 2, figsize=(13, 6))
    for axes, (name, waveform) in zip(grid.flat, sounds.items(), strict=True):
        image = draw_spectrogram(axes, waveform, config.sample_rate_hz)
        figure.colorbar(image, ax=axes, label="level (dB)")
        axes.set_title(name[-40:], fontsize=9)
    plt.show()
    display(scenes.loc[scenes["scene"].isin(odd["scene"]), ["scene", "state", "snr_db", "noise", "event", "codec"]])
    for name, waveform in sounds.items():
        print(name)
        display(Audio(waveform, rate=config.sample_rate_hz))

# %% [markdown]
# ## What the unlabeled clips ask for
#
# The same log-odds, explained by the conditions that scenes were drawn with: to the right is what the unlabeled clips
# have more of than the scenes, all other conditions being equal. A condition that is asked for strongly and is rare
# should be drawn more often, one that is refused less often (its key in `scenes`); below ±0.4 it is hardly worth it.

# %%
if is_comparable and len(separation.asked):
    strongest = separation.asked[separation.asked.abs().nlargest(25).index].sort_values()
    figure, axes = plt.subplots(figsize=(9, 0.28 * len(strongest) + 1))
    axes.barh(strongest.index, strongest, color="lightsteelblue")
    axes.axvline(0, color="black", linewidth=1)
    axes.set(xlabel="log-weight (nats; above 0: unlabeled clips have more of it)", ylabel="condition of scenes")
    plt.show()
    share = pd.get_dummies(conditions(run.scenes, run.voices), prefix_sep="=").mean()
    display(pd.DataFrame({"log_weight": strongest, "share of scenes": share}).loc[strongest.index[::-1]].fillna(0.0))
else:
    print("no unlabeled clips to compare with, or scenes that are clips alone")

# %% [markdown]
# ## Which confusions cost the AUC
#
# One minus the AUC of an output is a sum over pairs of a state that holds the class and one that does not: a pair's
# own errors, times how frequent it is. The longest bars are what to work on. The second picture has the AUC of each
# pair with its 95 % interval (groups drawn): see which pairs are hard, and which are only frequent.

# %%
sides = sides_of_states(scenes["state"].unique(), config)
pairs = pair_aucs(scenes["state"], probability, sides, scenes["first_group"])
pairs["pair"] = pairs["state"] + " against " + pairs["against"]
figure, grid = plt.subplots(len(outputs), 2, figsize=(13, 3.5 * len(outputs)), squeeze=False)
for (left, right), output in zip(grid, outputs, strict=True):
    part = pairs[pairs["output"] == output].sort_values("lost")
    left.barh(part["pair"], part["lost"], color="lightsteelblue")
    left.set(xlabel=f"AUC of {output} lost (adds up to {part['lost'].sum():.3f})", ylabel="pair of states")
    right.hlines(part["pair"], part["low"], part["high"])
    right.plot(part["auc"], part["pair"], "o")
    right.axvline(0.5, color="black", linewidth=1)
    right.set(xlabel=f"AUC of {output} within the pair", ylabel="pair of states")
plt.show()

# %% [markdown]
# ## Under which conditions
#
# AUC of each output within slices of the scenes that hold a voice (how those without one are told from them is in the
# pairs above), with its 95 % interval; n is the number of scenes. See which points lie below the dashed line of all
# such scenes by more than their interval: that condition is hard, all else is chance.

# %%
voiced = scenes[scenes["n_voices"] > 0].assign(every="scene")
overall = slice_aucs(voiced, "every", config).set_index("output")["auc"]
by_condition = {
    "snr_band": "SNR (dB)",
    "overlap_band": "overlap of two voices (s)",
    "level_band": "level difference of two voices (dB)",
    "noise_kind": "noise",
    "event_kind": "second noise",
    "codec": "codec",
}
figure, grid = plt.subplots(3, 2, figsize=(13, 12))
for axes, (by, name) in zip(grid.flat, by_condition.items(), strict=True):
    table = slice_aucs(voiced, by, config)
    table["slice"] = table["slice"] + " (n = " + table["n"].astype(str) + ")"
    place = pd.Series(pd.factorize(table["slice"])[0])
    for shift, output in zip(np.linspace(-0.15, 0.15, len(outputs)), outputs, strict=True):
        own = table["output"] == output
        line = axes.plot(table.loc[own, "auc"], place[own] + shift, "o", label=output)[0]
        axes.hlines(place[own] + shift, table.loc[own, "low"], table.loc[own, "high"], color=line.get_color())
        axes.axvline(overall[output], color=line.get_color(), linewidth=1, linestyle="--")
    axes.set_yticks(place.unique(), table["slice"].unique())
    axes.invert_yaxis()
    axes.set(xlabel="AUC (dashed: all scenes with a voice)", ylabel=name)
grid.flat[0].legend(loc="lower right")
plt.show()

# %% [markdown]
# Which noises are taken for voices: mean probabilities of the scenes without any, by noise. See which stand out: the
# test has such noises too, and nobody speaks in them.

# %%
silent = scenes[scenes["state"] == "none"].groupby("noise_kind")
means = silent[[f"probability_{output}" for output in outputs]].mean().assign(n=silent.size())
means.sort_values(f"probability_{outputs[0]}", ascending=False)

# %% [markdown]
# The same by how much a scene looks like an unlabeled clip, within its state, so that each quarter has the same
# states. Where the AUC falls towards the most alike, the test is harder than the scenes, and the score out of fold
# flatters.

# %%
if is_comparable:
    alike = scenes.merge(separation.scenes, on="scene", validate="1:1")
    rank = alike.groupby("state")["log_odds"].rank(pct=True)
    names = ["least alike", "less alike", "more alike", "most alike"]
    alike["resemblance"] = pd.cut(rank, np.linspace(0, 1, 5), labels=names)
    table = slice_aucs(alike, "resemblance", config)
    figure, axes = plt.subplots(figsize=(7, 3.5))
    for output, part in table.groupby("output"):
        error = [part["auc"] - part["low"], part["high"] - part["auc"]]
        axes.errorbar(part["slice"], part["auc"], error, marker="o", capsize=4, label=output)
    axes.set(xlabel="quarter of the scenes, by likeness to unlabeled clips", ylabel="AUC")
    axes.legend()
    plt.show()

# %% [markdown]
# ## From which voices
#
# Scenes with a voice of one generator against all scenes without such a class, with 95 % intervals; `none` are clips
# used as they came, all else is the project's own resynthesis. See which generator is not heard; a resynthesis that is
# heard far better than `none` teaches little that is not known.

# %%
kinds = [voice_aucs(run.voices, run.oof, "vocoder", output, config).assign(output=output) for output in outputs]
kinds = pd.concat(kinds)
kinds["kind"] = kinds["output"] + ", " + kinds.index + " (n = " + kinds["n"].astype(str) + ")"
figure, axes = plt.subplots(figsize=(8, 0.35 * len(kinds) + 1))
axes.hlines(kinds["kind"], kinds["low"], kinds["high"])
axes.plot(kinds["auc"], kinds["kind"], "o")
axes.set(xlabel="AUC against scenes without the class", ylabel="class, vocoder")
plt.show()

# %% [markdown]
# The groups (speaker, generator, or recordings that sound alike) of each class in the order of their AUC, intervals by
# drawing scenes; only the larger half. See whether a few groups lie far below the others: the score
# to come hangs on how many of the test's generators are like them.

# %%
figure, grid = plt.subplots(1, len(outputs), figsize=(6.5 * len(outputs), 4), squeeze=False)
for axes, output in zip(grid.flat, outputs, strict=True):
    groups = voice_aucs(run.voices, run.oof, "group", output, config)
    groups = groups[groups["n"] >= groups["n"].median()]
    place = np.arange(1, len(groups) + 1)
    axes.vlines(place, groups["low"], groups["high"], color="lightsteelblue")
    axes.plot(place, groups["auc"], ".")
    axes.axhline(0.5, color="black", linewidth=1)
    axes.set(xlabel="group, hardest first (rank)", ylabel=f"AUC of {output} against the rest")
    print(f"{output}, the hardest groups:")
    display(groups.head(6))
plt.show()

# %% [markdown]
# ## What the ensemble says of both
#
# Calibrated probabilities of scenes, out of fold, beside those of the unlabeled clips, all at the shares of the scenes.
# Above, scenes as they were drawn; below, drawn again so that nothing, one class and both are heard as often as the
# unlabeled clips were estimated to have them: what differs above and agrees below is how frequent the classes are; what
# still differs below is sound. If the unlabeled clips lie nearer to the middle, the ensemble is less sure there than on
# any scene, and the test will be worse than the expected score; if they are as sure, that proves nothing yet.

# %%
if is_comparable:
    shares = Shares.from_dict(run.metrics["combinations"])
    answer = predict_unlabeled(run) @ shares.combinations
    resampled = resample_to_shares(shares.heard(label), shares.expected, config.seed)
    rows = {
        "scenes as drawn": {"scenes": probability, "unlabeled": answer},
        "scenes at the estimated shares": {"scenes": probability[resampled], "unlabeled": answer},
    }
    figure, grid = plt.subplots(2, len(outputs), figsize=(6 * len(outputs), 7), squeeze=False)
    found = []
    for row, (title, both) in zip(grid, rows.items(), strict=True):
        for place, (axes, output) in enumerate(zip(row, outputs, strict=True)):
            for name, values in both.items():
                p, weight = values[:, place], np.full(len(values), 1 / len(values))
                axes.hist(p, np.linspace(0, 1, 21), weights=weight, alpha=0.5, label=name, color=colours[name])
                found.append((output, title, name, p.mean(), (p * (1 - p)).mean()))
            axes.set(xlabel=f"probability of {output}", ylabel="share of clips", title=title)
    grid.flat[0].legend()
    plt.show()
    found = pd.DataFrame(found, columns=["output", "scenes", "of", "mean probability", "doubt"])
    display(found.set_index(["output", "scenes", "of"]).unstack())
else:
    print("the run has scored no unlabeled clips; its expected score is at the shares of the scenes")

# %% [markdown]
# Doubt is the mean of p(1 - p): the Brier score that these probabilities promise, if they are calibrated there too.
#
# ## What the expected score assumes
#
# That noises, rooms and codecs of the test are as hard as those of the scenes, and that how a voice was recorded tells
# nothing of its label (where shortcuts are discounted). It is the mean over tests with voices of one fold, of those
# whose count of the classes came out most like the count in the unlabeled clips; `error` says how far off such counts
# were. The sections above are the evidence against the assumption: the AUC that tells scenes from unlabeled clips, and
# the slope over the quarters. The interval of the expected score holds nothing of that.

# %%
conditions = {"oof": "as simulated", "discounted": "shortcuts discounted", "expected": "on tests of few sources"}
for name, what in conditions.items():
    if f"{name}_score" not in run.metrics:
        continue  # nothing was discounted
    low, score, high = (run.metrics[f"{name}_{end}"] for end in ("low", "score", "high"))
    print(f"{config.metric} {score:.4f}, 95 % interval {low:.4f} to {high:.4f}, {what}")
shares_by_output = pd.DataFrame(run.metrics["shares"]).T
display(shares_by_output.assign(error=pd.Series(run.metrics.get("count_errors", {}), dtype=float)))
