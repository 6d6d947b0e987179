"""Unlabeled clips that a run may learn from."""

import pandas as pd

from fakevoice.core.config import Config


def usable_unlabeled_clips(clips: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Rows of the clip table in the split ``unlabeled``; none if `rules.independent_files` is set."""
    is_usable = (clips["split"] == "unlabeled") & (not config.rules.independent_files)
    return clips[is_usable]
