"""What run.sh leaves to Python: the packages of an extra, and the scripts of a copied environment.

Run as a file, before any package is installed: only the standard library and pip are imported.
"""

import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path


def packages_of(extra: str, extras: dict[str, list[str]]) -> Iterator[str]:
    """Requirements of one extra of pyproject.toml, with those of the extras that it includes.

    Raises:
        SystemExit: no such extra.
    """
    if extra not in extras:
        sys.exit(f"fakevoice: no extra {extra!r}; there are {', '.join(extras)}")
    for requirement in extras[extra]:
        included = re.fullmatch(r"fakevoice\[(.+)\]", requirement)
        if included is None:
            yield requirement
        else:
            for name in included[1].split(","):
                yield from packages_of(name.strip(), extras)


def write_scripts() -> None:
    """Write the scripts of this environment again: their first line names its folder."""
    from pip._vendor.distlib.scripts import ScriptMaker

    folder = Path(sysconfig.get_path("scripts"))
    maker = ScriptMaker(str(folder), str(folder))
    maker.clobber = True
    maker.force = True
    maker.set_mode = True
    maker.variants = {""}
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    for name, value in scripts.items():
        maker.make(f"{name} = {value}")
    for file in folder.iterdir():  # scripts of packages that declare files instead of functions
        if file.name in scripts or file.is_symlink() or not file.is_file():
            continue
        if re.match(rb"#!.*/python[\d.]*\n", file.read_bytes()):
            maker.make(file.name)


def main(arguments: list[str]) -> None:
    """``scripts``, or ``extra NAME`` to print its packages."""
    if arguments == ["scripts"]:
        write_scripts()
    else:
        import tomllib

        project = Path(__file__).parents[3] / "pyproject.toml"
        extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        print(*packages_of(arguments[1], extras))


if __name__ == "__main__":
    main(sys.argv[1:])
