"""requirements.txt lists what the server lacks, and conflicts with nothing that it has."""

from importlib import metadata

import pytest

from fakevoice.core.config_sections import DACON_SERVER, Package
from fakevoice.core.errors import ConfigError
from fakevoice.packaging.requirements import imported_modules, requirements


def test_only_what_the_server_lacks_is_listed_with_dependencies_and_versions():
    lines = requirements({"numpy", "sklearn", "threadpoolctl", "lightgbm", "pydantic"}, Package())
    versions = dict(line.split("==") for line in lines)
    assert {"lightgbm", "pydantic", "pydantic-core"} <= versions.keys()
    assert versions["lightgbm"] == metadata.version("lightgbm")
    assert not versions.keys() & {*DACON_SERVER, "threadpoolctl", "typing-extensions"}


def test_a_server_that_has_everything_needs_nothing():
    has = {"numpy": "2.4.6", "scipy": "1.17.1", "psutil": "7.2.2"}
    assert requirements({"numpy", "scipy", "psutil"}, Package(preinstalled=has)) == []


def test_another_version_of_what_the_server_has_is_refused():
    with pytest.raises(ConfigError, match=r"torchvision .* needs torch==.*, the server has 2\.7\.1"):
        requirements({"torchvision"}, Package())


def test_a_python_that_is_too_old_is_refused():
    with pytest.raises(ConfigError, match=r"needs python>=3\.\d+, the server has 3\.5"):
        requirements({"pydantic"}, Package(python="3.5"))


def test_modules_that_functions_import_count_and_the_standard_library_does_not(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import os.path\nimport numpy as np\nfrom fakevoice.core import x\n"
        "def f():\n    from torch.nn import Linear\n    import json, joblib\n"
    )
    assert imported_modules([file]) == {"numpy", "torch", "joblib"}
