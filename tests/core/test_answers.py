"""Outputs that are made of several classes, and outputs that count only where another one is 1."""

import json

import numpy as np
import pandas as pd
import pytest

from fakevoice.core.config import load_config, validate
from fakevoice.core.errors import ConfigError
from fakevoice.core.tasks import condition_columns, outputs_of, rows_by_output, sides_of_states, targets
from fakevoice.metrics.slices import measure_for, output_values, pair_aucs, slice_aucs

CONFIG = load_config("deepvoice")


def test_targets_follow_from_the_classes_heard():
    states = pd.Series(["none", "voice_real", "voice_fake+music_real", "voice_real+music_fake", "music_fake"])
    expected = [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [1, 0, 1, 0, 1]]
    assert targets(states, CONFIG).tolist() == expected
    assert outputs_of("voice_real+voice_fake", CONFIG) == ["FILE_FAKE_PROB", "VOICE_FAKE_PROB", "VOICE_PRESENT_PROB"]


def test_rows_that_an_output_is_scored_on():
    assert condition_columns(CONFIG) == [-1, 3, 4, -1, -1]
    assert condition_columns(load_config("demo")) == [-1, -1]
    label = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1]])
    assert rows_by_output(label, CONFIG).tolist() == [[1, 1, 0, 1, 1], [1, 0, 1, 1, 1]]


def test_states_that_an_output_is_scored_in():
    sides = sides_of_states(["none", "voice_real", "music_fake"], CONFIG)
    assert sides["FILE_FAKE_PROB"] == {"none": False, "voice_real": False, "music_fake": True}
    assert sides["VOICE_FAKE_PROB"] == {"voice_real": False}
    probability = np.full((3, 5), 0.5)
    pairs = pair_aucs(pd.Series(["none", "voice_real", "music_fake"]), probability, sides)
    assert set(pairs.loc[pairs["output"] == "FILE_FAKE_PROB", "against"]) == {"none", "voice_real"}
    assert not (pairs["output"] == "VOICE_FAKE_PROB").any()  # only one side of it occurs


def test_measures_of_single_outputs_leave_out_what_is_not_scored():
    rng = np.random.default_rng(0)
    present = rng.integers(0, 2, (200, 2))
    fake = present & rng.integers(0, 2, (200, 2))
    label = np.column_stack([fake.any(axis=1), fake, present])
    probability = rng.random(label.shape)
    auc = measure_for("auc", load_config("demo"))
    values = output_values(auc, label, probability, CONFIG)
    rows = label[:, 3] == 1
    assert values["VOICE_FAKE_PROB"] == auc(label[rows, 1], probability[rows, 1]) != auc(label[:, 1], probability[:, 1])
    assert measure_for("auc", CONFIG)(label, probability) == pytest.approx(np.mean(list(values.values())))
    silent = label[label[:, 3] == 0]
    assert np.isfinite(measure_for("brier", CONFIG)(silent, probability[label[:, 3] == 0]))
    assert measure_for("deepvoice_score", CONFIG)(label, probability) > 0
    table = pd.DataFrame(np.hstack([label, probability]))
    table.columns = [f"{kind}_{output}" for kind in ("label", "probability") for output in CONFIG.outputs]
    table = slice_aucs(table.assign(first_group=np.arange(200), half="a"), "half", CONFIG).set_index("output")
    assert table.loc["VOICE_FAKE_PROB", "n"] == rows.sum()
    assert table.loc["VOICE_FAKE_PROB", "auc"] == pytest.approx(values["VOICE_FAKE_PROB"])


def test_the_order_of_outputs_survives_json():
    """JSON files of a run are written with sorted keys."""
    again = validate(json.loads(json.dumps(CONFIG.model_dump(mode="json"), sort_keys=True)))
    assert again.outputs == CONFIG.outputs


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"any_of": ["voice_fak"]}, "answers.A.any_of: did you mean 'voice_fake'"),
        ({"any_of": []}, "any_of: List should have at least 1 item"),
        ({"any_of": ["voice_fake"], "where": "VOICE_PRESEN"}, "answers.A.where: did you mean"),
        ({"any_of": ["voice_fake"], "where": "MUSIC_PRESENT_PROB"}, "must hold wherever A does"),
        ({"any_of": ["voice_fake"], "where": "VOICE_FAKE_PROB"}, "without a `where` of its own"),
        ({"any_of": ["voice_fake"], "name": "FILE_FAKE_PROB"}, "answers: each needs a name of its own"),
    ],
)
def test_impossible_answers_are_refused(answer, message):
    tree = CONFIG.model_dump(mode="json")
    tree["answers"].append({"name": "A"} | answer)
    with pytest.raises(ConfigError, match=message):
        validate(tree)


def test_answers_need_a_multilabel_task_and_a_head_of_labels():
    tree = load_config("demo").model_dump(mode="json")
    tree["answers"] = [{"name": "any", "any_of": ["fake", "real"]}]
    assert validate(tree).outputs == ["any"]
    tree["networks"]["mel"]["head"] = "states"
    with pytest.raises(ConfigError, match=r"networks\.mel\.head: states cannot be combined with answers"):
        validate(tree)
    tree = load_config("digits").model_dump(mode="json")
    tree["answers"] = [{"name": "even", "any_of": ["0", "2"]}]
    with pytest.raises(ConfigError, match="answers: only a multilabel task has them, not a multiclass one"):
        validate(tree)
