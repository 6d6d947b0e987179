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
# # What the features see
#
# Every feature of the package on one clip of each label, what their bands are, and what each statistic of a clip tells
# of its label. It needs `./run.sh folds`, and looks at training clips as the run prepares them: no scene, no noise, no
# test clip.
#
# To run it: `FAKEVOICE_CONFIG=demo .venv/bin/jupytext --to ipynb --execute notebooks/04_features.py`
# (`FAKEVOICE_OVERRIDES` takes the key=value words of the run, separated by spaces).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Audio, display

from fakevoice.core import plugins
from fakevoice.core.config import load_config, validate
from fakevoice.audio.constant_q import C1_HZ
from fakevoice.analysis.exploration import load_clips
from fakevoice.features.extract import extract
from fakevoice.audio.pitch import f0_contour
from fakevoice.core.paths import paths
from fakevoice.audio.preprocess import read_clip
from fakevoice.metrics.slices import auc_with_interval
from fakevoice.audio.spectrum import linear_filter_bank, mel_filter_bank, power_spectrogram

config = load_config(os.environ.get("FAKEVOICE_CONFIG", "demo"), os.environ.get("FAKEVOICE_OVERRIDES", "").split())
rate_hz, n_fft, hop_length = config.sample_rate_hz, config.spectrogram.n_fft, config.spectrogram.hop_length
raw, clips = paths(config).raw, load_clips(config)
train = clips[(clips["split"] == "train") & (clips["error"] == "")]
labels = sorted(train["label"].unique())[:2]
colours = dict(zip(labels, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
plt.rcParams |= {"figure.dpi": 80, "figure.constrained_layout.use": True}
pd.set_option("display.precision", 3, "display.max_columns", None, "display.max_rows", 100)

# %% [markdown]
# ## The two clips
#
# The longest of each label, cut to the shorter of the two and to the config's length. Listen first, and look for what
# you heard in the pictures below.

# %%
longest = {label: train[train["label"] == label].nlargest(1, "duration_s").iloc[0] for label in labels}
shown_s = min(config.clip_duration_s, *(clip["duration_s"] for clip in longest.values()))
waveforms = {}
for label, clip in longest.items():
    waveforms[label] = read_clip(raw / clip["path"], config)[: round(shown_s * rate_hz)]
    print(label, clip["id"])
    display(Audio(waveforms[label], rate=rate_hz))

# %% [markdown]
# ## Every feature
#
# One row per feature, one column per label, colours the same for both; arguments are the run's where it has the
# feature, else the defaults, and derivatives are left to the next section. See how a syllable looks in each: stripes of
# harmonics in `cqt` and low in `mel`, the upper half of the range in `linear`, the shape of the spectrum without its
# pitch in the lower coefficients of `mfcc` and `lfcc` (their first one is the level, and off the scale), the note that
# is spoken on in `chroma_cqt`. What differs from column to column may be the speaker as well as the generator.

# %%
axis_names = {
    "chroma": ("pitch class (number, C is 0)", "over the strongest (share)"),
    "chroma_cqt": ("pitch class (number, C is 0)", "over the strongest (share)"),
    "cqt": ("constant-Q bin (number)", "level (dB)"),
    "lfcc": ("coefficient (number)", "value (dB)"),
    "linear": ("linear band (number)", "level (dB)"),
    "mel": ("mel band (number)", "level (dB)"),
    "mfcc": ("coefficient (number)", "value (dB)"),
}
names = [name for name in plugins.names("features") if not name.startswith("waveform")]
tree = config.model_dump() | {"networks": {}, "pooled": []}
args = {name: config.features.get(name, {}) for name in names}
args = {name: {key: value for key, value in of.items() if key != "deltas"} for name, of in args.items()}
everything = validate(tree | {"features": args})
picture = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
arrays = {label: extract(waveform, everything, names) for label, waveform in waveforms.items()}
figure, grid = plt.subplots(len(names) + 1, len(labels), figsize=(14, 2.6 * len(names) + 2), squeeze=False)
for axes, (label, waveform) in zip(grid[0], waveforms.items(), strict=True):
    axes.plot(np.arange(len(waveform)) / rate_hz, waveform, linewidth=0.4, color=colours[label])
    axes.set(title=label, xlabel="time (s)", ylabel="amplitude (of full scale)", xlim=(0, shown_s))
for row, name in zip(grid[1:], names, strict=True):
    band_name, value_name = axis_names.get(name, ("band (number)", "value (its own unit)"))
    low, high = np.quantile(np.concatenate([arrays[label][name][1:] for label in labels], axis=1), [0.02, 0.995])
    for axes, label in zip(row, labels, strict=True):
        feature = arrays[label][name]
        extent = (0, shown_s, -0.5, len(feature) - 0.5)
        image = axes.imshow(feature, extent=extent, vmin=low, vmax=high, cmap="magma", **picture)
        figure.colorbar(image, ax=axes, label=value_name)
        axes.set(title=f"{name}, {label}", xlabel="time (s)", ylabel=band_name)
plt.show()

# %% [markdown]
# ## Derivatives
#
# `deltas: 2` puts the change from frame to frame below the bands, and the change of that below both. See that the
# first is red and blue where syllables begin and end and pale where a vowel stays, and how much more noise the second
# one has: its place is below a cepstrum of 20 rows rather than in a picture.

# %%
with_deltas = validate(tree | {"features": {"mel": args["mel"] | {"deltas": 2}}})
figure, grid = plt.subplots(3, len(labels), figsize=(14, 8), squeeze=False)
for column, (label, waveform) in zip(grid.T, waveforms.items(), strict=True):
    orders = np.split(extract(waveform, with_deltas, ["mel"])["mel"], 3)  # each (n_mels, n_frames)
    titles = {"mel": "level (dB)", "first derivative": "dB per frame", "second derivative": "dB per frame²"}
    for axes, order, (title, unit) in zip(column, orders, titles.items(), strict=True):
        depth = np.quantile(np.abs(order), 0.99)
        limits = {"vmin": -depth, "vmax": depth, "cmap": "RdBu_r"} if title != "mel" else {"cmap": "magma"}
        image = axes.imshow(order, extent=(0, shown_s, -0.5, len(order) - 0.5), **limits, **picture)
        figure.colorbar(image, ax=axes, label=unit)
        axes.set(title=f"{title}, {label}", xlabel="time (s)", ylabel="mel band (number)")
plt.show()

# %% [markdown]
# ## Filter banks
#
# Above, sixteen bands by mel and sixteen at equal distances, each over its peak. Below, where the bands lie as the
# features above have them. See that half of the mel bands lie in the lowest fifth of the range, where vowels are told
# apart, and that only the linear ones look closely at the uppermost octave, where vocoders err and codecs cut; the
# constant-Q bins are a straight line on the logarithmic scale, and most of them lie lower still.

# %%
bins_hz, top_hz = np.linspace(0, rate_hz / 2, n_fft // 2 + 1), rate_hz / 2
banks = {
    "mel": mel_filter_bank(rate_hz, n_fft, 16, 20.0, top_hz),
    "linear": linear_filter_bank(rate_hz, n_fft, 16, 0.0, top_hz),
}
figure, (above, below) = plt.subplots(2, 2, figsize=(14, 7))
for axes, (name, bank) in zip(above, banks.items(), strict=True):
    axes.plot(bins_hz, (bank / bank.max(axis=1, keepdims=True)).T, linewidth=1)
    axes.set(title=f"{name} filters", xlabel="frequency (Hz)", ylabel="weight (over its peak)")
edges_hz = {name: [args[name].get("fmin_hz", low), args[name].get("fmax_hz") or top_hz]
            for name, low in (("mel", 20.0), ("linear", 0.0))}
n_bands = {name: len(feature) for name, feature in arrays[labels[0]].items()}
full = {
    "mel": mel_filter_bank(rate_hz, n_fft, n_bands["mel"], *edges_hz["mel"]),
    "linear": linear_filter_bank(rate_hz, n_fft, n_bands["linear"], *edges_hz["linear"]),
}
centres_hz = {name: bank @ bins_hz / bank.sum(axis=1) for name, bank in full.items()}
octave = np.arange(n_bands["cqt"]) / args["cqt"].get("bins_per_octave", 12)
centres_hz["cqt"] = args["cqt"].get("fmin_hz", C1_HZ) * 2**octave
for axes, scale in zip(below, ("linear", "log"), strict=True):
    for name, values in centres_hz.items():
        axes.plot(np.linspace(0, 1, len(values)), values, ".", markersize=3, label=name)
    axes.set(xlabel="place among its bands (share)", ylabel=f"centre frequency (Hz, {scale} scale)", yscale=scale)
below[0].legend()
plt.show()

# %% [markdown]
# ## Constant-Q against mel
#
# A second from the middle of each clip, both on a logarithmic axis of frequency up to 4 kHz. See the harmonics: in the
# constant-Q transform they are lines that keep their distances when the pitch moves, sharp in frequency and blurred in
# time at the bottom; mel has frames of one length, so that the lowest harmonics run together.

# %%
figure, grid = plt.subplots(2, len(labels), figsize=(14, 8), squeeze=False)
for column, label in zip(grid.T, labels, strict=True):
    for axes, name in zip(column, ("cqt", "mel"), strict=True):
        feature = arrays[label][name]
        time_s = np.linspace(0, shown_s, feature.shape[1])
        is_middle = np.abs(time_s - shown_s / 2) <= 0.5
        level_db = feature[:, is_middle]
        image = axes.pcolormesh(time_s[is_middle], centres_hz[name], level_db, vmin=level_db.max() - 60, cmap="magma")
        figure.colorbar(image, ax=axes, label="level (dB)")
        axes.set(title=f"{name}, {label}", xlabel="time (s)", ylabel="frequency (Hz)", yscale="log")
        axes.set_ylim(60, min(4000, top_hz))
plt.show()

# %% [markdown]
# ## Chroma
#
# Pitch classes of the whole clip, from the STFT and from the constant-Q transform; the dots are the pitch as the
# autocorrelation finds it, folded onto one octave. See that the bright class of the constant-Q transform goes with the
# dots. That of the STFT hardly does where its bins are wider than a semitone (at 31 Hz a bin: below 500 Hz), and takes
# a strong harmonic for the note. A faint frame is as bright as a loud one, and one without a pitch (no dots) has its
# bright classes too: chroma knows neither level nor voicing.

# %%
figure, grid = plt.subplots(2, len(labels), figsize=(14, 7), squeeze=False)
for column, (label, waveform) in zip(grid.T, waveforms.items(), strict=True):
    f0_hz, _ = f0_contour(waveform, rate_hz, hop_length)
    voiced = f0_hz > 0
    pitch_class = (12 * np.log2(f0_hz[voiced] / C1_HZ) + 0.5) % 12 - 0.5
    for axes, name in zip(column, ("chroma", "chroma_cqt"), strict=True):
        image = axes.imshow(arrays[label][name], extent=(0, shown_s, -0.5, 11.5), cmap="magma", **picture)
        axes.plot(np.flatnonzero(voiced) * hop_length / rate_hz, pitch_class, "c.", markersize=3)
        figure.colorbar(image, ax=axes, label="over the strongest (share)")
        axes.set_yticks(range(12), ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"], fontsize=8)
        axes.set(title=f"{name}, {label}", xlabel="time (s)", ylabel="pitch class (note)")
plt.show()

# %% [markdown]
# ## Statistics by label
#
# Every statistic of the package on up to 100 clips of each label, and how well each column alone tells the two: an
# AUC of .5 tells nothing, below it the first label has the higher values. The line is the 95 % interval by drawing
# groups. See which family has the strongest columns, and mind two things: among some ninety columns a few lie far from
# .5 by chance, and what tells clean clips apart may be their studio (notebook 01), not their generator.

# %%
rows = []
for label in labels:
    part = train[train["label"] == label]
    for clip in part.sample(min(len(part), 100), random_state=0).itertuples():
        waveform = read_clip(raw / clip.path, config)
        power = power_spectrogram(waveform, n_fft, hop_length)
        facts = {"label": label, "group": clip.group}
        for kind in plugins.names("statistics"):
            pooled = plugins.load("statistics", kind).pool(waveform, power, rate_hz, hop_length)
            facts |= {(kind, column): value for column, value in pooled.items()}
        rows.append(facts)
table = pd.DataFrame(rows)
is_second = table["label"] == labels[1]
measured = {column: auc_with_interval(is_second, table[column], table["group"]) for column in table.columns[2:]}
aucs = pd.DataFrame(measured, index=["auc", "low", "high"]).T
aucs.index = pd.MultiIndex.from_tuples(aucs.index, names=["statistic", "column"])
aucs["distance"] = (aucs["auc"] - 0.5).abs()
aucs = aucs.sort_values("distance", ascending=False)
kinds = plugins.names("statistics")
figure, grid = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 4.5), squeeze=False)
for axes, kind in zip(grid.flat, kinds, strict=True):
    strongest = aucs.loc[kind].head(10)[::-1]
    axes.hlines(strongest.index, strongest["low"], strongest["high"])
    axes.plot(strongest["auc"], strongest.index, "o")
    axes.axvline(0.5, color="black", linewidth=1)
    axes.set(title=kind, xlabel=f"AUC, higher in {labels[1]}", ylabel="column (strongest above)", xlim=(0, 1))
plt.show()
display(aucs.drop(columns="distance").head(25))

# %% [markdown]
# The two strongest columns of each statistic as cumulated shares of the clips of each label. See how far apart the
# curves lie and where: a step is a value that many clips share, a gap at one end only is a few odd clips, and two
# curves that lie apart all along are what a stacker can use.

# %%
units = {
    "depth_db": "dB",
    "rhythm": "share of the modulation",
    "semitones_per_s": "semitones per second",
    "semitones": "semitones",
    "voicing_p": "dB",
    "mfcc": "dB",
    "_db": "dB",
    "_hz": "Hz",
    "centroid": "Hz",
    "bandwidth": "Hz",
    "rolloff": "Hz",
    "rms": "of full scale",
    "runs": "count",
    "longest_s": "s",
}
figure, grid = plt.subplots(2, len(kinds), figsize=(4.2 * len(kinds), 7), squeeze=False)
for axes_of_kind, kind in zip(grid.T, kinds, strict=True):
    for axes, column in zip(axes_of_kind, aucs.loc[kind].index[:2], strict=True):
        for label in labels:
            axes.ecdf(table.loc[table["label"] == label, [(kind, column)]].squeeze(), label=label, color=colours[label])
        unit = next((unit for part, unit in units.items() if part in column), "share")
        auc = aucs.loc[(kind, column), "auc"]
        axes.set(title=f"{kind}, AUC {auc:.2f}", xlabel=f"{column} ({unit})", ylabel="share of clips below")
grid.flat[0].legend()
plt.show()
