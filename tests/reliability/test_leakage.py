"""Nothing stands on both sides of a fold: read from what a run wrote, and shown on labels that mean nothing."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from fakevoice.core import plugins
from fakevoice.core.artifacts import read_array, read_json
from fakevoice.core.config_sections import Ensemble, Stacker
from fakevoice.core.errors import LeakError
from fakevoice.core.tables import SCENE_TEXT, VOICE_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data import leakage
from fakevoice.data.folds import read_folds
from fakevoice.ensemble import evaluate, stacking
from fakevoice.ensemble.blend import cross_fit, fit_blend
from fakevoice.ensemble.stacker import fit_fold, load_boosters, predict_logits
from fakevoice.ensemble.stacking import column_names
from fakevoice.features.store import CachedFeature
from fakevoice.pipeline import feature_shards
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.scenes import draw
from fakevoice.training import cross_validation, fold_trainer
from fakevoice.training.networks import load_network, score_rows

STACKER = Stacker(n_rounds=40, min_rows_per_leaf=5)


@pytest.fixture(scope="module")
def tables(finished_run) -> dict[str, pd.DataFrame]:
    folder = finished_run.paths.stage("scenes")
    return {
        "folds": read_folds(finished_run.paths.folds_csv, "demo"),
        "scenes": read_table(folder / "scenes.csv", SCENE_TEXT),
        "voices": read_table(folder / "voices.csv", VOICE_TEXT),
        "noise_bank": read_table(folder / "noise_bank.csv", ("segment", "kind", "clip")),
    }


def check(tables: dict[str, pd.DataFrame]) -> None:
    leakage.check_scenes(*(tables[name] for name in ("scenes", "voices", "noise_bank", "folds")))


def test_no_clip_group_scene_or_noise_is_on_both_sides(tables):
    assert len(tables["voices"]) > 50
    assert tables["scenes"]["noise"].str.startswith("mined:").any()
    check(tables)


def test_a_clip_has_one_fold_whatever_is_cut_out_of_it(tables):
    mined = tables["noise_bank"][tables["noise_bank"]["kind"] == "mined"]
    assert len(mined) and (mined.groupby("clip")["fold"].nunique() == 1).all()
    assert set(tables["noise_bank"]["fold"]) <= set(tables["scenes"]["fold"])


@pytest.mark.parametrize("column", ["clip", "group", "mined", "made"])
def test_and_it_would_be_found(tables, column):
    scenes, voices = tables["scenes"].copy(), tables["voices"].copy()
    first, second = (voices[voices["scene"].isin(scenes.loc[scenes["fold"] == k, "scene"])].index[0] for k in (0, 1))
    if column in ("mined", "made"):
        is_mined = scenes["noise"].str.startswith("mined:")
        other = scenes[is_mined if column == "mined" else ~is_mined & (scenes["noise"] != "")].iloc[0]
        scenes.loc[scenes.index[scenes["fold"] != other["fold"]][0], "noise"] = other["noise"]
    else:
        voices.loc[first, column] = voices.loc[second, column]
    kind = "noise" if column in ("mined", "made") else column
    with pytest.raises(LeakError, match=f"1 things are heard on both sides of a fold: {kind} '"):
        check(tables | {"scenes": scenes, "voices": voices})


def replanted(function, right: str, wrong: str):
    """The same function with a mistake in it."""
    source = inspect.getsource(function)
    assert source.count(right) == 1
    names = dict(function.__globals__)
    exec(source.replace(right, wrong), names)
    return names[function.__name__]


def a_clip_in_two_folds(patch):
    right = draw.draw_scenes

    def draw_scenes(*rest):
        scenes, voices = right(*rest)
        fold = voices["scene"].map(scenes.set_index("scene")["fold"])
        first, second = (voices.index[fold == k][0] for k in (0, 1))
        voices.loc[first, "clip"] = voices.loc[second, "clip"]
        return scenes, voices

    patch.setattr(draw, "draw_scenes", draw_scenes)


def the_label_in_the_sound(patch):
    right, hum = feature_shards.render_all, np.sin(np.arange(80_000) / 3).astype(np.float32)

    def render_all(rows, *rest):
        for waveform, state in zip(right(rows, *rest), rows["state"], strict=True):
            yield waveform + hum * ("fake" in state)

    patch.setattr(feature_shards, "render_all", render_all)


def networks_that_train_on_all(patch):
    right = fold_trainer.training_batches
    patch.setattr(fold_trainer, "training_batches", lambda c, y, rows, *rest: right(c, y, np.arange(len(y)), *rest))


def a_stacker_that_is_fitted_on_all(patch):
    patch.setattr(stacking, "fit_fold", replanted(stacking.fit_fold, "rows = fold != index", "rows = fold > -1"))


def a_calibrator_that_is_fitted_on_what_it_scores(patch):
    wrong = replanted(evaluate.cross_fit, "rows[fold[rows] != index]", "rows")
    patch.setattr(evaluate, "cross_fit", wrong)


@pytest.mark.parametrize(
    ("plant", "stage", "last", "message"),
    [
        (a_clip_in_two_folds, "scenes", "scenes", r"heard on both sides of a fold: clip '"),
        (
            the_label_in_the_sound,
            "features",
            "train",
            r"band \d+ alone tells fake in every fold \(AUC 1\.0000",
        ),
        (networks_that_train_on_all, "train", "train", r"mel of fold 0 was given \d+ rows that it is judged by"),
        (a_stacker_that_is_fitted_on_all, "stack", "stack", r"the stacker was given 48 rows that it is judged by"),
        (a_calibrator_that_is_fitted_on_what_it_scores, "ensemble", "ensemble", r"the ensemble was given \d+ rows"),
    ],
)
def test_the_line_stops_at_a_leak(damageable, monkeypatch, plant, stage, last, message):
    plant(monkeypatch)
    with pytest.raises(LeakError, match=message):
        run_pipeline(damageable.config, last, force=stage)


def test_a_task_that_easy_can_be_learned_on_purpose(finished_run, capsys):
    config, places = finished_run.config, finished_run.paths
    scenes = read_table(places.stage("scenes") / "scenes.csv", SCENE_TEXT)
    index = read_json(places.stage("features") / "features.json")
    folders = {name: places.cache / folder for name, folder in index.items()}
    cross_validation.refuse_leaks(config, scenes, folders)
    auc = float(re.search(r"AUC (\d\.\d+)", capsys.readouterr().out)[1])
    assert 0.5 < auc < 0.999
    with pytest.raises(LeakError, match="set leak_auc=2"):
        cross_validation.refuse_leaks(config.model_copy(update={"leak_auc": auc - 1e-3}), scenes, folders)


def test_the_best_column_is_the_one_with_the_best_worst_fold():
    rng = np.random.default_rng(0)
    fold, target = np.arange(400) % 4, rng.integers(0, 2, (400, 2)).astype(np.float32)
    columns = rng.normal(size=(400, 5))
    columns[:, 1] -= 3 * target[:, 1]  # downwards, as good as upwards
    columns[fold > 0, 4] += 9 * target[fold > 0, 0]  # sure in three folds, nothing in the other
    auc, column, output = leakage.best_column(columns, target, fold)
    measure = plugins.load("metrics", "auc").measure
    worst = min(measure(target[fold == k, 1], expit(-columns[fold == k, 1])) for k in range(4))
    assert (column, output) == (1, 1) and auc == pytest.approx(worst)


def test_few_rows_tell_nothing():
    columns, fold = np.arange(12.0)[:, None], np.zeros(12, int)
    assert np.isnan(leakage.best_column(columns, np.arange(12)[:, None] > 7.5, fold)[0])
    assert leakage.best_column(columns, np.arange(12)[:, None] > 6.5, fold)[0] == 1


def test_unlabeled_and_test_clips_are_never_voices(tables):
    assert set(tables["voices"]["clip"]) <= set(tables["folds"]["id"])
    assert not tables["noise_bank"]["clip"].isin(tables["folds"]["id"]).any()


@pytest.mark.parametrize("network", ["mel", "mfcc"])
def test_oof_logits_come_from_the_network_that_never_saw_the_fold(finished_run, tables, network):
    folder, fold = finished_run.paths.stage("train"), tables["scenes"]["fold"].to_numpy()
    oof = read_array(folder / f"oof-{network}.npy")
    index = read_json(finished_run.paths.stage("features") / "features.json")
    feature = CachedFeature(finished_run.paths.cache / index[network], "scenes")
    rows = np.flatnonzero(fold == 0)
    held_out, other = (
        load_network(folder / network / f"fold{k}/weights.safetensors", torch.device("cpu"))[0] for k in (0, 1)
    )
    assert np.allclose(score_rows(held_out, feature, rows), oof[rows], atol=1e-6)
    assert not np.allclose(score_rows(other, feature, rows), oof[rows], atol=1e-3)


def test_stacked_oof_logits_come_from_a_stacker_that_never_saw_the_fold(finished_run, tables):
    config, places, fold = finished_run.config, finished_run.paths, tables["scenes"]["fold"].to_numpy()
    pooled = places.cache / read_json(places.stage("features") / "features.json")["pooled"]
    oof = [read_array(places.stage("train") / f"oof-{network}.npy") for network in config.networks]
    columns, names = np.concatenate([CachedFeature(pooled, "scenes").all(), *oof], axis=1), column_names(config)
    target, held_out = targets(tables["scenes"]["state"], config), fold == 1
    target[held_out] = 1 - target[held_out]  # it cannot matter to a model that does not look
    columns_elsewhere = np.where(held_out[:, None], 0, columns)
    again = fit_fold(columns_elsewhere, names, target, fold, 1, config.stacker, config.seed)
    saved = load_boosters(places.stage("stack"), 1, 2)
    assert np.array_equal(predict_logits(again, columns, names), predict_logits(saved, columns, names))
    stacked = read_array(places.stage("stack") / "oof.npy")
    assert np.array_equal(predict_logits(saved, columns[held_out], names), stacked[held_out])


def auc(target: np.ndarray, score: np.ndarray) -> float:
    return plugins.load("metrics", "auc").measure(target, expit(score))


def cross_fitted(columns: np.ndarray, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    names, logits = [f"column{i}" for i in range(columns.shape[1])], np.empty(target.shape)
    for index in np.unique(fold):
        boosters = fit_fold(columns, names, target, fold, index, STACKER, seed=0)
        logits[fold == index] = predict_logits(boosters, columns[fold == index], names)
    return logits


def fitted_on_itself(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    names, nowhere = [f"column{i}" for i in range(columns.shape[1])], np.zeros(len(columns), int)
    return predict_logits(fit_fold(columns, names, target, nowhere, -1, STACKER, seed=0), columns, names)


@pytest.fixture(scope="module")
def shuffled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of 150 groups of 8 rows, folds by group, and labels dealt to the groups at random."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(150), 8)
    columns = rng.normal(size=(150, 12))[group] + 0.3 * rng.normal(size=(1200, 12))  # a group sounds like itself
    target = rng.permutation(np.arange(150) % 2)[group][:, None].astype(np.float32)
    return columns, target, rng.permutation(np.arange(150) % 5)[group]


def test_shuffled_labels_cannot_be_learned(shuffled):
    columns, target, fold = shuffled
    assert abs(auc(target, cross_fitted(columns, target, fold)) - 0.5) < 0.06


def test_scoring_the_rows_of_the_fit_or_splitting_groups_would_show(shuffled):
    columns, target, _ = shuffled
    assert auc(target, fitted_on_itself(columns, target)) > 0.9
    split_groups = np.arange(len(target)) % 5
    assert auc(target, cross_fitted(columns, target, split_groups)) > 0.6


def test_a_column_that_betrays_the_labels_of_the_own_fold_does_not_help(shuffled):
    columns, target, fold = shuffled
    code = fold.astype(float) ** 3 + 0.25 * target[:, 0]  # two values per fold, which no other fold tells apart
    with_code = np.column_stack([columns, code])
    assert auc(target, fitted_on_itself(with_code, target)) > 0.95
    assert abs(auc(target, cross_fitted(with_code, target, fold)) - 0.5) < 0.06


def test_the_blend_cannot_learn_shuffled_labels_either(finished_run):
    rng = np.random.default_rng(6)
    members, fold = [f"member{i}" for i in range(40)], np.arange(400) % 4
    logits, target = rng.normal(size=(400, 40, 1)), rng.integers(0, 2, (400, 1)).astype(np.float32)
    settings = Ensemble(penalty=1e-3, calibrator="platt")
    config = finished_run.config.model_copy(update={"metric": "auc", "ensemble": settings, "classes": ["fake"]})
    measure = plugins.load("metrics", "auc").measure
    assert measure(target, fit_blend(logits, target, members, config).probability(logits)) > 0.55
    assert abs(measure(target, cross_fit(logits, target, fold, members, config).probability()) - 0.5) < 0.06
