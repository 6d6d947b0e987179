"""A run draws what the unlabeled clips ask for, and nothing that the folds forbid."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.channel import rms
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import Config, load_config
from fakevoice.core.tables import read_table
from fakevoice.data.clip_cache import ClipFiles, open_clips
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.scenes import simulate
from fakevoice.scenes.draw import draw_scenes
from fakevoice.scenes.generated_noises import make_noises
from fakevoice.scenes.render import render_all
from fakevoice.scenes.simulate import DrawnScenes

RATE, N_FOLDS, N_SCENES, N_UNLABELED, PLANTED = 8_000, 2, 120, 60, "siren"
CONFIG = load_config(
    "demo",
    [
        f"sample_rate_hz={RATE}",
        "clip_duration_s=2",
        f"folds.n_folds={N_FOLDS}",
        "scenes.matched=true",
        f"scenes.n_scenes={N_SCENES}",
        f"scenes.noises=[coloured,hum,rain,{PLANTED}]",
        "scenes.resynthesis_probability=0",
        "scenes.event_probability=0.05",
        "scenes.mined_noise_probability=0.15",
        "scenes.gate_probability=0.15",
        "scenes.noise_band_limit_probability=0.2",
        "scenes.codecs=[]",
        "scenes.snr_db=[0,10]",
    ],
)


def voice(seed: int) -> np.ndarray:
    """Two seconds of a buzz that glides and swells, with its own pitch and its own colour."""
    rng, time_s = np.random.default_rng(seed), np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * rng.uniform(100, 220) * (time_s + 0.01 * np.sin(2 * np.pi * rng.uniform(1, 3) * time_s))
    buzz = sum(np.sin(k * phase) / k ** rng.uniform(0.5, 1.5) for k in range(1, 16))
    return (0.1 * buzz * (1 + np.sin(2 * np.pi * rng.uniform(3, 6) * time_s))).astype(np.float32)


def folds_of(n_groups: int = 3, n_clips: int = 2) -> pd.DataFrame:
    rows = [
        (f"{label}{fold}{group}{clip}", f"{label}{fold}{group}", label, fold)
        for fold in range(N_FOLDS)
        for label in ("fake", "real")
        for group in range(n_groups)
        for clip in range(n_clips)
    ]
    return pd.DataFrame(rows, columns=["id", "group", "label", "fold"])


def unlabeled_sounds(voices: dict[str, np.ndarray], folds: pd.DataFrame, config: Config) -> dict[str, np.ndarray]:
    """Scenes of another seed, all in one kind of noise."""
    elsewhere = config.model_copy(update={"seed": 100})
    clips = folds.assign(duration_s=2.0)
    bank = make_noises(elsewhere)
    scenes, rows = draw_scenes(clips, bank.table, elsewhere, N_UNLABELED)
    planted = bank.table.index[bank.table["kind"] == PLANTED]
    noise = [f"{PLANTED}:{planted[i % len(planted)]}" for i in range(len(scenes))]
    scenes = scenes.assign(noise=noise, event="", snr_db=scenes["snr_db"].fillna(5.0))
    sounds = render_all(scenes, rows, voices.__getitem__, bank, elsewhere)
    return {f"u{row.scene}-{row.state}": sound for row, sound in zip(scenes.itertuples(), sounds, strict=True)}


@pytest.fixture(scope="module")
def competition(tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Clip table, folds and raw folder of voices, and of unlabeled clips in which sirens wail."""
    raw, folds = tmp_path_factory.mktemp("raw"), folds_of()
    voices = {clip: voice(seed) for seed, clip in enumerate(folds["id"])}
    unlabeled = unlabeled_sounds(voices, folds, CONFIG)
    for clip, waveform in {**voices, **unlabeled}.items():
        soundfile.write(raw / f"{clip}.wav", waveform, RATE)
    ids = [*voices, *unlabeled]
    splits = ["train"] * len(voices) + ["unlabeled"] * len(unlabeled)
    clips = pd.DataFrame({"id": ids, "path": [f"{clip}.wav" for clip in ids], "split": splits, "duration_s": 2.0})
    return clips, folds, raw


