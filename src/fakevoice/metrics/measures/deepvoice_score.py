"""The score of DACON 236749: equal error rates of file, voice and music, and AUCs of presence; higher is better."""

from collections.abc import Callable
from functools import cache

import numpy as np

from fakevoice.core import plugins
from fakevoice.core.errors import FakevoiceError
from fakevoice.metrics.checks import checked
from fakevoice.metrics.roc import error_rates

GREATER_IS_BETTER = True
OUTPUTS = ("FILE_FAKE_PROB", "VOICE_FAKE_PROB", "MUSIC_FAKE_PROB", "VOICE_PRESENT_PROB", "MUSIC_PRESENT_PROB")
FILE_FAKE, VOICE_FAKE, MUSIC_FAKE, VOICE_PRESENT, MUSIC_PRESENT = range(5)
FILE_WEIGHT, VOICE_WEIGHT, MUSIC_WEIGHT = 0.5, 0.2, 0.3
ADS_WEIGHT, CPS_WEIGHT = 0.9, 0.1


@cache
def _auc() -> Callable[[np.ndarray, np.ndarray], float]:
    return plugins.load("metrics", "auc").measure


def measure(label: np.ndarray, probability: np.ndarray) -> float:
    """0.9·ADS + 0.1·CPS.

    ADS = 0.5·(1 - EER file) + 0.2·(1 - EER voice) + 0.3·(1 - EER music), the last two on the files in which the
    component is present. CPS is the mean AUC of the two presences.

    Args:
        label: (n_files, 5) of 0 and 1, columns as `OUTPUTS`.
        probability: the same shape, in [0, 1]; only its order within each column counts.

    Returns:
        In [0, 1]; nan if a column has a single class among the files that it is scored on.

    Raises:
        FakevoiceError: arrays that `checks.checked` refuses, or another number of columns.

    Source: the competition's rules, https://dacon.io/competitions/official/236749.
    """
    values = components(label, probability)
    ads = (
        FILE_WEIGHT * (1 - values["eer_file"])
        + VOICE_WEIGHT * (1 - values["eer_voice"])
        + MUSIC_WEIGHT * (1 - values["eer_music"])
    )
    cps = (values["auc_voice_present"] + values["auc_music_present"]) / 2
    return ADS_WEIGHT * ads + CPS_WEIGHT * cps


def components(label: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """The three EERs and two AUCs that the score consists of; arguments and errors as of `measure`."""
    label, probability = checked(label, probability)
    if label.shape[1] != len(OUTPUTS):
        raise FakevoiceError(f"deepvoice_score needs the {len(OUTPUTS)} outputs {', '.join(OUTPUTS)}: {label.shape[1]}")
    has_voice, has_music = label[:, VOICE_PRESENT], label[:, MUSIC_PRESENT]
    auc = _auc()
    return {
        "eer_file": _eer(label[:, FILE_FAKE], probability[:, FILE_FAKE]),
        "eer_voice": _eer(label[has_voice, VOICE_FAKE], probability[has_voice, VOICE_FAKE]),
        "eer_music": _eer(label[has_music, MUSIC_FAKE], probability[has_music, MUSIC_FAKE]),
        "auc_voice_present": auc(has_voice, probability[:, VOICE_PRESENT]),
        "auc_music_present": auc(has_music, probability[:, MUSIC_PRESENT]),
    }


def _eer(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean of both error rates at the first threshold where they are closest; not interpolated, unlike `eer`."""
    if label.all() or not label.any():
        return float("nan")
    false_positive_rate, false_negative_rate = error_rates(label, probability)
    closest = np.argmin(np.abs(false_positive_rate - false_negative_rate))
    return float((false_positive_rate[closest] + false_negative_rate[closest]) / 2)
