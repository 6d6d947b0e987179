"""The shared STFT and its filter banks, held against librosa and against the formulas written out."""

import numpy as np
import pytest

from fakevoice import lookup, spectrum
from fakevoice.errors import ConfigError

RATE, N_FFT, HOP = 16_000, 512, 256


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE + 77) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time_s) * time_s) + 0.02 * rng.standard_normal(len(time_s))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def theirs(waveform) -> dict[str, np.ndarray]:
    """librosa's answers; its first call compiles, so that all are asked at once."""
    import librosa

    settings = {"n_fft": N_FFT, "hop_length": HOP, "center": True, "pad_mode": "constant"}
    mel = librosa.feature.melspectrogram(y=waveform, sr=RATE, n_mels=64, fmin=20.0, fmax=7600.0, **settings)
    log_mel = librosa.power_to_db(mel, amin=1e-10, top_db=None)
    return {
        "stft": librosa.stft(waveform, **settings),
        "bank": librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=64, fmin=20.0, fmax=7600.0),
        "mel": log_mel,
        "mfcc": librosa.feature.mfcc(S=log_mel, sr=RATE, n_mfcc=40),
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
    ours = lookup.load("features", name).compute(power, RATE, n_mels=64, fmin_hz=20.0, fmax_hz=7600.0, **args)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs[name], atol=2e-3)  # in dB; their top is 20, their spread 80


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
