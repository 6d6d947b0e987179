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
# # Where the ensemble errs
#
# Out-of-fold predictions of a finished run (`./run.sh all`), cut by everything that is known about a scene: state,
# noise, overlap, codec, generator, fold. Every probability here comes from models, weights and calibrators that
# never saw the scene's fold.
#
# To run it: `FAKEVOICE_CONFIG=demo .venv/bin/python -m jupytext --to ipynb --execute notebooks/02_error_analysis.py`
# (`FAKEVOICE_OVERRIDES=experiment=NAME` chooses another run; how it was made is read from the run itself).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Audio, display

from fakevoice.analysis.exploration import draw_spectrogram
from fakevoice.analysis.finished_run import describe_scenes, load_run, render_scene, worst_scenes
from fakevoice.core.config import load_config
from fakevoice.core.tasks import sides_of_states
from fakevoice.metrics.slices import label_and_probability, pair_aucs, reliability, slice_scores, voice_aucs

run = load_run(
    load_config(os.environ.get("FAKEVOICE_CONFIG", "demo"), os.environ.get("FAKEVOICE_OVERRIDES", "").split())
)
config, outputs, metric = run.config, run.config.outputs, run.config.metric
scenes = describe_scenes(run)
label, probability = label_and_probability(scenes, outputs)
plt.rcParams |= {"figure.dpi": 80, "figure.constrained_layout.use": True}
pd.set_option("display.precision", 3, "display.max_columns", None)
print(f"{config.competition}/{config.experiment}: {len(scenes)} scenes in {config.folds.n_folds} folds")

# %% [markdown]
# ## Members
#
# Each member alone, calibrated as the ensemble is, and the ensemble with its 95 % interval (groups resampled).
# See whether the ensemble beats its best member by more than the interval is wide; where it does not, a member
# can go.

# %%
display(run.members)
low, score, high = (run.metrics[f"oof_{name}"] for name in ("low", "score", "high"))
print(f"ensemble {metric} {score:.4f}, 95 % interval {low:.4f} to {high:.4f}")
low_expected, expected, high_expected = (run.metrics[f"expected_{name}"] for name in ("low", "score", "high"))
print(f"at the shares below {expected:.4f}, 95 % interval {low_expected:.4f} to {high_expected:.4f}")
display(pd.DataFrame(run.metrics["shares"]).T)
figure, axes = plt.subplots(figsize=(7, 0.4 * len(run.members) + 1.2))
axes.barh(run.members["member"], run.members[metric], color="lightsteelblue")
axes.hlines(len(run.members) - 1, low, high, color="black", label="95 % interval of the ensemble")
axes.set(xlabel=f"{metric}, out of fold", ylabel="member")
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## By state
#
# Each state has one true answer, so there is no AUC within it: read the predicted means. See which state draws the
# wrong answer, e.g. `none` with high probabilities (noise taken for a voice) or two voices taken for one.

# %%
by_state = slice_scores(scenes, "state", config)
display(by_state)
states = by_state.drop(index="all")
figure, grid = plt.subplots(1, len(outputs), figsize=(6 * len(outputs), 0.4 * len(states) + 1.5), squeeze=False)
for axes, output in zip(grid.flat, outputs, strict=True):
    axes.barh(states.index, states[f"predicted_{output}"], color="lightsteelblue", label="predicted")
    axes.plot(states[f"share_{output}"], states.index, "k|", markersize=14, markeredgewidth=2, label="true")
    axes.set(xlabel=f"mean probability of {output}", ylabel="state", xlim=(-0.02, 1.02))
grid.flat[0].legend()
plt.show()

# %% [markdown]
# ## Pairs of states
#
# AUC between a state that holds a class and one that does not, by the output that should tell them apart. See the
# darkest cells: that confusion costs most. Usually it is one class beside the other, `real+fake` against
# `real+real` or `fake+fake`.

# %%
pairs = pair_aucs(scenes["state"], probability, sides_of_states(scenes["state"].unique(), config))
figure, grid = plt.subplots(1, len(outputs), figsize=(5.5 * len(outputs), 4), squeeze=False)
for axes, output in zip(grid.flat, outputs, strict=True):
    table = pairs[pairs["output"] == output].pivot(index="state", columns="against", values="auc")
    image = axes.imshow(table, vmin=0.5, vmax=1, cmap="viridis", aspect="auto")
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color="black" if value > 0.75 else "white")
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set_yticks(range(table.shape[0]), table.index)
    axes.set(xlabel=f"state without {output}", ylabel=f"state with {output}", title=f"output {output}")
    figure.colorbar(image, ax=axes, label="AUC")
plt.show()

# %% [markdown]
# ## By condition
#
# The same scores by SNR, overlap and level difference of two voices, codec, noise and fold. NaN is a number that
# a slice does not have (one class only). ECE of few scenes is biased upwards.

# %%
conditions = {
    "snr_band": "SNR (dB)",
    "overlap_band": "overlap of two voices (s)",
    "level_band": "level difference of two voices (dB)",
    "codec": "codec",
    "noise_kind": "noise",
    "fold": "fold",
}
slices = {by: slice_scores(scenes, by, config) for by in conditions}
for table in slices.values():
    display(table)

# %% [markdown]
# Their mean AUC where there is one; n is the number of scenes, the line is the AUC of all. See which condition is
# weak and at the same time frequent. Folds far apart mean that the score hangs on which speakers and generators are
# left out.

