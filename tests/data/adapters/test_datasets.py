"""What every dataset adapter promises, whatever it reads; and, for those that ship, on an example each."""

import functools
import inspect
import itertools

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.files import split_part
from fakevoice.core import plugins
from fakevoice.core.errors import DataError

NAMES = plugins.names("datasets")
FUNCTIONS = ["read", "template", "truth", "given"]
CLASSES = {name: getattr(plugins.load("datasets", name), "CLASSES", ["fake", "real"]) for name in NAMES}
COLUMNS = ["id", "path", "split", "label", "group"]


def recording(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 1600), 16000)


def dacon_folder(folder) -> None:
    for seed, name in enumerate(("train/a", "train/b", "test/c", "unlabeled_data/d")):
        recording(folder / f"{name}.wav", seed)
    (folder / "train.csv").write_text("id,path,label\na,train/a.wav,real\nb,train/b.wav,fake\n")
    (folder / "test.csv").write_text("id,path\nc,test/c.wav\n")
    (folder / "sample_submission.csv").write_text("id,fake,real\nc,0.5,0.5\n")


def class_folders(folder) -> None:
    for seed, name in enumerate(("REAL/a", "FAKE/b", "test/c")):
        recording(folder / f"{name}.wav", seed)


def digit_folder(folder) -> None:
    for seed in range(10):
        recording(folder / f"train/{seed:04d}.WAV", seed)
    recording(folder / "test/0000.wav", 10)
    (folder / "train.csv").write_text("file_name,label\n" + "".join(f"{i:04d}.WAV,{i}\n" for i in range(10)))
    (folder / "test.csv").write_text("file_name\n0000.wav\n")


def emotion_folder(folder) -> None:
    for seed, number in enumerate(range(1, 351, 50)):
        recording(folder / f"actor001_{number:03d}.wav", seed)
    recording(folder / "test/anybody.wav", 7)


def asvspoof2019_folder(folder, track: str = "LA") -> None:
    for subset, ending in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        lines = []
        for seed, key in enumerate(("bonafide", "spoof")):
            clip = f"{track}_{subset[0].upper()}_{seed}"
            recording(folder / f"{track}/ASVspoof2019_{track}_{subset}/flac/{clip}.flac", seed)
            environment, attack = ("-", "A01") if track == "LA" else ("aaa", "AA")
            lines.append(f"{track}_0001 {clip} {environment} {attack if seed else '-'} {key}")
        write_lines(
            folder / f"{track}/ASVspoof2019_{track}_cm_protocols/ASVspoof2019.{track}.cm.{subset}.{ending}.txt", *lines
        )


