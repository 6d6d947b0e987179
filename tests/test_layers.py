"""The order of the package: a module imports from lower levels only, and what is heavy stays out until it is needed."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "fakevoice"
LEVELS = (
    "errors progress prior drift noise_shapes settings sinc vision limits meters reasons hangs eviction "
    "linear_prediction chart_style",
    "config lookup storage locks remote spectrum schedule channel workers predictions ranks guards connections schema",
    "mirror history notebooks windows novelty videos",
    "decoder sound_files uploads",
    "audio",
    "places shipping preprocessing constant_q timbre clip_tables made_folders",
    "tables tasks sound speech_frames batch_norm cluster warm_start slices voicing pitch phase_vocoder source_filter "
    "bootstrap calibration leaks words",
    "datasets features statistics augment adaptation models metrics calibrators vocoders noises",  # folders of plug-ins
    "audit folds scenes noise_bank samples pooling exploration ensemble measuring shares submission",
    "rendering extraction matching made_noises shortcuts expectation search_space",
    "cache stacker analysis scene_runs",
    "batches stack_runs ensemble_runs gap",
    "networks curves networks_alone exchange templates",
    "adapt precision exportable model_card",
    "objective",
    "fit",
    "trainer",
    "fold_runs inference sources results results_page boards tracking",
    "stages recordings incoming timeline_plot export",
    "line stream monitoring resident",
    "bakeoff resuming summary doctor report_charts report_curves report_tables tuning",
    "report_blocks live",
    "service report_sections report_evidence",
    "report",
    "monitor_page",
    "watching",
    "commands listening",
    "cli",
    "__main__",
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names.split()}
MODULES = sorted(file.relative_to(PACKAGE).with_suffix("").as_posix() for file in PACKAGE.rglob("*.py"))
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "librosa",
    "lightgbm",
    "albumentations",
    "cv2",
    "sklearn",
    "dask",
    "distributed",
}
OUTSIDE = re.compile(r"(?:^|[\s'\"=:])(?:\.\./|~/|/(?:home|work|tmp|root|mnt|opt|usr|var|etc|Users)\b)")


def tree_of(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported_by(module: str) -> Iterator[str]:
    """Modules of the package, e.g. ``spectrum`` or ``features.mel``, also those imported inside functions."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("fakevoice.") for alias in node.names if "fakevoice" in alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            if node.module == "fakevoice":
                yield from (alias.name for alias in node.names)
            elif node.module.startswith("fakevoice."):
                yield node.module.removeprefix("fakevoice.")


def test_every_module_has_a_level():
    assert {module.split("/")[0] for module in MODULES} - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize("module", [module for module in MODULES if module.split("/")[0] in LEVEL])
def test_imports_go_down(module):
    level = LEVEL[module.split("/")[0]]
    sideways_or_up = [name for name in imported_by(module) if LEVEL.get(name.split(".")[0], level) >= level]
    assert not sideways_or_up


def test_packages_run_nothing_on_import():
    for module in MODULES:
        if module.endswith("__init__"):
            kinds = {type(node) for node in tree_of(module).body}
            assert kinds <= {ast.Expr, ast.Assign}, module


@pytest.mark.parametrize("module", MODULES)
def test_no_path_outside_the_project(module):
    texts = [node.value for node in ast.walk(tree_of(module)) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if isinstance(text, str) and OUTSIDE.search(text)]


def heavy_after(code: str, **environment: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has loaded after running some code."""
    report = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}; {report}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return HEAVY & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import fakevoice.cli", "import fakevoice.line", "import fakevoice.config"])
def test_light_to_import(code):
    assert not heavy_after(code)


def test_every_stage_is_light_to_import():
    assert not heavy_after("from fakevoice import line, lookup; [lookup.load('stages', s) for s in line.STAGES]")


def test_status_of_a_finished_run_is_light(finished_run):
    words = ["status", "--config", "demo", *finished_run.overrides]
    assert not heavy_after(f"from fakevoice.cli import main; main({words!r})", FAKEVOICE_HOME=str(finished_run.home))
