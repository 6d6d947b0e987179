"""Reasons why recordings are not read: stable codes for programs and translations, and counts for summaries."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

Reason = Literal[
    "empty", "no_samples", "not_audio", "damaged", "rate", "no_length", "not_finite", "too_loud", "no_ffmpeg", "other"
]
REASONS: tuple[Reason, ...] = get_args(Reason)
# Texts of the errors of `decode`, `read` and `ffmpeg`, and of libsndfile through them; the first that fits.
SAID: tuple[tuple[str, Reason], ...] = (
    (r"0 bytes", "empty"),
    (r"0 samples", "no_samples"),
    (r"cannot be decoded: Format not recognised|Invalid data found when processing|video without sound", "not_audio"),
    (r"cannot be decoded", "damaged"),
    (r"impossible sample rate", "rate"),
    (r"the header does not say how many samples", "no_length"),
    (r"NaN or infinite samples", "not_finite"),
    (r"peak of", "too_loud"),
    (r"ffmpeg is needed", "no_ffmpeg"),
)

# Files of a folder that are not decoded at all.
HIDDEN, NOT_AUDIO, UNKNOWN = "are hidden", "contain no audio", "have an unknown format"
SKIPPED = (HIDDEN, NOT_AUDIO, UNKNOWN)

NO_LIBSNDFILE = (
    "libsndfile, which decodes audio, cannot be loaded: apt-get install libsndfile1 (Debian, Ubuntu), "
    "dnf install libsndfile (Fedora) or brew install libsndfile (macOS)"
)


# What a summary says of the files with each reason.
COUNTED: dict[Reason, str] = {
    "empty": "are empty",
    "no_samples": "contain no samples",
    "not_audio": "contain no audio",
    "damaged": "are damaged",
    "rate": "state an impossible sample rate",
    "no_length": "do not state their length",
    "not_finite": "contain NaN or infinite samples",
    "too_loud": "are far above full scale",
    "no_ffmpeg": "need ffmpeg",
    "other": "cannot be read for other reasons",
}


def count_reasons(reasons: Iterable[str]) -> str:
    """How many files are skipped for which reasons: ``skipped 7 files: 3 contain no audio, 4 need ffmpeg``.

    Args:
        reasons: of `AudioError`, or already a text of what is counted, such as "are hidden".

    Returns:
        Nothing where there are no reasons.
    """
    counts = Counter(COUNTED[code_of(reason)] if reason not in SKIPPED else reason for reason in reasons)
    if not counts:
        return ""
    total = counts.total()
    parts = [f"{count} {text}" for text, count in counts.most_common()]
    return f"skipped {total} file{'s' * (total > 1)}: {', '.join(parts)}"


def count_notes(notes: Iterable[str]) -> str:
    """How many recordings have a note on their file, with the first three; nothing where none has."""
    found = [note for note in notes if note]
    if not found:
        return ""
    counts = Counter(re.sub(r"\d+(?:\.\d+)?", "…", note) for note in found)
    examples = {re.sub(r"\d+(?:\.\d+)?", "…", note): note for note in reversed(found)}
    shown = [f"{count} × {examples[kind]}" for kind, count in counts.most_common(3)]
    return f"{len(found)} files with a note: {', '.join(shown)}"


def code_of(reason: str) -> Reason:
    """The code of the reason of an `AudioError`; "other" where there is none."""
    return next((code for said, code in SAID if re.search(said, reason)), "other")