def write_lines(file, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def asvspoof2021_folder(folder, track: str = "LA") -> None:
    asvspoof2019_folder(folder)
    clips = [f"{track}_E_{number}" for number in range(3)]
    for seed, clip in enumerate(clips):
        recording(folder / f"ASVspoof2021_{track}_eval/flac/{clip}.flac", 20 + seed)
    write_lines(folder / f"ASVspoof2021_{track}_eval/ASVspoof2021.{track}.cm.eval.trl.txt", *clips)
    more = {"LA": "", "DF": " traditional_vocoder - - - -"}[track]
    write_lines(
        folder / f"keys/{track}/CM/trial_metadata.txt",
        f"LA_0023 {clips[0]} alaw ita_tx A07 spoof notrim progress{more}",
        f"LA_0024 {clips[1]} none none bonafide bonafide notrim eval{more}",
        f"LA_0023 {clips[2]} g722 loc_tx A19 spoof trim hidden{more}",
    )


def asvspoof5_folder(folder) -> None:
    names = {"train": "ASVspoof5.train.tsv", "dev": "ASVspoof5.dev.track_1.tsv", "eval": "ASVspoof5.eval.track_1.tsv"}
    for (subset, name), home in zip(names.items(), ("flac_T", "flac_D", "flac_E_eval"), strict=True):
        mark = subset[0].upper()
        for seed in range(2):
            recording(folder / home / f"{mark}_000000000{seed}.flac", seed)
        write_lines(
            folder / name,
            f"{mark}_0001 {mark}_0000000000 F - - - AC3 A05 spoof -",
            f"{mark}_0002 {mark}_0000000001 M C05 2 81 - bonafide bonafide -",
        )


def in_the_wild_folder(folder) -> None:
    write_lines(
        folder / "meta.csv", "file,speaker,label", "0.wav,Alec Guinness,spoof", '1.wav,"Obama, Barack",bona-fide'
    )
    for seed in range(2):
        recording(folder / f"{seed}.wav", seed)


def wavefake_folder(folder) -> None:
    names = ["LJSpeech-1.1/wavs/LJ001-0001", "generated_audio/ljspeech_melgan/LJ001-0001_gen"]
    names += ["LJSpeech-1.1/wavs/LJ002-0001", "ljspeech_hifiGAN/LJ002-0001_generated", "test/any"]
    names += ["jsut_ver1.1/basic5000/wav/BASIC5000_0001", "jsut_parallel_wavegan/BASIC5000_0001_gen"]
    for seed, name in enumerate(names):
        recording(folder / f"{name}.wav", seed)


FAKEAVCELEB = [
    "id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/African/men/id00076",
    "id00076,-,-,rtvc,C,RealVideo-FakeAudio,African,men,00109_f.mp4,FakeAVCeleb/RealVideo-FakeAudio/African/men/id00076",
    "id00166,id00076,-,wav2lip,B,FakeVideo-RealAudio,Asian,women,1.mp4,FakeAVCeleb/FakeVideo-RealAudio/Asian/women/id00166",
]


def fakeavceleb_folder(folder) -> None:
    """With the audio that ffmpeg extracts from the videos."""
    write_lines(folder / "meta_data.csv", "source,target1,target2,method,category,type,race,gender,path,", *FAKEAVCELEB)
    for seed, line in enumerate(FAKEAVCELEB):
        *_, name, home = line.split(",")
        recording(folder / "audio" / home.removeprefix("FakeAVCeleb/") / name.replace(".mp4", ".wav"), seed)


def deep_voice_folder(folder) -> None:
    names = plugins.load("datasets", "deep_voice").STATISTICS
    rows = [",".join([*["0.5"] * 26, label]) for label in "0110"]
    (folder / "DATASET-balanced.csv").write_text("\n".join([",".join([*names, "label"]), *rows]) + "\n")


def pool_folders(folder) -> None:
    pools = ["voice/real/ann", "voice/fake/gan", "music/real/band", "music/fake/gan", "noise/street", "test"]
    for seed, name in enumerate(pools):
        recording(folder / name / f"{seed}.wav", seed)
    (folder / "truth.csv").write_text("id,label,channel\n5,voice_real,telephone\n")


EXAMPLES = {
    "asvspoof2019_la": asvspoof2019_folder,
    "asvspoof2019_pa": functools.partial(asvspoof2019_folder, track="PA"),
    "asvspoof2021": asvspoof2021_folder,
    "asvspoof5": asvspoof5_folder,
    "dacon": dacon_folder,
    "deep_voice": deep_voice_folder,
    "demo": dacon_folder,
    "digits": digit_folder,
    "emotion": emotion_folder,
    "fakeavceleb": fakeavceleb_folder,
    "folders": class_folders,
    "in_the_wild": in_the_wild_folder,
    "length_bias": class_folders,
    "pools": pool_folders,
    "pools_demo": pool_folders,
    "wavefake": wavefake_folder,
}


def test_every_adapter_has_an_example():
    assert sorted(EXAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_expects(name):
    assert len(plugins.load("datasets", name).EXPECTS.split()) > 5


@pytest.mark.parametrize("name", NAMES)
def test_all_functions_take_the_same_keywords_with_annotations_and_classes_among_them(name):
    adapter = plugins.load("datasets", name)
    found = [inspect.signature(getattr(adapter, function)) for function in FUNCTIONS if hasattr(adapter, function)]
    for signature in found:
        folder, *options = signature.parameters.values()
        assert folder.kind is folder.POSITIONAL_OR_KEYWORD
        assert {"classes"} <= {option.name for option in options}
        assert all(o.kind is o.KEYWORD_ONLY and o.annotation is not o.empty for o in options)
    assert len(found) >= 2
    assert all(one.parameters == other.parameters for one, other in itertools.pairwise(found))


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "make")])
def test_arguments_of_make_are_keywords_with_defaults_and_those_of_read_are_its_own(name):
    adapter = plugins.load("datasets", name)
    _, *options = inspect.signature(adapter.make).parameters.values()
    assert all(o.kind is o.KEYWORD_ONLY and o.annotation is not o.empty and o.default is not o.empty for o in options)
    assert set(inspect.signature(adapter.read).parameters) == {"folder", "classes"}  # read is given no others


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_refused_by_name(name, tmp_path):
    with pytest.raises(DataError, match=tmp_path.name):
        plugins.load("datasets", name).read(tmp_path, classes=CLASSES[name])


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_text_and_fit_each_other(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    clips, template = adapter.read(tmp_path, classes=classes), adapter.template(tmp_path, classes=classes)
    assert list(clips.columns) == COLUMNS
    assert all(pd.api.types.is_string_dtype(clips[column]) and clips[column].notna().all() for column in COLUMNS)
    assert set(clips["split"]) <= {"train", "test", "unlabeled", "noise"}
    assert set(clips.loc[clips["split"] == "train", "label"]) == set(classes)
    assert (clips.loc[clips["split"] != "train", "label"] == "").all()
    assert all(split_part(tmp_path / path)[0].is_file() for path in clips["path"])
    assert not clips.duplicated(["split", "id"]).any()
    assert template.columns.tolist() == ["id", *classes]
    assert all(pd.api.types.is_string_dtype(template[column]) for column in template)
    assert template["id"].tolist() == clips.loc[clips["split"] == "test", "id"].tolist()


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "truth")])
def test_truth_is_of_clips_of_the_test(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    clips, truth = adapter.read(tmp_path, classes=classes), adapter.truth(tmp_path, classes=classes)
    assert truth.columns[:2].tolist() == ["id", "label"] and len(truth)
    assert all(pd.api.types.is_string_dtype(truth[column]) and truth[column].notna().all() for column in truth)
    assert set(truth["id"]) <= set(clips.loc[clips["split"] == "test", "id"]) and truth["id"].is_unique
    assert set(truth["label"]) <= set(classes)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(plugins.load("datasets", name), "given")])
