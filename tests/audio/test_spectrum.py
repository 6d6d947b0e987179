"""The shared STFT and its filter banks, held against librosa and against the formulas written out.

All features and statistics that librosa has are held against it here, since its first call takes many seconds.
"""

import warnings

import numpy as np
import pytest
import scipy.fft
import torch

from fakevoice.audio import constant_q, spectrum
from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError

RATE, N_FFT, HOP = 16_000, 512, 256
SOURCE_N_FFT = 2048  # librosa's default, of the sources too


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE + 77) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time_s) * time_s) + 0.02 * rng.standard_normal(len(time_s))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def harmonic() -> np.ndarray:
    """Three seconds of a voice-like sound: twelve harmonics that waver by a semitone, and faint noise."""
    time_s = np.arange(3 * RATE) / RATE
    phase = 2 * np.pi * 180 * (time_s + 0.03 * np.sin(2 * np.pi * 0.5 * time_s) / np.pi)
    noise = 0.002 * np.random.default_rng(1).standard_normal(len(time_s))
    return (sum(np.sin(k * phase) / k for k in range(1, 13)) / 4 + noise).astype(np.float32)


@pytest.fixture(scope="module")
def ended(harmonic) -> np.ndarray:
    """One second, the last fifth of it silent, which is deeper than librosa's MFCC look."""
    return np.where(np.arange(RATE) < 0.8 * RATE, harmonic[:RATE], 0).astype(np.float32)


