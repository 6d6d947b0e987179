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
# # What is in the data
#
# Before any training: counts, facts about the files, shortcuts that give a label away, what test sounds like
# beside train, and how the clips were split. It needs `./run.sh folds`; all numbers come from its tables.
#
# To run it: `FAKEVOICE_CONFIG=demo .venv/bin/jupytext --to ipynb --execute notebooks/01_eda.py`
# (`FAKEVOICE_OVERRIDES` takes the key=value words of the run, separated by spaces).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Audio, display

from fakevoice.audio.read import read_audio
from fakevoice.core.config import load_config
from fakevoice.analysis.exploration import average_spectra, draw_spectrogram, load_clips
from fakevoice.core.paths import paths
from fakevoice.data.shortcuts import FACTS
from fakevoice.core.tables import read_table

config = load_config(os.environ.get("FAKEVOICE_CONFIG", "demo"), os.environ.get("FAKEVOICE_OVERRIDES", "").split())
raw = paths(config).raw
clips = load_clips(config)
clips["source"] = (clips["split"] + " " + clips["label"]).str.strip()
readable = clips[clips["error"] == ""]
train = readable[readable["split"] == "train"]
sources = list(readable["source"].unique())
colours = dict(zip(sources, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
plt.rcParams |= {"figure.dpi": 80, "figure.constrained_layout.use": True}
pd.set_option("display.precision", 3, "display.max_columns", None)

# %% [markdown]
# ## Counts
#
# How many clips each split and label has, and how long they are. See whether the labels are balanced, and whether
# one of them has the long clips.

# %%
counts = clips.assign(hours=clips["duration_s"] / 3600).groupby("source")
counts.agg(
    clips=("id", "size"), hours=("hours", "sum"), shortest_s=("duration_s", "min"), longest_s=("duration_s", "max")
)

# %% [markdown]
# What the audit flagged or could not read. An unreadable test clip is predicted as the prior; a flag is a note,
# the clip is used.

# %%
notes = clips.assign(note=clips["flags"].where(clips["error"] == "", clips["error"]))
notes = notes.assign(note=notes["note"].replace("", "nothing to note").str.split("|")).explode("note")
pd.crosstab(notes["note"], notes["source"])

# %% [markdown]
# ## Formats
#
# Sample rate and channels of the files as they came. A rate that occurs with one label only is a shortcut, and
# one that test does not have is a difference to remove.

# %%
pd.crosstab([readable["source_rate_hz"], readable["n_channels"]], readable["source"])

# %% [markdown]
# ## Facts about the files
#
# One curve per split and label. See two things: where the train curves of the labels part, there is a shortcut;
# where test parts from train, validation on train clips says nothing about test. The outermost bins hold all
# that lies beyond them (half a percent on each side).

# %%
facts = {
    "duration_s": "duration (s)",
    "level_dbfs": "level (dBFS)",
    "bandwidth_hz": "bandwidth (Hz)",
    "leading_silence_s": "leading silence (s)",
    "silence_fraction": "silent frames (share)",
    "noise_floor_db": "noise floor (dBFS)",
}
figure, grid = plt.subplots(2, 3, figsize=(13, 6))
for axes, (fact, name) in zip(grid.flat, facts.items(), strict=True):
    low, high = np.quantile(readable[fact], [0.005, 0.995])
    edges = np.linspace(low, high + 1e-6, 30)
    for source in sources:
        values = readable.loc[readable["source"] == source, fact].clip(edges[0], edges[-1])
        weight = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=weight, histtype="step", label=source, color=colours[source], linewidth=1.5)
    axes.set(xlabel=name, ylabel="share of clips")
grid.flat[0].legend()
plt.show()

# %% [markdown]
# ## Shortcuts
#
# How well facts alone tell the labels of train, by a small model asked about folds whose groups it never saw: 0.5
# tells nothing, 1 gives the label away without any listening. The line is the 95 % interval by drawing groups; the
# cross is the AUC of a random split, which groups on both sides make look stronger. What stands clearly above 0.5
# must be made equal before training; the scenes do that with one law of lengths, levels and bandwidths for all labels.

# %%
shortcuts = read_table(paths(config).stage("folds") / "shortcuts.csv", ("shortcut", "label"))
shortcuts = shortcuts.sort_values("auc", ignore_index=True)
display(shortcuts[::-1])
figure, axes = plt.subplots(figsize=(7, 0.35 * len(shortcuts) + 1))
name = shortcuts["shortcut"] + ", " + shortcuts["label"]
axes.hlines(name, shortcuts["low"], shortcuts["high"])
axes.plot(shortcuts["auc"], name, "o", label="groups never seen")
axes.plot(shortcuts["auc_random_split"], name, "x", label="random split")
axes.axvline(0.5, color="black", linewidth=1)
axes.set(xlabel="AUC between labels of train (0.5 = no shortcut)", ylabel="shortcut, label")
axes.legend()
plt.show()

# %% [markdown]
# The strongest two facts together. See whether the labels form clouds of their own: a classifier would find them
# sooner than it finds a voice.

# %%
names = facts | {"peak": "peak (of full scale)", "source_rate_hz": "sample rate (Hz)", "n_channels": "channels (count)"}
first, second = [FACTS[name][0] for name in shortcuts["shortcut"][::-1].drop_duplicates() if name in FACTS][:2]
figure, axes = plt.subplots(figsize=(7, 4.5))
shown = train.sample(min(len(train), 3000), random_state=0)
for source, part in shown.groupby("source"):
    axes.scatter(part[first], part[second], s=8, alpha=0.5, label=source, color=colours[source])
axes.set(xlabel=names[first], ylabel=names[second])
axes.legend()
plt.show()

# %% [markdown]
# ## Average spectra
#
# Mean over all clips of each mel band's level, each clip taken around its own mean so that loudness does not
# count. See whether fake and real part (another codec or studio), and how far test lies from both.

# %%
spectra = average_spectra(config)
figure, axes = plt.subplots(figsize=(9, 4.5))
for source in sources:
    axes.plot(spectra.index, spectra[source], label=source, color=colours[source])
axes.set(xscale="log", xlabel="frequency (Hz)", ylabel="level around the clip's mean (dB)")
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# ## Spectrograms
#
# Three clips of each kind. See what test has and train has not: noise between the words, reverberation that
# blurs them, two voices at once, a codec's edge near the top.

# %%
figure, grid = plt.subplots(len(sources), 3, figsize=(14, 2.7 * len(sources)), squeeze=False)
for row, source in zip(grid, sources, strict=True):
    part = readable[readable["source"] == source]
    for axes, clip in zip(row, part.sample(3, random_state=0, replace=len(part) < 3).itertuples(), strict=True):
        waveform = read_audio(raw / clip.path, config.sample_rate_hz, max_duration_s=config.clip_duration_s).waveform
        image = draw_spectrogram(axes, waveform, config.sample_rate_hz)
        axes.set_xlim(0, config.clip_duration_s)
        axes.set_title(f"{source}: {clip.id[-30:]}", fontsize=9)
        figure.colorbar(image, ax=axes, label="level (dB)")
plt.show()

# %% [markdown]
# One of each to listen to.

# %%
for source in sources:
    clip = readable[readable["source"] == source].sample(1, random_state=0).iloc[0]
    waveform = read_audio(raw / clip["path"], config.sample_rate_hz, max_duration_s=config.clip_duration_s).waveform
    print(source, clip["id"])
    display(Audio(waveform, rate=config.sample_rate_hz))

# %% [markdown]
# ## Groups and folds
#
# A group (speaker, generator, or recordings that are nearly the same) stands in one fold only. See that the folds
# are of like size and that no label is thin in one of them.

# %%
folds = train.assign(fold=train["fold"].astype(int), hours=train["duration_s"] / 3600).groupby(["fold", "label"])
folds.agg(clips=("id", "size"), groups=("group", "nunique"), hours=("hours", "sum")).unstack("label")

# %% [markdown]
# Sizes of the groups. See whether few groups hold most clips: what is drawn clip by clip would be learned from
# them alone, which is why scenes draw a group first and a clip of it second.

# %%
sizes = train.groupby(["label", "group"]).size()
edges = np.geomspace(1, sizes.max() + 1, 25)
figure, axes = plt.subplots(figsize=(8, 4))
for label in sorted(train["label"].unique()):
    axes.hist(sizes[label], edges, histtype="step", linewidth=1.5, label=label, color=colours[f"train {label}"])
axes.set(xscale="log", yscale="log", xlabel="clips in the group (count)", ylabel="groups (count)")
axes.legend()
plt.show()
