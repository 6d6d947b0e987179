"""Every figure of a report: its axes say what they show, and what it shows is what it was given."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import norm

from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.metrics.slices import reliability
from fakevoice.report import chart_style, charts, curves, tables

RNG = np.random.default_rng(0)
LABEL = np.arange(400) % 2
SCORES = {name: RNG.normal(shift * LABEL, 1.0) for name, shift in (("mel", 1.0), ("ensemble", 1.5))}
CURVES = {name: tables.operating_points(LABEL, score) for name, score in SCORES.items()}
SLICES = pd.DataFrame(
    {
        "slice": ["0 to 6 dB", "0 to 6 dB", "no noise", "no noise"],
        "output": ["fake", "real"] * 2,
        "n": [60, 60, 9, 9],
        "auc": [0.6, 0.65, 0.8, 0.7],
        "low": [0.5, 0.6, 0.7, 0.6],
        "high": [0.7, 0.7, 0.9, 0.8],
        "all": [0.7, 0.68, 0.7, 0.68],
    }
)
RANGES = {f"{of}_{q}": [v, v + 1.0] for of in ("scenes", "test") for v, q in enumerate(("p10", "median", "p90"))}
LOG = pd.DataFrame(
    {
        "oof_score": [0.14, 0.15],
        "expected_score": [0.16, 0.17],
        "expected_low": [0.12, 0.13],
        "expected_high": [0.21, 0.22],
        "board_score": [0.18, 0.17],
    }
)
EPOCHS = pd.DataFrame({"epoch": [1, 2], "loss": [0.6, 0.5], "learning_rate": [0.01, 0.001], "eer": [0.4, 0.3]})
SHORTCUTS = pd.DataFrame(
    {
        "shortcut": ["all", "length"],
        "label": ["fake", "fake"],
        "auc": [0.8, 0.7],
        "low": [0.7, np.nan],
        "high": [0.9, np.nan],
        "auc_random_split": [0.9, 0.8],
    }
)
STATES = pd.DataFrame(
    {"state": ["none", "fake"], "n": [10, 20], "share_fake": [0.0, 1.0], "predicted_fake": [0.3, 0.6]}
)
CONFUSION = pd.DataFrame([[5, 1], [2, 8], [0, 0]], index=["none", "fake", "real"], columns=["none", "fake"])
FIGURES = {
    "roc": lambda: curves.draw_roc(CURVES, dict.fromkeys(CURVES, 0.7), "ensemble", "ROC"),
    "det": lambda: curves.draw_det(CURVES, dict.fromkeys(CURVES, 0.3), "ensemble", "DET"),
    "reliability": lambda: curves.draw_reliability(
        {"before": reliability(LABEL, RNG.random(400)), "after": reliability(LABEL, LABEL * 0.5 + 0.25)},
        {"before": 0.2, "after": 0.1},
        "fake",
    ),
    "slices": lambda: charts.draw_slices(SLICES, "SNR"),
    "states": lambda: charts.draw_states(STATES, "fake"),
    "confusion": lambda: charts.draw_confusion(CONFUSION.iloc[:2]),
    "history": lambda: curves.draw_history(LOG, "dacon_score"),
    "folds": lambda: curves.draw_folds(pd.DataFrame({"mel": [0.2, 0.3], "ensemble": [0.1, 0.2]}), "m", "ensemble"),
    "bars": lambda: charts.draw_bars(pd.Series({"a" * 60: 0.5, "b": 0.2}), "share of the gain", "column"),
    "shortcuts": lambda: charts.draw_shortcuts(SHORTCUTS),
    "facts": lambda: charts.draw_facts({"train": pd.Series([1.0, 1.0]), "test": pd.Series([2.0])}, "level (dBFS)"),
    "ranges": lambda: charts.draw_ranges(pd.DataFrame({"column": ["a", "b"], **RANGES})),
    "epochs": lambda: curves.draw_epochs({0: EPOCHS, 1: EPOCHS}, "network mel"),
    "sound": lambda: charts.draw_sound(RNG.normal(0, 0.1, 8000).astype(np.float32), 8000, "S000000: fake"),
}


def drawn() -> list[str]:
    names = [*vars(charts), *vars(curves)]
    return sorted(name.removeprefix("draw_") for name in names if name.startswith("draw_"))


def test_every_figure_is_tried():
    assert sorted([*FIGURES, "spectrogram"]) == drawn()  # that one is of `exploration`


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_and_something_is_seen(name):
    figure = FIGURES[name]()
    assert figure.get_size_inches()[0] == chart_style.WIDTH_IN
    file = io.BytesIO()
    figure.savefig(file, dpi=60)
    lowest = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"][-1]
    for axes in figure.axes:
        is_above = axes is not lowest and axes.get_shared_x_axes().joined(axes, lowest)
        assert axes.get_ylabel() and (axes.get_xlabel() or is_above or axes.get_label() == "<colorbar>")
    picture = np.asarray(Image.open(file).convert("L"), float)
    assert 0.003 < (picture < 250).mean() < 0.9 and picture.std() > 5


def test_operating_points_by_hand():
    points = tables.operating_points(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert points["false_alarm_rate"].tolist() == [0, 0, 0.5, 1]
    assert points["miss_rate"].tolist() == [1, 0.5, 0, 0]
    assert tables.area(points) == pytest.approx(0.875)


@pytest.mark.parametrize("name", SCORES)
def test_areas_and_equal_error_rates_are_those_of_the_metrics(name):
    probability = norm.cdf(np.round(SCORES[name], 1))  # with ties
    points = tables.operating_points(LABEL, probability)
    assert tables.area(points) == pytest.approx(plugins.load("metrics", "auc").measure(LABEL, probability))
    expected = plugins.load("metrics", "eer").measure(LABEL, probability)
    assert tables.equal_error_rate(points) == pytest.approx(expected)


def test_the_equal_error_rate_is_marked_where_it_lies():
    figure = curves.draw_det(CURVES, {name: 0.2 for name in CURVES}, "ensemble", "DET")
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(marks) == 2
    for mark in marks:
        assert mark.get_xdata() == pytest.approx([norm.ppf(0.2)]) and mark.get_ydata() == pytest.approx([norm.ppf(0.2)])


def test_confusion_of_states_counts_every_scene():
    config = load_config("demo")
    scenes = pd.DataFrame(
        {
            "state": ["none", "real+fake", "fake+fake", "real", "real"],
            "label_fake": [0, 1, 1, 0, 0],
            "label_real": [0, 1, 0, 1, 1],
            "probability_fake": [0.4, 0.5, 0.9, 0.1, 0.7],
            "probability_real": [0.1, 0.6, 0.1, 0.9, 0.7],
        }
    )
    counts = tables.confusion(scenes, config)
    assert counts.columns.tolist() == ["none", "fake+fake", "real", "real+fake"]
    assert counts.loc["real"].tolist() == [0, 0, 1, 1] and counts.loc["real+fake", "real+fake"] == 1
    assert counts.to_numpy().sum() == 5


def test_a_binary_answer_has_a_name():
    config = load_config("length_bias")
    label = pd.DataFrame({"state": config.classes, f"probability_{config.outputs[0]}": [0.2, 0.1]})
    label[f"label_{config.outputs[0]}"] = [1, 0]
    counts = tables.confusion(label, config)
    assert counts.columns.tolist() == config.classes
    assert counts.to_numpy().tolist() == [[0, 1], [0, 1]]
    scores = tables.class_scores(counts).set_index("state")
    assert scores["recall"].tolist() == [0, 1] and scores.loc[config.classes[1], "precision"] == 0.5
    assert np.isnan(scores.loc[config.classes[0], "precision"])  # nothing was told to be it
