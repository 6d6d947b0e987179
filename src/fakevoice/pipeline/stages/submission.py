"""Test probabilities → submissions/<competition>-<hash>.csv, checked, and one line in the log."""

from pathlib import Path

from fakevoice.core.config import Config
from fakevoice.core.paths import Paths

AFTER = ("prepare", "ensemble")
READS = ("competition", "classes", "answers", "task")


def run(config: Config, paths: Paths) -> list[Path]:
    """Write the file that is uploaded."""
    import numpy as np

    from fakevoice.core.artifacts import read_array, read_json
    from fakevoice.core.config import config_hash
    from fakevoice.core.tables import CLIP_TEXT, read_table
    from fakevoice.pipeline.submission import check_submission, make_submission, write_submission

    clips = read_table(paths.stage("prepare") / "clips.csv", CLIP_TEXT)
    template = read_table(paths.stage("prepare") / "template.csv", ("id",))
    test = clips[clips["split"] == "test"]
    if test.empty:
        print("nothing to submit: there are no test clips", flush=True)
        return []
    probability = read_array(paths.stage("ensemble") / "test.npy").copy()
    unreadable = (test["error"] != "").to_numpy()
    probability[unreadable] = np.array(read_json(paths.stage("ensemble") / "ensemble.json")["prior"])
    submission = make_submission(template, test["id"], probability, config.outputs)
    check_submission(submission, template, test["id"])
    metrics = read_json(paths.stage("ensemble") / "metrics.json")
    entry = {key: f"{metrics[key]:.6f}" for key in ("oof_score", "expected_score", "expected_low", "expected_high")}
    entry |= {"config": config_hash(config), "experiment": config.experiment}
    path = write_submission(paths.submissions, config.competition, submission, entry)
    print(f"{path} holds {len(submission)} rows; {unreadable.sum()} unreadable clips got the prior", flush=True)
    return [path]
