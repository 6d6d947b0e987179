"""Every error that a caller can act on; whatever else is raised is a defect of this project.

FakevoiceError            exit code 1; the message says what, which file or id, and what to do
├── ConfigError           exit code 2; unknown key, impossible value, unknown plug-in
├── DataError             the raw competition folder: missing column, unknown label, duplicates
│   ├── AudioError        one audio file cannot be used; carries `path` and `reason`
│   └── RemoteError       data at a URL cannot be downloaded: no network, no access, no such bucket, too large
├── FoldsError            folds.csv is missing, edited, or cannot be made from these clips
├── ArtifactError         something that a stage wrote is missing, damaged, or of another run
├── LockedError           another run is writing the same artifact
├── WorkerError           worker processes of this machine hung twice at the same work
├── ClusterError          engine=dask: nobody answers, or a worker cannot do this run
├── LeakError             a clip, group or scene stands on both sides of a fold
└── SubmissionError       the submission would be refused by the competition, or was
"""

import difflib

MOST_SHOWN = 80  # characters of a value in a message


class FakevoiceError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(FakevoiceError):
    """A configuration that cannot be run: unknown key, impossible value, unknown plug-in."""

    exit_code = 2


class DataError(FakevoiceError):
    """The raw competition folder is not what its adapter expects."""


class AudioError(DataError):
    """One audio file that cannot be used.

    Args:
        path: the file, as the user would find it.
        reason: a few words, e.g. ``"0 samples"``; never empty.
    """

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self):  # two arguments, so that it survives the way back from a worker process
        return AudioError, (self.path, self.reason)


class RemoteError(DataError):
    """Data at a URL cannot be downloaded: no network, no access, no such bucket, or it is too large."""


class FoldsError(FakevoiceError):
    """folds.csv is missing, edited, or cannot be made from these clips."""


class ArtifactError(FakevoiceError):
    """An artifact is missing, damaged, or belongs to another run."""


class LockedError(FakevoiceError):
    """Another run holds the lock of an artifact."""


class WorkerError(FakevoiceError):
    """Worker processes of this machine hung, and hung again when they were started anew."""


class ClusterError(FakevoiceError):
    """No scheduler, no worker, or one that cannot do this run."""


class LeakError(FakevoiceError):
    """A clip, group or scene stands on both sides of a fold."""


class SubmissionError(FakevoiceError):
    """The submission would be refused by the competition."""


def install_extra(*extras: str) -> str:
    """The command that installs extras of pyproject.toml, for error messages."""
    return f"./run.sh install {' '.join(extras)} (without run.sh: pip install -e '.[{','.join(extras)}]')"


def shortened(value: object) -> str:
    """A value for an error message, without the middle of a long one."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]}...{text[-MOST_SHOWN // 2 :]}"


def nearest(word: str, valid: list[str]) -> str:
    """A sentence for error messages: the closest valid word, then all of them."""
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(valid)}"
