"""Groups of clips that belong to one fold, channels of groups that were recorded alike, and how often groups are drawn.

A group is what must not be on both sides of a split: a speaker or generator where the data names it, otherwise a
cluster of recordings that sound alike in their long-term spectrum (one channel, one voice).
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import AgglomerativeClustering
from sklearn.neighbors import NearestNeighbors, kneighbors_graph

N_NEIGHBORS, ALIKE_QUANTILE, FEW_CLIPS = 40, 0.7, 10
N_CHANNELS, GROUPS_PER_CHANNEL, CHANNELS_PER_FOLD, CHANNEL_NEIGHBORS = 60, 5, 4, 30


def make_groups(clips: pd.DataFrame, fingerprints: np.ndarray, duplicates: pd.DataFrame, how: str) -> pd.Series:
    """One group name per clip.

    Args:
        clips: training clips with id, group ('' where unknown).
        fingerprints: (n_clips, n_values) float32, level-free long-term spectra in the order of `clips`.
        duplicates: pairs train_id, id of training clips with the same sound; they always share a group.
        how: ``known_or_derived`` uses the group column where it is not empty, ``derived`` never, and ``none``
            leaves each clip alone.

    Returns:
        str series in the order of `clips`.
    """
    position = {clip: index for index, clip in enumerate(clips["id"])}
    links = [(position[a], position[b]) for a, b in zip(duplicates["train_id"], duplicates["id"], strict=True)]
    unknown = np.full(len(clips), how == "derived")
    if how == "known_or_derived":
        unknown = (clips["group"] == "").to_numpy()
        first = clips.groupby("group")["id"].transform("first").map(position)
        links += [(i, first.iloc[i]) for i in np.flatnonzero(~unknown)]
    where = np.flatnonzero(unknown)
    links += [(where[i], where[j]) for i, j in _alike(fingerprints[where])]
    rows, columns = np.array(links or [(0, 0)]).T
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(len(clips), len(clips)))
    _, component = connected_components(graph, directed=False)
    leader = pd.Series(component).groupby(component).transform(lambda part: part.index[0])
    return pd.Series([f"g{index:06d}" for index in leader], index=clips.index)


def _alike(fingerprints: np.ndarray) -> list[tuple[int, int]]:
    """Pairs leader, member of recordings that sound alike.

    The closest pairs go first; a leader takes those of its nearest neighbours that are closer than most
    recordings are to their nearest one. Members never lead, so that no chain joins everything into one group.
    """
    if len(fingerprints) < FEW_CLIPS or not fingerprints.any():
        return []  # too few to tell what is near, or no sound at all
    scaled = (fingerprints - fingerprints.mean(axis=0)) / np.maximum(fingerprints.std(axis=0), 1e-6)
    n_neighbors = min(N_NEIGHBORS, len(fingerprints) - 1)
    distances, neighbors = NearestNeighbors(n_neighbors=n_neighbors).fit(scaled).kneighbors()
    limit = np.quantile(distances[:, 0], ALIKE_QUANTILE)
    free, pairs = np.ones(len(fingerprints), bool), []
    for leader in np.argsort(distances[:, 0], kind="stable"):
        if not free[leader]:
            continue
        near = neighbors[leader][distances[leader] <= limit]
        members = near[free[near]]
        free[leader], free[members] = False, False
        pairs += [(int(leader), int(member)) for member in members]
    return pairs


def make_channels(groups: pd.Series, fingerprints: np.ndarray, n_folds: int) -> pd.Series:
    """Groups that were recorded alike, joined by Ward's clustering of their mean long-term spectra.

    A recording source is known by its microphones, rooms and codecs. Where some sources hold one class only,
    as they mostly do, folds by group let a model recognise the source.

    Args:
        groups: group name per clip.
        fingerprints: (n_clips, n_values) float32, as for `make_groups`.

    Returns:
        One channel name per clip; the groups themselves where they are too few to be joined.
    """
    number, names = pd.factorize(groups)
    n_channels = min(N_CHANNELS, len(names) // GROUPS_PER_CHANNEL)
    if n_channels < CHANNELS_PER_FOLD * n_folds:
        return groups
    scaled = (fingerprints - fingerprints.mean(axis=0)) / np.maximum(fingerprints.std(axis=0), 1e-6)
    means = pd.DataFrame(scaled).groupby(number).mean().to_numpy()
    near = kneighbors_graph(means, min(CHANNEL_NEIGHBORS, len(names) - 1))  # memory linear in the groups
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the number of connected components", UserWarning)  # sklearn joins them
        channel = AgglomerativeClustering(n_channels, connectivity=near, linkage="ward").fit_predict(means)
    return pd.Series([f"c{index:03d}" for index in channel[number]], index=groups.index)


def group_chances(n_clips: Sequence[int] | np.ndarray, exponent: float) -> np.ndarray:
    """How often each group is heard, in proportion to the `exponent`-th power of its clips.

    Args:
        n_clips: (n_groups,) of one class.

    Returns:
        (n_groups,) float64 that sum to 1.

    Source: as languages are sampled by Conneau & Lample, "Cross-lingual language model pretraining", 2019, section 3.1.
    """
    share = np.asarray(n_clips, np.float64) ** exponent
    return share / share.sum()


def first_group(scenes: pd.DataFrame, voices: pd.DataFrame) -> np.ndarray:
    """Group of each scene's first voice, or the scene itself: what errs together, (n_scenes,) str."""
    group = scenes["scene"].map(voices.drop_duplicates("scene").set_index("scene")["group"])
    return np.where(group.isna(), scenes["scene"], group).astype(str)