# %%
figure, grid = plt.subplots(3, 2, figsize=(13, 11))
for axes, (by, name) in zip(grid.flat, conditions.items(), strict=True):
    table, overall = slices[by].drop(index="all").dropna(subset="auc")[::-1], slices[by].at["all", "auc"]
    names = [f"{value} (n = {n})" for value, n in zip(table.index, table["n"], strict=True)]
    axes.hlines(names, overall, table["auc"], color="lightsteelblue", linewidth=3)
    axes.plot(table["auc"], names, "o")
    axes.axvline(overall, color="black", linewidth=1)
    axes.margins(y=0.1)
    axes.set(xlabel="mean AUC of the outputs", ylabel=name)
plt.show()

# %% [markdown]
# ## By generator and group
#
# Scenes with a voice of one kind against all scenes without such a class; `none` are clips used as they came. See
# which resynthesis the ensemble does not hear, and whether it hears the clips of the data as well as the project's
# own vocoders.

# %%
for output in outputs:
    print(output)
    display(voice_aucs(run.voices, run.oof, "vocoder", output, config))

# %% [markdown]
# The same for the groups of the clips. The table lists the hardest among the larger half of the groups; see in the
# picture whether hard groups are large (to be mended) or only rare (chance).

# %%
figure, grid = plt.subplots(1, len(outputs), figsize=(6 * len(outputs), 4), squeeze=False)
for axes, output in zip(grid.flat, outputs, strict=True):
    groups = voice_aucs(run.voices, run.oof, "group", output, config)
    axes.scatter(groups["n"], groups["auc"], s=10, alpha=0.6)
    axes.axhline(0.5, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="scenes with the group (count)", ylabel=f"AUC of {output} against the rest")
    print(output, f"({len(groups)} groups), the hardest:")
    display(groups[groups["n"] >= groups["n"].median()].head(8))
plt.show()

# %% [markdown]
# ## Reliability
#
# Observed share against predicted probability, ten bins as the ECE has them; bars count the scenes. Points on
# the diagonal can be believed; a flatter line than the diagonal means overconfidence.

# %%
figure, grid = plt.subplots(1, len(outputs), figsize=(6 * len(outputs), 4.5), squeeze=False)
for place, (axes, output) in enumerate(zip(grid.flat, outputs, strict=True)):
    bins = reliability(label[:, place], probability[:, place])
    counts = axes.twinx()
    counts.bar(bins["centre"], bins["count"], width=0.09, color="lightgrey")
    counts.set_ylabel("scenes (count)")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    axes.plot(bins["predicted"].dropna(), bins["observed"].dropna(), "o-")
    axes.set(xlabel=f"predicted probability of {output}", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    axes.set_zorder(counts.get_zorder() + 1)
    axes.patch.set_visible(False)
plt.show()

# %% [markdown]
# ## Scenes against test
#
# Predictions for the test clips beside those for the scenes. Where the two histograms part, the scenes are not
# what the test is, and the expected score is not what the board will say.

# %%
figure, grid = plt.subplots(1, len(outputs), figsize=(6 * len(outputs), 3.5), squeeze=False)
for place, (axes, output) in enumerate(zip(grid.flat, outputs, strict=True)):
    both = {"scenes, out of fold": probability[:, place], "test": run.test_probability[:, place]}
    for name, values in both.items():
        axes.hist(values, np.linspace(0, 1, 21), weights=np.full(len(values), 1 / len(values)), alpha=0.5, label=name)
        print(f"{output}, {name}: mean probability {values.mean():.3f}")
    axes.set(xlabel=f"probability of {output}", ylabel="share of clips")
grid.flat[0].legend()
plt.show()

# %% [markdown]
# ## Worst scenes
#
# The largest losses with their conditions. Listen before changing anything: a wrong label, an inaudible voice or a
# noise that speaks is a fault of the scene, all else one of the models.

# %%
worst = worst_scenes(scenes, 6)
shown = ["scene", "state", *(f"probability_{output}" for output in outputs), "loss", "snr_db", "noise", "event"]
shown += ["codec", "overlap_s", "level_difference_db", "vocoders", "groups", "fold"]
display(worst[shown])

# %%
for scene in worst.itertuples():
    waveform = render_scene(run, scene.scene)
    figure, axes = plt.subplots(figsize=(9, 2.8))
    image = draw_spectrogram(axes, waveform, config.sample_rate_hz)
    figure.colorbar(image, ax=axes, label="level (dB)")
    axes.set_title(f"{scene.scene}: {scene.state}, {scene.snr_band}, noise {scene.noise_kind}, loss {scene.loss:.2f}")
    plt.show()
    display(Audio(waveform, rate=config.sample_rate_hz))

# %% [markdown]
# ## What the stacker looks at
#
# Gain of LightGBM's columns, mean over folds. See whether the networks' logits lead (they should), and whether a
# column stands out that is about the recording and not about the voice.

# %%
importance = run.importance.set_index("column")
figure, grid = plt.subplots(1, len(outputs), figsize=(7 * len(outputs), 6), squeeze=False)
for axes, output in zip(grid.flat, outputs, strict=True):
    top = importance[output].nlargest(20)[::-1]
    axes.barh(top.index, top, color="lightsteelblue")
    axes.set(xlabel=f"gain for {output} (sum over splits, mean over folds)", ylabel="column")
plt.show()

# %% [markdown]
# The same by family, the part of a column's name before its first underscore, as a share of all gain.

# %%
families = importance.groupby(importance.index.str.split("_").str[0]).sum()
(families / families.sum()).sort_values(outputs[0], ascending=False)
