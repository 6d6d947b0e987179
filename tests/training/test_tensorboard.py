"""What TensorBoard shows: every epoch once, what the held-out fold gave, and what the network saw first."""

import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fakevoice.training import tensorboard
from tests.support.faulty_disk import FaultyDisk

OUTPUTS = ["fake", "real"]


def shown(folder) -> EventAccumulator:
    """As TensorBoard reads it."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    return events


def losses(folder) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 3)) for event in shown(folder).Scalars("loss")]


def write(folder, first: int, last: int, loss: float) -> None:
    with tensorboard.written_to(folder, first - 1) as writer:
        for epoch in range(first, last + 1):
            tensorboard.write_epoch(writer, {"epoch": epoch, "loss": loss, "auc": 0.5})


def test_every_number_is_there_at_its_epoch(tmp_path):
    write(tmp_path, 1, 3, 0.25)
    assert losses(tmp_path) == [(1, 0.25), (2, 0.25), (3, 0.25)]
    assert set(shown(tmp_path).Tags()["scalars"]) == {"loss", "auc"}  # the epoch is where they stand


def test_an_epoch_that_is_made_again_hides_what_a_killed_process_wrote(tmp_path):
    write(tmp_path, 1, 3, 0.25)
    time.sleep(1)  # files are read by name, which holds the second: a process takes longer to start
    write(tmp_path, 3, 4, 0.75)
    assert losses(tmp_path) == [(1, 0.25), (2, 0.25), (3, 0.75), (4, 0.75)]


def test_a_training_from_the_start_leaves_nothing_of_an_earlier_one(tmp_path):
    write(tmp_path, 1, 5, 0.25)
    write(tmp_path, 1, 2, 0.75)
    assert losses(tmp_path) == [(1, 0.75), (2, 0.75)]


def test_a_full_disk_is_raised_and_not_printed_besides(tmp_path):
    with pytest.raises(OSError, match="No space left"), FaultyDisk(tmp_path, 1, "full").active():
        write(tmp_path, 1, 3, 0.25)  # what its thread prints is a warning of pytest, and so an error


def test_what_the_held_out_fold_gave(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (60, 2))
    with tensorboard.written_to(tmp_path, 0) as writer:
        tensorboard.write_held_out(writer, 1, label, rng.random((60, 2)), OUTPUTS)
    tags = shown(tmp_path).Tags()
    assert set(tags["tensors"]) == {"precision_recall/fake", "precision_recall/real"}
    assert tags["images"] == ["reliability"]


def test_reliability_is_a_line_for_each_output_beside_what_it_should_be():
    probability = np.repeat([[0.05, 0.95], [0.95, 0.05]], 20, axis=0)
    figure = tensorboard.draw_reliability(probability > 0.5, probability, OUTPUTS)
    diagonal, *lines = figure.axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert [line.get_label() for line in lines] == OUTPUTS
    filled = ~np.isnan(lines[0].get_ydata())
    assert lines[0].get_ydata()[filled].tolist() == [0, 1]
    assert lines[0].get_xdata()[filled] == pytest.approx([0.05, 0.95])


@pytest.mark.parametrize("n_clips", [1, 3, 8, 12])
def test_pictures_of_the_first_batch_say_what_they_are_labelled(tmp_path, n_clips):
    x = np.random.default_rng(0).normal(size=(n_clips, 1, 6, 9))
    y = np.tile([[1.0, 0.0], [0.0, 0.0], [0.3, 0.7], [1.0, 1.0]], (3, 1))[:n_clips]
    figure = tensorboard.draw_batch(x, y, OUTPUTS)
    (pictures,) = (axes for axes in figure.axes if axes.images)
    expected = (["fake", "none", "0.3 fake + 0.7 real", "fake + real"] * 2)[:n_clips]
    assert [text.get_text() for text in pictures.texts] == expected
    places = [text.get_position() for text in pictures.texts]
    assert places == sorted(places, key=lambda place: (-place[1], place[0]))  # in the order in which one reads
    for image, picture, (x_of_text, y_of_text) in zip(pictures.images, x, places, strict=False):
        left, right, bottom, top = image.get_extent()
        assert (left, top) == (x_of_text, y_of_text) and np.array_equal(image.get_array(), picture[0])
        assert 0 <= left < right <= pictures.get_xlim()[1] and -1 <= bottom < top <= pictures.get_ylim()[1]
    assert len(pictures.images) == len(places)
    with tensorboard.written_to(tmp_path, 0) as writer:
        tensorboard.write_first_batch(writer, x, y, OUTPUTS)
    assert shown(tmp_path).Tags()["images"] == ["first_batch"]