def test_given_statistics_are_numbers_of_every_clip(name, tmp_path):
    EXAMPLES[name](tmp_path)
    adapter, classes = plugins.load("datasets", name), CLASSES[name]
    given = adapter.given(tmp_path, classes=classes)
    assert given["id"].tolist() == adapter.read(tmp_path, classes=classes)["id"].tolist()
    values = given.drop(columns="id")
    assert (values.dtypes == np.float64).all() and len(values.columns) and np.isfinite(values).all(axis=None)


def groups_of(name: str, folder) -> dict[str, tuple[str, str]]:
    """Label and group of each training clip."""
    clips = plugins.load("datasets", name).read(folder)
    train = clips[clips["split"] == "train"]
    return dict(zip(train["id"], zip(train["label"], train["group"], strict=True), strict=True))


def test_asvspoof2019_pa_has_the_environment_of_each_test_clip(tmp_path):
    asvspoof2019_folder(tmp_path, "PA")
    assert groups_of("asvspoof2019_pa", tmp_path) == {"PA_T_0": ("real", "PA_0001"), "PA_T_1": ("fake", "PA_0001")}
    truth = plugins.load("datasets", "asvspoof2019_pa").truth(tmp_path).set_index("id")
    assert truth.loc["PA_E_1"].to_dict() == {
        "label": "fake",
        "subset": "eval",
        "attack": "AA",
        "speaker": "PA_0001",
        "environment": "aaa",
    }


@pytest.mark.parametrize("track", ["LA", "DF"])
def test_asvspoof2021_trains_on_2019_and_reads_keys_of_either_track(tmp_path, track):
    asvspoof2021_folder(tmp_path, track)
    adapter = plugins.load("datasets", "asvspoof2021")
    clips = adapter.read(tmp_path, track=track)
    assert clips.loc[clips["split"] == "train", "id"].tolist() == ["LA_T_0", "LA_T_1"]
    assert clips.loc[clips["split"] == "test", "id"].tolist() == [f"{track}_E_{number}" for number in range(3)]
    truth = adapter.truth(tmp_path, track=track)
    assert truth["label"].tolist() == ["fake", "real", "fake"]
    assert truth["subset"].tolist() == ["progress", "eval", "hidden"]
    assert truth["attack"].tolist() == ["A07", "bonafide", "A19"] and ("vocoder" in truth) == (track == "DF")


def test_asvspoof2021_without_keys_has_no_truth(tmp_path):
    asvspoof2021_folder(tmp_path)
    adapter, keys = plugins.load("datasets", "asvspoof2021"), tmp_path / "keys/LA/CM/trial_metadata.txt"
    keys.write_text("LA_0023 LA_E_9 alaw ita_tx A07 spoof notrim eval\n")
    with pytest.raises(DataError, match=r"line 1 \('LA_E_9'\)"):
        adapter.truth(tmp_path)
    keys.unlink()
    assert adapter.truth(tmp_path) is None and len(adapter.read(tmp_path)) == 5