@pytest.fixture(scope="module")
def theirs(waveform, harmonic, ended) -> dict[str, np.ndarray]:
    """librosa's answers; its first call compiles, so that all are asked at once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=.* is too large for input")  # of the octaves that librosa resamples
        return {
            **_of_the_stft(waveform),
            **_of_the_sources(ended),
            **_of_a_harmonic_sound(harmonic),
            **_statistics(waveform, ended),
        }


# What the sources compute with librosa, and the feature and arguments that give the same.
MEL = {"n_mels": 64, "fmin_hz": 0.0}
SOURCES = {
    "log of mel": ("mel", {**MEL, "unit": "ln", "floor": 1e-6}),
    "MFCC of it": ("mfcc", {**MEL, "n_mfcc": 20, "unit": "ln", "floor": 1e-6}),
    "magnitude chroma": ("chroma", {"exponent": 1, "norm": "sum"}),
    "LFCC on mel filters": (
        "lfcc",
        {"n_filters": 64, "n_lfcc": 20, "bank": "mel", "unit": "ln", "floor": 1e-6},
    ),
    "mel in dB": ("mel", {**MEL, "reference": "max", "top_db": 80.0}),
    "magnitude mel in dB": ("mel", {**MEL, "exponent": 1, "reference": "max", "top_db": 80.0}),
    "MFCC by default": ("mfcc", {"n_mels": 128, "fmin_hz": 0.0, "n_mfcc": 20, "top_db": 80.0}),
}


def _of_the_sources(sound: np.ndarray) -> dict[str, np.ndarray]:
    """On a sound that ends in silence, so that every floor counts."""
    import librosa

    settings = {"n_fft": SOURCE_N_FFT, "hop_length": HOP}
    power_mel = librosa.feature.melspectrogram(y=sound, sr=RATE, n_mels=64, **settings)
    magnitude_mel = librosa.feature.melspectrogram(y=sound, sr=RATE, n_mels=64, power=1.0, **settings)
    log_mel = np.log(power_mel + 1e-6)
    magnitude = np.abs(librosa.stft(sound, **settings))
    chroma = librosa.feature.chroma_stft(S=magnitude, sr=RATE, norm=None, tuning=0)
    filtered = librosa.filters.mel(sr=RATE, n_fft=SOURCE_N_FFT, n_mels=64) @ magnitude**2
    return {
        "log of mel": log_mel,
        "MFCC of it": librosa.feature.mfcc(S=log_mel, n_mfcc=20),
        "magnitude chroma": chroma / np.maximum(chroma.sum(axis=0), 1e-30),
        "LFCC on mel filters": scipy.fft.dct(np.log(filtered + 1e-6), type=2, norm="ortho", axis=0)[:20],
        "mel in dB": librosa.power_to_db(power_mel, ref=np.max),
        "magnitude mel in dB": librosa.amplitude_to_db(magnitude_mel, ref=np.max),
        "MFCC by default": librosa.feature.mfcc(y=sound, sr=RATE, n_mfcc=20, **settings),
    }


def _of_the_stft(waveform: np.ndarray) -> dict[str, np.ndarray]:
    import librosa

    settings = {"n_fft": N_FFT, "hop_length": HOP, "center": True, "pad_mode": "constant"}
    mel = librosa.feature.melspectrogram(y=waveform, sr=RATE, n_mels=64, fmin=20.0, fmax=7600.0, **settings)
    log_mel = librosa.power_to_db(mel, amin=1e-10, top_db=None)
    delta = librosa.feature.delta(log_mel, width=3, mode="nearest")
    power = np.abs(librosa.stft(waveform, **settings)) ** 2
    linear = librosa.power_to_db(spectrum.linear_filter_bank(RATE, N_FFT, 40, 100.0, 7000.0) @ power, top_db=None)
    return {
        "stft": librosa.stft(waveform, **settings),
        "bank": librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=64, fmin=20.0, fmax=7600.0),
        "mel": log_mel,
        "mfcc": librosa.feature.mfcc(S=log_mel, sr=RATE, n_mfcc=40),
        "mel with deltas": np.concatenate([log_mel, delta, librosa.feature.delta(delta, width=3, mode="nearest")]),
        "linear": linear,
        "lfcc": scipy.fft.dct(linear, type=2, norm="ortho", axis=0)[:20],
        "chroma": librosa.feature.chroma_stft(y=waveform, sr=RATE, tuning=0, **settings),
        "pitch classes": librosa.filters.chroma(sr=44_100, n_fft=2048, tuning=-0.23),
    }


def _of_a_harmonic_sound(harmonic: np.ndarray) -> dict[str, np.ndarray]:
    import librosa

    wavelets, lengths = librosa.filters.wavelet(freqs=constant_q.C1_HZ * 2 ** (np.arange(84) / 12), sr=RATE, norm=1)
    middle, half = len(harmonic) // 2, wavelets.shape[1] // 2
    one_frame = wavelets.conj() @ harmonic[middle - half : middle - half + wavelets.shape[1]]
    return {
        "one frame by wavelets": np.abs(one_frame) * np.sqrt(lengths),
        "cqt": librosa.amplitude_to_db(np.abs(librosa.cqt(harmonic, sr=RATE, hop_length=HOP)), top_db=None),
        "chroma_cqt of 36": librosa.feature.chroma_cqt(y=harmonic, sr=RATE, hop_length=HOP, tuning=0),
        "chroma_cqt of 24": librosa.feature.chroma_cqt(
            y=harmonic, sr=RATE, hop_length=HOP, tuning=0, fmin=110.0, n_octaves=5, bins_per_octave=24
        ),
    }


def _statistics(waveform: np.ndarray, second: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    from librosa import feature

    settings = {"n_fft": N_FFT, "hop_length": HOP}
    contrast = feature.spectral_contrast(S=spectrum.power_spectrogram(waveform, N_FFT, HOP), sr=RATE)
    deep_voice = {
        "chroma_stft": feature.chroma_stft(y=second, sr=RATE),
        "rms": feature.rms(y=second),
        "spectral_centroid": feature.spectral_centroid(y=second, sr=RATE),
        "spectral_bandwidth": feature.spectral_bandwidth(y=second, sr=RATE),
        "rolloff": feature.spectral_rolloff(y=second, sr=RATE),
        "zero_crossing_rate": feature.zero_crossing_rate(second),
    }
    spectral = {
        "centroid_hz": feature.spectral_centroid(y=waveform, sr=RATE, **settings),
        "bandwidth_hz": feature.spectral_bandwidth(y=waveform, sr=RATE, **settings),
        "rolloff_hz": feature.spectral_rolloff(y=waveform, sr=RATE, **settings),
        "flatness": feature.spectral_flatness(y=waveform, **settings),
        "crossing_rate": feature.zero_crossing_rate(waveform, frame_length=N_FFT, hop_length=HOP),
        "rms": feature.rms(y=waveform, frame_length=N_FFT, hop_length=HOP),
    }
    return {
        "deep_voice": deep_voice | {f"mfcc{k}": row for k, row in enumerate(feature.mfcc(y=second, sr=RATE), 1)},
        "spectral": spectral | {f"contrast_{band}_db": row for band, row in enumerate(contrast)},
    }


def test_stft_is_librosas(waveform, theirs):
    ours = spectrum.stft(waveform, N_FFT, HOP)
    assert ours.dtype == np.complex64 and ours.shape == theirs["stft"].shape
    np.testing.assert_allclose(ours, theirs["stft"], atol=1e-4)


def test_mel_filters_are_librosas(theirs):
    np.testing.assert_allclose(spectrum.mel_filter_bank(RATE, N_FFT, 64, 20.0, 7600.0), theirs["bank"], atol=1e-7)


@pytest.mark.parametrize(("name", "args"), [("mel", {}), ("mfcc", {"n_mfcc": 40})])
def test_features_are_librosas(waveform, theirs, name, args):
    power = spectrum.power_spectrogram(waveform, N_FFT, HOP)
    ours = plugins.load("features", name).compute(power, RATE, n_mels=64, fmin_hz=20.0, fmax_hz=7600.0, **args)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs[name], atol=2e-3)  # in dB; their top is 20, their spread 80


@pytest.mark.parametrize("fragment", SOURCES)
def test_features_of_the_sources_are_reproduced(ended, theirs, fragment):
    name, args = SOURCES[fragment]
    power = spectrum.power_spectrogram(ended, SOURCE_N_FFT, HOP)
    ours = plugins.load("features", name).compute(power, RATE, **args)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs[fragment], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fragment", SOURCES)
def test_features_of_the_sources_are_the_same_for_tensors(ended, fragment):
    name, args = SOURCES[fragment]
    power = spectrum.power_spectrogram(ended, SOURCE_N_FFT, HOP)
    compute = plugins.load("features", name).compute
    batch = compute(torch.from_numpy(np.stack([power, power / 100])), RATE, **args)
    np.testing.assert_allclose(batch[0].numpy(), compute(power, RATE, **args), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(batch[1].numpy(), compute(power / 100, RATE, **args), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "args",
    [{"floor": 0.0}, {"reference": -1.0}, {"top_db": 0.0}, {"unit": "ln", "top_db": 80.0}],
)
def test_impossible_levels_are_refused(args):
    with pytest.raises(ConfigError):
        spectrum.Level(**args)


def test_levels_relative_to_a_power():
    power = np.array([[1.0, 4.0], [0.01, 1e-20]], np.float32)
    levels = spectrum.band_levels(np.eye(2, dtype=np.float32), power, spectrum.Level(reference=4.0))
    np.testing.assert_allclose(levels, [[-6.0206, 0.0], [-26.0206, -106.0206]], atol=1e-4)


def test_derivatives_are_librosas(waveform, theirs):
    """To twice the tolerance of the bands: a derivative is a difference of two."""
    power = spectrum.power_spectrogram(waveform, N_FFT, HOP)
    ours = plugins.load("features", "mel").compute(power, RATE, n_mels=64, fmin_hz=20.0, fmax_hz=7600.0, deltas=2)
    np.testing.assert_allclose(ours, theirs["mel with deltas"], atol=4e-3)


def test_linear_bands_and_their_cepstrum_are_those_of_librosas_stft(waveform, theirs):
    power, edges = spectrum.power_spectrogram(waveform, N_FFT, HOP), {"fmin_hz": 100.0, "fmax_hz": 7000.0}
    linear = plugins.load("features", "linear").compute(power, RATE, n_bands=40, **edges)
    np.testing.assert_allclose(linear, theirs["linear"], atol=2e-3)
    lfcc = plugins.load("features", "lfcc").compute(power, RATE, n_lfcc=20, n_filters=40, **edges)
    np.testing.assert_allclose(lfcc, theirs["lfcc"], atol=2e-3)


def test_chroma_is_librosas(waveform, theirs):
    power = spectrum.power_spectrogram(waveform, N_FFT, HOP)
    np.testing.assert_allclose(plugins.load("features", "chroma").compute(power, RATE), theirs["chroma"], atol=1e-5)
    np.testing.assert_allclose(spectrum.pitch_class_bank(44_100, 2048, -0.23), theirs["pitch classes"], atol=1e-6)


def test_constant_q_is_that_of_librosas_wavelets(harmonic, theirs):
    """In the time domain and at the full rate, where librosa is exact, to .1 % of the loudest bin.

    librosa's window lies half a sample or one beside its frame's middle, which a sound that moves shows.
    """
    middle = len(harmonic) // 2
    ours = np.abs(constant_q.constant_q(harmonic, RATE, middle, 84)[:, 1])
    expected = theirs["one frame by wavelets"]
    np.testing.assert_allclose(ours, expected, atol=1e-3 * expected.max())


def test_cqt_is_librosas(harmonic, theirs):
    """Within 40 dB of the loudest; librosa resamples each octave and cuts 1 % off each kernel, so that it errs more."""
    ours, expected = plugins.load("features", "cqt").compute(harmonic, RATE), theirs["cqt"]
    assert ours.shape == expected.shape
    error_db = np.abs(ours - expected)[expected > expected.max() - 40]
    assert np.median(error_db) < 0.2 and np.quantile(error_db, 0.95) < 3.0


@pytest.mark.parametrize(("bins_per_octave", "args"), [(36, {}), (24, {"fmin_hz": 110.0, "n_octaves": 5})])
def test_chroma_cqt_is_librosas(harmonic, theirs, bins_per_octave, args):
    ours = plugins.load("features", "chroma_cqt").compute(harmonic, RATE, bins_per_octave=bins_per_octave, **args)
    expected = theirs[f"chroma_cqt of {bins_per_octave}"]
    assert ours.shape == expected.shape
    error = np.abs(ours - expected)
    assert np.median(error) < 0.003 and error.max() < 0.1


def test_spectral_statistics_are_librosas(waveform, theirs):
    """Its contrast cuts what lies 80 dB under the loudest frame, ours does not: nothing lies so deep in this sound."""
    power = spectrum.power_spectrogram(waveform, N_FFT, HOP)
    ours = plugins.load("statistics", "spectral").pool(waveform, power, RATE, HOP)
    expected = {f"spectral_{name}_mean": values.mean() for name, values in theirs["spectral"].items()}
    expected |= {f"spectral_{name}_std": values.std() for name, values in theirs["spectral"].items()}
    assert ours == pytest.approx(expected, rel=1e-4)


def test_deep_voice_columns_are_librosas(ended, theirs):
    """With librosa's defaults, and so with the tuning that it finds."""
    ours = plugins.load("statistics", "deep_voice").pool(ended, np.empty((0, 0)), RATE, 0)
    assert list(ours) == list(theirs["deep_voice"])
    expected = {name: values.mean() for name, values in theirs["deep_voice"].items()}
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_stft_by_the_formula(waveform):
    """Frame m: the sum over n of x[mH + n - N/2] w[n] exp(-2 pi i k n / N), zeros around x."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    padded = np.concatenate([np.zeros(32), waveform[:1000], np.zeros(64)])
    kernel = np.exp(-2j * np.pi * np.outer(np.arange(33), np.arange(64)) / 64)
    frames = [padded[m * 16 : m * 16 + 64] * window for m in range(1 + 1000 // 16)]
    np.testing.assert_allclose(spectrum.stft(waveform[:1000], 64, 16), kernel @ np.array(frames).T, atol=1e-4)


def test_mel_scale_of_slaney():
    """Linear below 1 kHz with 200/3 Hz per mel, 27 mel per factor 6.4 above; triangles of unit area."""
    bank = spectrum.mel_filter_bank(RATE, 4096, 40, 0.0, 8000.0).astype(np.float64)
    bins_hz = np.arange(2049) * RATE / 4096
    peaks_hz = bins_hz[bank.argmax(axis=1)]
    top_mel = 15 + 27 * np.log(8.0) / np.log(6.4)
    mel = np.arange(1, 41) * top_mel / 41
    expected_hz = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    np.testing.assert_allclose(peaks_hz, expected_hz, atol=RATE / 4096)
    np.testing.assert_allclose(bank.sum(axis=1) * RATE / 4096, 1.0, rtol=0.02)


def test_dct_by_the_formula():
    """Orthonormal DCT-II: sqrt(2/N) cos(pi k (n + 1/2) / N), the first row over sqrt(2)."""
    n, k = np.arange(64), np.arange(40)[:, None]
    expected = np.sqrt(2 / 64) * np.cos(np.pi * k * (n + 0.5) / 64)
    expected[0] /= np.sqrt(2)
    np.testing.assert_allclose(spectrum.dct_matrix(40, 64), expected, atol=1e-6)
    square = spectrum.dct_matrix(64, 64).astype(np.float64)
    np.testing.assert_allclose(square @ square.T, np.eye(64), atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(512, 256), (512, 128), (400, 100), (1024, 333)])
@pytest.mark.parametrize("n_samples", [1, 500, 16_000])
def test_inverse_gives_the_waveform_back(n_fft, hop_length, n_samples):
    source = np.random.default_rng(1).standard_normal(n_samples).astype(np.float32)
    back = spectrum.istft(spectrum.stft(source, n_fft, hop_length), hop_length, n_samples)
    assert back.dtype == np.float32 and back.shape == source.shape
    covered = slice(0, max(1, n_samples - n_fft // 2))  # the last frame may end before the last samples
    np.testing.assert_allclose(back[covered], source[covered], atol=1e-4)


def test_inverse_pads_to_the_length_asked_for():
    short = spectrum.stft(np.ones(1000, np.float32), 512, 256)
    assert len(spectrum.istft(short, 256, 5000)) == 5000


@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 80_000])
def test_number_of_frames_is_known_beforehand(n_samples):
    power = spectrum.power_spectrogram(np.zeros(n_samples, np.float32), N_FFT, HOP)
    assert power.shape == (N_FFT // 2 + 1, spectrum.n_frames(n_samples, HOP)) and power.dtype == np.float32


def test_derivatives_of_a_ramp_and_of_a_parabola():
    time = np.arange(6.0)
    rows = spectrum.with_derivatives(np.array([3 * time, time**2]), 2)
    np.testing.assert_allclose(rows[2], [1.5, 3, 3, 3, 3, 1.5])
    np.testing.assert_allclose(rows[3], [0.5, 2, 4, 6, 8, 4.5])
    np.testing.assert_allclose(rows[5], [0.75, 1.75, 2, 2, -0.75, -1.75])
    assert len(rows) == 6 and np.array_equal(spectrum.with_derivatives(rows, 0), rows)


def test_each_frame_over_its_peak():
    feature = np.array([[1.0, 0.0, 4.0], [2.0, 0.0, 1.0]], np.float32)
    scaled = spectrum.relative_to_peak(feature)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0.5, 0.0, 1.0], [1.0, 0.0, 0.25]])


def test_decibels():
    np.testing.assert_allclose(spectrum.decibels(np.array([1.0, 10.0, 0.01, 0.0])), [0.0, 10.0, -20.0, -100.0])


@pytest.mark.parametrize(
    "args",
    [
        {"n_mels": 40, "fmax_hz": 8001.0},
        {"n_mels": 40, "fmin_hz": -1.0},
        {"n_mels": 40, "fmin_hz": 5000.0, "fmax_hz": 5000.0},
        {"n_mels": 200},
    ],
)
def test_impossible_bands_are_refused(args):
    with pytest.raises(ConfigError):
        spectrum.log_mel(np.ones((257, 3), np.float32), RATE, **args)


def test_linear_filters_by_the_formula():
    """Corners at equal distances in Hz; each filter peaks at 1 over its centre and is 0 at its neighbours' centres."""
    bank = spectrum.linear_filter_bank(RATE, 4000, 19, 0.0, 8000.0)  # bins lie 4 Hz apart, centres 400 Hz
    assert bank.shape == (19, 2001) and bank.dtype == np.float32
    np.testing.assert_array_equal(bank.argmax(axis=1) * 4, 400 * np.arange(1, 20))
    np.testing.assert_allclose(bank[:, 100:2000:100], np.eye(19), atol=1e-6)
    np.testing.assert_allclose(bank[4, 400:601], 1 - np.abs(np.arange(400, 601) - 500) / 100, atol=1e-6)


@pytest.mark.parametrize(
    "args", [(20, 0.0, 8001.0), (20, -1.0, 8000.0), (20, 5000.0, 5000.0), (700, 0.0, 8000.0), (0, 0.0, 8000.0)]
)
def test_impossible_linear_filters_are_refused(args):
    with pytest.raises(ConfigError):
        spectrum.linear_filter_bank(RATE, N_FFT, *args)
