"""What is searched: words become ranges, and a config for each trial."""

import pytest

from fakevoice.cli.search_space import Searched, make_plan


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stacker.n_leaves=3..31", Searched(3, 31)),
        ("stacker.n_rounds=50..800:log", Searched(50, 800, True)),
        ("stacker.learning_rate=.01..0.1", Searched(0.01, 0.1)),
        ("stacker.learning_rate=1e-3..1e-1:log", Searched(0.001, 0.1, True)),
        ("stacker.l2=1..10.0", Searched(1.0, 10.0)),
        ("scenes.event_probability=0..1", Searched(0, 1)),
        ("ensemble.calibrator=identity|platt", Searched(choices=("identity", "platt"))),
    ],
)
def test_what_a_word_asks_for(word, expected):
    plan = make_plan("demo", [word, "seed=3", "experiment=mine"])
    key = word.partition("=")[0]
    assert plan.searched == {key: expected} and plan.fixed == ["seed=3", "experiment=mine"]
    assert type(plan.searched[key].low) is type(expected.low)


@pytest.mark.parametrize(
    ("values", "ends"),
    [(Searched(3, 31), ("3", "31")), (Searched(0.5, 1.0), ("0.5", "1.0")), (Searched(choices=("a", "b")), ("a", "b"))],
)
def test_the_ends_are_words(values, ends):
    assert values.ends == ends


def test_a_trial_is_an_experiment_with_its_values():
    plan = make_plan("demo", ["stacker.n_leaves=3..31", "seed=3"])
    config = plan.config_with({"stacker.n_leaves": 7}, plan.experiment(2))
    assert (config.stacker.n_leaves, config.seed, config.experiment) == (7, 3, f"tune-{plan.study}-2")


def test_a_study_is_what_is_searched_and_all_else():
    studies = [
        make_plan("demo", words).study
        for words in (["seed=1..5"], ["seed=1..5", "experiment=mine"], ["seed=1..6"], ["seed=1..5", "stacker.l2=2"])
    ]
    assert studies[0] == studies[1] and len(set(studies)) == 3