def drawn_with(competition, config: Config = CONFIG, min_unlabeled: int = N_UNLABELED) -> DrawnScenes:
    clips, folds, raw = competition
    folder = Path(tempfile.mkdtemp(dir=raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        patch.setattr(simulate, "N_PILOT", 150)
        patch.setattr(simulate, "MIN_UNLABELED", min_unlabeled)
        sounds = open_clips(clips, clips.assign(sha256=""), folder, raw, config)
        return simulate.draw(clips, folds, sounds, raw, folder, config)


@pytest.fixture(scope="module")
def matched(competition) -> DrawnScenes:
    return drawn_with(competition)


def unmatched_config() -> Config:
    return CONFIG.model_copy(update={"scenes": CONFIG.scenes.model_copy(update={"matched": False})})


@pytest.fixture(scope="module")
def unmatched(competition) -> DrawnScenes:
    return drawn_with(competition, unmatched_config())


def kinds(column: pd.Series) -> pd.Series:
    return column.str.partition(":")[0].value_counts(normalize=True)


def test_what_the_unlabeled_clips_are_full_of_becomes_frequent(matched, unmatched):
    before, after = kinds(unmatched.scenes["noise"])[PLANTED], kinds(matched.scenes["noise"])[PLANTED]
    assert before < 0.35 and after > 1.8 * before
    first, second = (matched.matching[matched.matching["round"] == k].set_index("condition") for k in (1, 2))
    assert first["log_weight"].idxmax() == f"noise={PLANTED}"
    assert first.loc[f"noise={PLANTED}", "log_weight"] > 0.7
    assert second.loc[f"noise={PLANTED}", "log_weight"] < first.loc[f"noise={PLANTED}", "log_weight"]


def test_the_pilots_tell_that_it_helped(matched):
    pilots = matched.pilots.set_index("pilot")
    assert pilots.index.tolist() == ["as configured", "matched once"]
    assert pilots["n_scenes"].sub([150, N_SCENES]).abs().max() <= 5  # the second is no larger than what is drawn
    assert 0.7 < pilots.loc["as configured", "auc"] < 1.0
    assert pilots.loc["matched once", "auc"] < pilots.loc["as configured", "auc"] - 0.05


def test_states_and_folds_keep_their_shares(matched, competition):
    train = competition[1].assign(duration_s=2.0)
    candidates, _ = draw_scenes(train, matched.bank.table, CONFIG, simulate.CANDIDATES_PER_SCENE * N_SCENES)
    wanted = pd.crosstab(candidates["state"], candidates["fold"]) / simulate.CANDIDATES_PER_SCENE
    found = pd.crosstab(matched.scenes["state"], matched.scenes["fold"])
    assert (found - wanted).abs().max(axis=None) <= 0.5
    chosen = candidates[candidates["scene"].isin(matched.scenes["scene"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(matched.scenes, chosen)


def test_every_voice_has_its_scene_and_every_scene_its_voices(matched):
    labels = matched.voices.groupby(["scene", "slot"])["label"].first().groupby("scene").apply("+".join)
    state = matched.scenes.set_index("scene")["state"]
    assert (labels.reindex(state.index, fill_value="none") == state).all() and set(labels.index) <= set(state.index)


@pytest.mark.parametrize("name", ["matched", "unmatched"])
def test_nothing_is_on_both_sides_of_a_fold(name, competition, request):
    drawn, (_, folds, _) = request.getfixturevalue(name), competition
    voices = drawn.voices.merge(drawn.scenes[["scene", "fold"]], on="scene", validate="m:1")
    for column, of in (("clip", folds.set_index("id")["fold"]), ("group", folds.groupby("group")["fold"].first())):
        assert (voices[column].map(of) == voices["fold"]).all()
    table = drawn.bank.table.set_index("segment")
    for column in ("noise", "event"):
        noisy = drawn.scenes[drawn.scenes[column] != ""]
        segment = noisy[column].str.partition(":")[2].astype(int)
        assert (segment.map(table["fold"]).to_numpy() == noisy["fold"]).all()
        assert (segment.map(table["kind"]).to_numpy() == noisy[column].str.partition(":")[0]).all()
    assert (table[table["kind"] == "mined"].groupby("clip")["fold"].nunique() == 1).all()
    assert drawn.scenes["noise"].str.startswith("mined:").any()


def test_the_bank_holds_whole_clips_that_hold_no_voice(matched, unmatched, competition):
    clips, _, _ = competition
    place = {clip: i for i, clip in enumerate(clips.loc[clips["split"] == "unlabeled", "id"])}
    banks = {drawn: drawn.bank.table[drawn.bank.table["kind"] == "mined"] for drawn in (matched, unmatched)}
    whole = banks[matched][banks[matched]["n_samples"] == CONFIG.n_samples]
    assert len(whole) and whole["clip"].is_unique
    assert whole["clip"].str.endswith("-none").mean() > 0.7
    for mined in banks.values():
        assert (mined["clip"].map(place) % N_FOLDS == mined["fold"]).all()
    assert (banks[unmatched]["n_samples"] < CONFIG.n_samples).all()
    levels = [rms(matched.bank[segment]) for segment in matched.bank.table["segment"]]
    assert levels == pytest.approx([1.0] * len(levels), abs=1e-3)


def test_with_few_unlabeled_clips_nothing_is_matched(competition, unmatched):
    drawn = drawn_with(competition, min_unlabeled=N_UNLABELED + 1)
    for name in ("scenes", "voices", "matching", "pilots"):
        pd.testing.assert_frame_equal(getattr(drawn, name), getattr(unmatched, name))
    assert drawn.matching.empty and list(drawn.matching) == ["round", "condition", "log_weight"]
    assert drawn.pilots.empty and list(drawn.pilots) == ["pilot", "n_scenes", "auc"]
    assert len(drawn.scenes) == N_SCENES


def test_without_states_there_is_nothing_to_mine_or_match(competition):
    config = type(CONFIG).model_validate(CONFIG.model_dump(mode="json") | {"scenes": {}})
    drawn = drawn_with(competition, config)
    assert drawn.voices["clip"].tolist() == competition[1]["id"].tolist()
    assert drawn.bank.table.empty and drawn.matching.empty and drawn.pilots.empty


def test_an_unlabeled_clip_may_have_the_id_of_a_voice(competition):
    clips, folds, raw = competition
    of = (clips["split"] == "unlabeled").to_numpy()
    same = clips.assign(id=np.where(of, np.resize(folds["id"], len(clips)), clips["id"]))
    read = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "_try_out", lambda name, tables, bank, world: read.append(world.voices.place) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            drawn_with((same, folds, raw))
    assert [list(place) for place in read] == [folds["id"].tolist()]


def test_chunks_do_not_matter(matched, competition, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    files = ClipFiles({clip: competition[2] / f"{clip}.wav" for clip in competition[1]["id"]}, CONFIG)
    world, columns = simulate._World(CONFIG, files, np.empty((0, 0))), []
    for size in (3, 25):
        monkeypatch.setattr(simulate, "CHUNK", size)
        columns.append(simulate._describe_scenes(matched.scenes.head(7), matched.voices, matched.bank, world))
    assert np.array_equal(*columns) and len(np.unique(columns[0], axis=0)) == 7


def test_no_unlabeled_clip_is_lost_or_out_of_order(competition, monkeypatch):
    clips, _, raw = competition
    paths = [raw / path for path in clips.loc[clips["split"] == "unlabeled", "path"].head(5)]
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(simulate, "CHUNK", 2)
    described = simulate._describe_clips(paths, CONFIG)
    alone = [simulate._described_clips(([path], CONFIG))[0] for path in paths]
    assert np.array_equal(described, alone) and len(np.unique(described, axis=0)) == 5


def test_the_stage_writes_what_was_matched_and_says_how_well(damageable, monkeypatch, capsys):
    folder = damageable.paths.stage("scenes")
    assert (folder / "pilots.csv").read_text() == "pilot,n_scenes,auc\n"  # nothing is matched unless asked for
    monkeypatch.setattr(simulate, "N_PILOT", 40)
    monkeypatch.setattr(simulate, "MIN_UNLABELED", 8)
    (folder / "manifest.json").unlink()
    law = damageable.config.scenes.model_copy(update={"matched": True})
    assert run_pipeline(damageable.config.model_copy(update={"scenes": law}), "scenes")
    pilots, weights = (read_table(folder / f"{name}.csv", ("pilot", "condition")) for name in ("pilots", "matching"))
    said = capsys.readouterr().out
    for pilot in pilots.itertuples():
        assert f"scenes: {pilot.pilot}, told from the unlabeled clips with AUC {pilot.auc:.3f}" in said
    scenes, noises = (read_table(folder / f"{name}.csv", ("kind",)) for name in ("scenes", "noise_bank"))
    n_scenes, n_noises, n_mined = len(scenes), len(noises), (noises["kind"] == "mined").sum()
    assert f"{n_scenes} scenes, " in said and f"{n_mined} mined and {n_noises - n_mined} made noises" in said
    assert len(pilots) == 2 and set(weights["round"]) == {1, 2} and weights["log_weight"].notna().all()
    assert {"matching.csv", "pilots.csv"} <= {
        Path(name).name for name in read_json(folder / "manifest.json")["outputs"]
    }
