"""./run.sh tune: searches values of config keys for the best out-of-fold score, each trial an experiment of its own.

    ./run.sh tune --config voices stacker.n_leaves=3..31 stacker.l2=0.1..100:log ensemble.calibrator='identity|platt'

A study is what was searched and all else that the config says. It lies in `runs/<competition>/tune.db`, so that the
same command goes on where it was.
"""

import math
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pandas as pd

from fakevoice.cli.search_space import Plan, make_plan
from fakevoice.core import artifacts, locks
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError, ConfigError, install_extra
from fakevoice.core.paths import paths
from fakevoice.core.progress import duration_text
from fakevoice.core.random import Stream, integer
from fakevoice.features.extract import check_features
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.training.cross_validation import check_networks

if TYPE_CHECKING:
    from optuna import Study, Trial

MIN_FOR_IMPORTANCE = 14  # trials: of 10, a key that changes nothing at all often seems to matter as much as the other
MAX_IMPOSSIBLE = 20  # trials in a row that cannot be run, after which no other will


def tune(config_name: str, words: list[str], n_trials: int) -> pd.DataFrame:
    """Search until `n_trials` trials in all have a score, counting those of earlier commands.

    Values are proposed by Optuna's tree-structured Parzen estimator, seeded by the config's seed and by the number of
    scores before, so that a study that was interrupted goes the way of one that was not.

    Args:
        config_name: as `load_config` takes it.
        words: ``key=LOW..HIGH``, ``key=LOW..HIGH:log``, ``key=a|b|c``; other ``key=value`` words hold for all trials.

    Returns:
        Trials with a score, best first: number, each key, score, difference to the best, seconds (few where the same
        values had been tried before).

    Raises:
        ConfigError: Optuna is not installed, nothing to search, an unknown key, or too many trials
            that cannot be run.
        LockedError: another process works on the same study.
        ArtifactError: the database is damaged.
    """
    plan = make_plan(config_name, words)
    with locks.folder_lock(plan.runs / f"tune-{plan.study}"), _opened(plan) as study:
        if len(_scored(study)) < n_trials:
            for index in (0, -1):
                config = plan.config_with({key: searched.ends[index] for key, searched in plan.searched.items()})
                check_networks(config, check_features(config))  # a wrong argument of a plug-in is in no scheme
            _take_up_again(study)
        n_impossible = 0
        while (n_before := len(_scored(study))) < n_trials:
            reason = _run_trial(study, plan, n_before, n_trials)
            n_impossible = n_impossible + 1 if reason else 0
            if n_impossible == MAX_IMPOSSIBLE:
                raise ConfigError(f"{n_impossible} trials in a row could not be run, the last one since: {reason}")
        return _table(study, plan)


def summary(config_name: str, words: list[str], table: pd.DataFrame) -> str:
    """What a person reads after `tune`: the table, which keys matter, how to keep the best, what lies where."""
    plan = make_plan(config_name, words)
    parts = [
        f"{plan.config.metric} out of fold, best first\n{table.to_string(index=False, float_format='{:.5g}'.format)}"
    ]
    if len(plan.searched) > 1 and len(table) >= MIN_FOR_IMPORTANCE:
        parts.append("\n".join(["how much of the difference each key makes", *_importance(plan)]))
    best = [f"{key}={table[key].iloc[0]}" for key in plan.searched]
    parts.append("to keep the best\n  ./run.sh all --config " + shlex.join([plan.config_name, *plan.fixed, *best]))
    folders = sorted(plan.runs.glob(f"tune-{plan.study}-*"))
    size_mb = sum(n_bytes for folder in folders for _, n_bytes, _ in artifacts.listing(folder)) / 1e6
    parts.append(
        f"{len(folders)} runs of this study take {size_mb:.0f} MB; the table stays without them\n"
        f"  rm -r {plan.runs / f'tune-{plan.study}-'}*"
    )
    return "\n\n".join(parts)


@contextmanager
def _opened(plan: Plan) -> Iterator["Study"]:
    if find_spec("optuna") is None:
        raise ConfigError(f"tune needs Optuna: {install_extra('tune')}")
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database, direction = plan.runs / "tune.db", "maximize" if plan.greater_is_better else "minimize"
    try:
        trials = optuna.storages.RDBStorage(f"sqlite:///{database}")
    except (RuntimeError, SQLAlchemyError) as error:
        raise ArtifactError(f"cannot use {database}: {error}; move it away, and studies begin anew") from error
    try:
        yield optuna.create_study(storage=trials, study_name=plan.study, direction=direction, load_if_exists=True)
    finally:
        trials.remove_session()
        trials.engine.dispose()


