"""Why a recording cannot be read, as a word that stays, so that a page can say it in any language."""

import re
from typing import Literal, get_args

Reason = Literal[
    "empty", "no_samples", "not_audio", "damaged", "rate", "no_length", "not_finite", "too_loud", "no_ffmpeg", "other"
]
REASONS: tuple[Reason, ...] = get_args(Reason)
# What `audio` and `videos` say, and libsndfile through them; the first that fits.
SAID: tuple[tuple[str, Reason], ...] = (
    (r"0 bytes", "empty"),
    (r"0 samples", "no_samples"),
    (r"cannot be decoded: Format not recognised|Invalid data found when processing input", "not_audio"),
    (r"cannot be decoded", "damaged"),
    (r"impossible sample rate", "rate"),
    (r"the header does not say how many samples", "no_length"),
    (r"NaN or infinite samples", "not_finite"),
    (r"peak of", "too_loud"),
    (r"a video, whose sound ffmpeg would take out", "no_ffmpeg"),
)

NO_LIBSNDFILE = (
    "libsndfile, which decodes audio, cannot be loaded: apt-get install libsndfile1 (Debian, Ubuntu), "
    "dnf install libsndfile (Fedora) or brew install libsndfile (macOS)"
)


def code_of(reason: str) -> Reason:
    """The word for the reason of an `AudioError`; "other" where there is none."""
    return next((code for said, code in SAID if re.search(said, reason)), "other")
