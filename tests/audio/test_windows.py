"""Windows of long recordings: nothing is left unheard, a stream gets the same ones, and what the whole gets of them."""

import numpy as np
import pytest

from fakevoice.audio.windows import Window, aggregate, all_windows, windows_until

CLIP, HOP = 50, 20


@pytest.mark.parametrize("n_frames", [1, 19, 20, 21, 49, 50, 51, 60, 70, 99, 100, 101, 1000])
def test_every_frame_is_in_a_whole_window_and_the_last_ends_with_the_recording(n_frames):
    windows = all_windows(n_frames, CLIP, HOP)
    whole = [window for window in windows if window.is_whole]
    heard = np.zeros(n_frames, bool)
    for window in whole:
        heard[window.start : window.end] = True
        assert window.end - window.start == min(CLIP, n_frames)
    assert heard[-min(n_frames, CLIP) :].all() and (n_frames < CLIP + HOP or heard.mean() > 0.8)
    assert windows[-1].end == n_frames and windows[-1].is_whole
    ends = [window.end for window in windows]
    assert ends == sorted(set(ends)) and all(0 <= window.start < window.end for window in windows)


@pytest.mark.parametrize("hop", [1, 7, 20, 50])
def test_a_hop_of_at_most_a_clip_leaves_no_frame_unheard_once_it_is_long_enough(hop):
    for n_frames in range(CLIP, 4 * CLIP):
        heard = np.zeros(n_frames, bool)
        for window in all_windows(n_frames, CLIP, hop):
            if window.is_whole:
                heard[window.start : window.end] = True
        first = next(window.start for window in all_windows(n_frames, CLIP, hop) if window.is_whole)
        assert heard[first:].all() and first < hop


def test_what_is_heard_on_the_way_does_not_change_when_the_recording_goes_on():
    shorter, longer = list(windows_until(130, CLIP, HOP)), all_windows(500, CLIP, HOP)
    assert shorter == longer[: len(shorter)]
    assert shorter[:3] == [Window(0, 20, False), Window(0, 40, False), Window(10, 60, True)]


def test_a_recording_of_a_clips_length_is_one_window_and_whole():
    assert [window for window in all_windows(CLIP, CLIP, HOP) if window.is_whole] == [Window(0, CLIP, True)]
    assert [window for window in all_windows(30, CLIP, HOP) if window.is_whole] == [Window(0, 30, True)]


def test_what_is_heard_anywhere_is_heard_and_a_class_is_of_the_whole():
    probability, is_whole = np.array([[0.99, 0.01], [0.2, 0.8], [0.6, 0.4]]), np.array([False, True, True])
    assert aggregate(probability, is_whole, "multilabel").tolist() == [0.6, 0.8]
    assert aggregate(probability, is_whole, "multiclass") == pytest.approx([0.4, 0.6])
    assert aggregate(probability[:, :1], is_whole, "binary") == pytest.approx([0.4])
