"""Python packages that the code of a package needs and a server lacks, with the versions that are installed here."""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from fakevoice.core.config_sections import Package
from fakevoice.core.errors import ConfigError

OWN = "fakevoice"
# Dependencies that packages have had in every version of the last years. The others are not derived from what is
# installed here: transformers 5 brings pydantic, transformers 4, which a server may have, does not.
COMES_WITH = {
    "torch": ("filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions"),
    "scikit-learn": ("joblib", "threadpoolctl"),
    "transformers": ("filelock", "packaging", "regex", "safetensors", "tokenizers"),
    "pandas": ("python-dateutil", "six"),
    "soundfile": ("cffi", "pycparser"),
    "librosa": ("numba", "llvmlite", "soxr"),
}


def imported_modules(files: Iterable[Path]) -> set[str]:
    """Top-level modules of other projects that some files import, inside functions too."""
    names: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {OWN}


def requirements(modules: Collection[str], server: Package) -> list[str]:
    """Lines of requirements.txt: what some modules need and the server lacks, dependencies included.

    Args:
        modules: top-level, as they are imported.

    Raises:
        ConfigError: the server's Python is too old, or one of the packages needs another version of a preinstalled one.
    """
    distributions = metadata.packages_distributions()
    needed = {canonicalize_name(distributions[module][0]) for module in modules}
    preinstalled = {canonicalize_name(name): version for name, version in server.preinstalled.items()}
    present = {*preinstalled, *(name for owner in preinstalled for name in COMES_WITH.get(owner, ()))}
    lacking = _with_dependencies(needed - present, present, server)
    for name in lacking:
        _check(name, preinstalled, server)
    return [f"{name}=={metadata.version(name)}" for name in sorted(lacking)]


def _with_dependencies(names: Iterable[str], present: set[str], server: Package) -> set[str]:
    """Packages and all that they depend on, without what is present."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found and name not in present:
            found.add(name)
            pending += [canonicalize_name(requirement.name) for requirement in _dependencies(name, server)]
    return found


def _dependencies(name: str, server: Package) -> Iterator[Requirement]:
    """Dependencies of a package on the server; none where it is not installed here, so that they are not known."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    there = {"python_version": server.python, "python_full_version": f"{server.python}.0", "extra": ""}
    there |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(there):
            yield requirement


def _check(name: str, preinstalled: dict[str, str], server: Package) -> None:
    python = metadata.metadata(name)["Requires-Python"]
    wanted = [Requirement(f"python{python}")] if python else []
    for requirement in [*wanted, *_dependencies(name, server)]:
        version = (preinstalled | {"python": f"{server.python}.99"}).get(canonicalize_name(requirement.name))
        if version and not requirement.specifier.contains(Version(version), prereleases=True):
            raise ConfigError(
                f"package: {name} {metadata.version(name)} needs {requirement}, the server has {version}: install "
                f"another version of {name} here"
            )