def _take_up_again(study: "Study") -> None:
    """Have what a killed process was trying tried again, and not count as tried."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.params:  # else it was killed before it had any
            study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)


def _run_trial(study: "Study", plan: Plan, n_before: int, n_trials: int) -> str:
    """Run one trial; why it could not be run, or "" where it has a score now."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    n_tried = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
    # With the same seed each time, the sampler would propose the first values again.
    study.sampler = TPESampler(seed=integer(Stream.TUNING, plan.config.seed, n_tried))
    trial = study.ask({key: values.distribution() for key, values in plan.searched.items()})
    print(f"\ntrial {n_before + 1} of {n_trials}: {_text(trial.params)}", flush=True)
    start = time.monotonic()
    try:
        score = _score(study, plan, trial)
    except ConfigError as error:
        trial.set_user_attr("reason", str(error))
        study.tell(trial, state=TrialState.PRUNED)  # and such values are proposed less often
        print(f"impossible: {error}", flush=True)
        return str(error)
    trial.set_user_attr("seconds", round(time.monotonic() - start, 1))
    study.tell(trial, score)
    print(_progress(study, plan, n_trials), flush=True)
    return ""


def _score(study: "Study", plan: Plan, trial: "Trial") -> float:
    """Run a trial up to the ensemble, and read the score that the ensemble was judged by.

    Equal values have one run: what a killed process began goes on, and what was tried before is there.
    """
    same = next(other for other in study.get_trials() if other.params == trial.params)
    config = plan.config_with(trial.params, plan.experiment(same.number))
    _lend_trained(study, plan, config)
    run_pipeline(config, "ensemble")
    metrics = artifacts.read_json(paths(config).stage("ensemble") / "metrics.json")
    score = metrics.get("files_score", metrics.get("discounted_score", metrics["oof_score"]))
    if not math.isfinite(score):
        raise ConfigError(f"{config.metric} is {score} on these clips")
    return score


def _lend_trained(study: "Study", plan: Plan, config: Config) -> None:
    """Give a new run the networks of a finished one: folds know what they were made of, and others are made anew."""
    target = paths(config).stage("train")
    if target.is_dir():
        return
    numbers = [trial.number for trial in reversed(_scored(study))]
    runs = [*(plan.runs / plan.experiment(number) for number in numbers), paths(plan.config).run]
    finished = next((run / "train" for run in runs if (run / "train" / "manifest.json").is_file()), None)
    for folder in finished.iterdir() if finished else ():
        if folder.is_dir():
            shutil.copytree(folder, target / folder.name, ignore=shutil.ignore_patterns(f"{artifacts.TEMPORARY}*"))


def _scored(study: "Study") -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _table(study: "Study", plan: Plan) -> pd.DataFrame:
    rows = [
        {
            "number": trial.number,
            **{key: trial.params[key] for key in plan.searched},
            "score": trial.value,
            "difference": trial.value - study.best_value,
            "seconds": trial.user_attrs["seconds"],
        }
        for trial in _scored(study)
    ]
    table = pd.DataFrame(rows, columns=["number", *plan.searched, "score", "difference", "seconds"])
    return table.sort_values(["score", "number"], ascending=[not plan.greater_is_better, True], ignore_index=True)


def _progress(study: "Study", plan: Plan, n_trials: int) -> str:
    scored = _scored(study)
    each_s = sum(trial.user_attrs["seconds"] for trial in scored) / len(scored)
    left = duration_text(each_s * (n_trials - len(scored)))
    score, best = scored[-1].value, study.best_value
    values = _text(scored[-1].params)
    return (
        f"trial {len(scored)} of {n_trials}: {values}: {plan.config.metric} {score:.4f}, best {best:.4f}, {left} left"
    )


def _text(values: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _importance(plan: Plan) -> list[str]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    with _opened(plan) as study:
        evaluator = FanovaImportanceEvaluator(seed=integer(Stream.IMPORTANCE, plan.config.seed))
        shares = get_param_importances(study, evaluator=evaluator)
    return [f"  {key:<40}{share:6.1%}" for key, share in shares.items()]
