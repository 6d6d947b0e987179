"""With rules.independent_files, nothing is fitted on test or unlabeled clips."""

import json

import pytest

from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, SCENE_TEXT, read_table
from fakevoice.data.unlabeled import usable_unlabeled_clips
from fakevoice.pipeline import feature_shards
from fakevoice.pipeline.stages import features, scenes
from fakevoice.training.warm_start import check_warm_start

RULE = "rules.independent_files=true"


class Stopped(Exception):
    """Raised in place of computing features."""


@pytest.fixture
def config(damageable):
    return load_config("demo", [*damageable.overrides, RULE])


@pytest.fixture
def clips(damageable):
    return read_table(damageable.paths.stage("prepare") / "clips.csv", CLIP_TEXT)


def test_unlabeled_clips_are_usable_unless_the_rule_forbids_it(damageable, config, clips):
    assert set(usable_unlabeled_clips(clips, damageable.config)["split"]) == {"unlabeled"}
    assert usable_unlabeled_clips(clips, config).empty


def test_scenes_hold_no_noise_of_unlabeled_clips(damageable, config):
    places = paths(config)
    before = read_table(places.stage("scenes") / "noise_bank.csv", ("kind", "clip"))
    assert (before["kind"] == "mined").any()
    scenes.run(config, places)
    after = read_table(places.stage("scenes") / "noise_bank.csv", ("kind", "clip"))
    table = read_table(places.stage("scenes") / "scenes.csv", SCENE_TEXT)
    assert not (after["kind"] == "mined").any()
    assert not table["noise"].str.startswith("mined").any() and not table["event"].str.startswith("mined").any()


@pytest.mark.parametrize(("words", "n_unlabeled"), [([], 8), ([RULE], 0)])
def test_no_feature_of_an_unlabeled_clip_is_computed(damageable, monkeypatch, words, n_unlabeled):
    """Label shares, adaptation and the comparison with scenes read these features."""
    computed = {}

    def stop(folders, sources, config):
        computed.update({split: len(table) for split, table in sources.splits.items()})
        raise Stopped

    monkeypatch.setattr(feature_shards, "fill", stop)
    config = load_config("demo", [*damageable.overrides, *words])
    with pytest.raises(Stopped):
        features.run(config, paths(config))
    assert computed == {"scenes": 96, "test": 16, "unlabeled": n_unlabeled}


def test_weights_of_a_run_without_the_rule_are_refused(damageable):
    words = [*damageable.overrides, RULE, "experiment=tuned", "networks.mel.warm_start=demo/default/mel"]
    config = load_config("demo", words)
    message = r"warm_start demo/default/mel: that run did not keep rules.independent_files; \./run\.sh train"
    with pytest.raises(ConfigError, match=message):
        check_warm_start(config.networks["mel"], config, paths(config))
    manifest = damageable.paths.stage("features") / "manifest.json"
    content = json.loads(manifest.read_text())
    content["config"]["rules"]["independent_files"] = True
    manifest.write_text(json.dumps(content))
    check_warm_start(config.networks["mel"], config, paths(config))
