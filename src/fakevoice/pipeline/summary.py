"""What a person reads when a run has ended: score by part, time by stage, where things are, what to type next."""

from fakevoice.core.artifacts import read_json
from fakevoice.core.config import Config
from fakevoice.core.paths import Paths, paths
from fakevoice.core.progress import duration_text
from fakevoice.data.synthetic import NOTE, is_synthetic
from fakevoice.pipeline import history
from fakevoice.pipeline.runner import STAGES

CONDITIONS = {
    "expected": "expected on the test, classes as frequent as the unlabeled clips say",
    "discounted": "out of fold, where how a voice was recorded tells no label",
    "oof": "out of fold, as simulated",
    "files": "simulated files, windows pooled, out of fold",
}


def closing_text(config: Config, name: str, last: str) -> str:
    """The closing table of a run up to stage `last`; `name` is the config as it was called."""
    places = paths(config)
    if config.experiment != "default":
        name += f" experiment={config.experiment}"
    parts = [_score_lines(config, places)] if last == STAGES[-1] else []
    parts += [_time_lines(places, last), _place_lines(places, last), _next_lines(config, places, name, last)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _score_lines(config: Config, places: Paths) -> list[str]:
    metrics = read_json(places.stage("ensemble") / "metrics.json")
    lines = [f"{config.metric}{'':<14}value   95 % interval"]
    for condition, text in CONDITIONS.items():
        is_known = f"{condition}_score" in metrics and (condition == "oof" or config.scenes.states)
        if is_known and not (condition == "expected" and "files_score" in metrics):  # those are the same
            score, low, high = (metrics[f"{condition}_{end}"] for end in ("score", "low", "high"))
            lines.append(f"  {'':<22}{score:.4f}   {low:.4f} to {high:.4f}   {text}")
    for part in metrics["parts"]:
        outputs = ", ".join(f"{output} {value:.4f}" for output, value in part["outputs"].items())
        interval = f"{part['low']:.4f} to {part['high']:.4f}"
        lines.append(f"  {part['measure']:<22}{part['value']:.4f}   {interval}   {outputs}".rstrip())
    return lines


def _time_lines(places: Paths, last: str) -> list[str]:
    took = history.last_times(places.run)
    stages = [stage for stage in STAGES[: STAGES.index(last) + 1] if stage in took]
    total = sum(took[stage] for stage in stages)
    lines = [f"  {stage:<12}{duration_text(took[stage]):>12}{took[stage] / max(total, 1e-9):>7.0%}" for stage in stages]
    return ["time of each stage when it was run last", *lines, f"  {'together':<12}{duration_text(total):>12}"]


def _place_lines(places: Paths, last: str) -> list[str]:
    lines = ["where things are", f"  artifacts   {places.run}", f"  features    {places.cache}"]
    if last == STAGES[-1]:
        submissions = read_json(places.stage("submission") / "manifest.json")["outputs"]
        lines += [f"  submission  {places.home / file}" for file in submissions]
        lines.append(f"  tables      {places.stage('results') / 'results.md'}")
    return lines


def _next_lines(config: Config, places: Paths, name: str, last: str) -> list[str]:
    if last != STAGES[-1]:
        return ["next", f"  ./run.sh all --config {name}"]
    commands = {f"./run.sh report --config {name}": "one page: where it errs, and why"}
    (*_, submission) = ["", *read_json(places.stage("submission") / "manifest.json")["outputs"]]
    if is_synthetic(config):
        commands[f"./run.sh score {submission} data/demo/solution.csv"] = f"the test's labels are known; {NOTE}"
    elif config.board.site:
        commands[f"./run.sh submit --config {name}"] = f"to {config.board.site}"
    elif submission:
        commands["./run.sh leaderboard add SCORE --config " + name] = f"when you have uploaded {submission}"
    if config.studies:
        commands[f"./run.sh bakeoff {next(iter(config.studies))} --config {config.competition}"] = (
            f"studies: {', '.join(config.studies)}"
        )
    commands[f"./run.sh predict FILE_OR_FOLDER --config {name}"] = "score any audio"
    commands[f"./run.sh tensorboard --config {name}"] = "learning curves"
    commands[f"./run.sh notebooks --config {name}"] = "look further"
    width = max(map(len, commands))
    return ["next", *(f"  {command:<{width}}   {text}" for command, text in commands.items())]