@pytest.mark.parametrize("below", ["", "ASVspoof5_protocols"])
def test_asvspoof5_reads_the_ten_fields_and_tables_in_either_folder(tmp_path, below):
    asvspoof5_folder(tmp_path)
    for file in tmp_path.glob("*.tsv"):
        (tmp_path / below).mkdir(exist_ok=True)
        file.rename(tmp_path / below / file.name)
    assert groups_of("asvspoof5", tmp_path) == {
        "T_0000000000": ("fake", "T_0001"),
        "T_0000000001": ("real", "T_0002"),
    }
    truth = plugins.load("datasets", "asvspoof5").truth(tmp_path)
    assert truth["attack"].tolist() == ["A05", "bonafide"] * 2 and truth["codec"].tolist() == ["-", "C05"] * 2
    assert truth["subset"].tolist() == ["dev", "dev", "eval", "eval"]


def test_in_the_wild_has_speakers_as_groups(tmp_path):
    in_the_wild_folder(tmp_path)
    assert groups_of("in_the_wild", tmp_path) == {
        "0.wav": ("fake", "Alec Guinness"),
        "1.wav": ("real", "Obama, Barack"),
    }
    write_lines(tmp_path / "meta.csv", "file,speaker,label", "0.wav,,spoof")
    with pytest.raises(DataError, match=r"an empty speaker: line 2"):
        groups_of("in_the_wild", tmp_path)
    write_lines(tmp_path / "meta.csv", "file,speaker,label", "0.wav,A,bonafide")
    with pytest.raises(DataError, match=r"a label not in \['bona-fide', 'spoof'\]: line 2"):
        groups_of("in_the_wild", tmp_path)


def test_wavefake_keeps_originals_and_generated_sentences_together(tmp_path):
    wavefake_folder(tmp_path)
    recording(tmp_path / "elsewhere/x.wav", 9)  # other data is not read
    assert groups_of("wavefake", tmp_path) == {
        "LJSpeech-1.1/wavs/LJ001-0001.wav": ("real", "LJ001"),
        "LJSpeech-1.1/wavs/LJ002-0001.wav": ("real", "LJ002"),
        "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav": ("fake", "LJ001"),
        "ljspeech_hifiGAN/LJ002-0001_generated.wav": ("fake", "LJ002"),
        "jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav": ("real", "BASIC5000_0001"),
        "jsut_parallel_wavegan/BASIC5000_0001_gen.wav": ("fake", "BASIC5000_0001"),
    }
    for file in tmp_path.rglob("*_gen*.wav"):
        file.unlink()
    with pytest.raises(DataError, match="holds no fake clips"):
        groups_of("wavefake", tmp_path)


def test_fakeavceleb_labels_the_audio_and_groups_by_source(tmp_path):
    fakeavceleb_folder(tmp_path)
    clips = groups_of("fakeavceleb", tmp_path)
    assert clips == {
        "RealVideo-RealAudio/African/men/id00076/00109.mp4": ("real", "id00076"),
        "RealVideo-FakeAudio/African/men/id00076/00109_f.mp4": ("fake", "id00076"),
        "FakeVideo-RealAudio/Asian/women/id00166/1.mp4": ("real", "id00166"),
    }
    adapter = plugins.load("datasets", "fakeavceleb")
    adapter.make(tmp_path)  # nothing is missing, so that no ffmpeg is needed


def test_fakeavceleb_extracts_what_is_missing(tmp_path, monkeypatch):
    fakeavceleb_folder(tmp_path)
    adapter = plugins.load("datasets", "fakeavceleb")
    missing = tmp_path / "audio/FakeVideo-RealAudio/Asian/women/id00166/1.wav"
    missing.unlink()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(adapter, "has_ffmpeg", lambda: False)
    with pytest.raises(DataError, match="1 videos must be turned into audio: install ffmpeg"):
        adapter.make(tmp_path)
    monkeypatch.setattr(adapter, "has_ffmpeg", lambda: True)
    monkeypatch.setattr(adapter, "decode_to_wav", lambda video, audio: recording(audio, 3))
    adapter.make(tmp_path)
    assert missing.is_file()
