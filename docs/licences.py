"""Writes docs/reference/licences.md: every package that is installed with the project, and its licence.

.venv/bin/python docs/licences.py
"""

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "reference" / "licences.md"
FILES = {  # where a package is named → what needs it; constraints.txt names all
    "requirements.txt": "every command",
    "constraints.txt": "extras, tests, another system or another version of Python",
}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
SAYS_NOTHING = {"", "BSD", "UNKNOWN", "Dual License", "Artistic License"}  # or not all, as some metadata has it
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
READ = {  # not in the metadata that is installed: licence, and where it was read
    "huey": ("MIT", "its LICENSE file"),
    "nvidia-nvtx": ("Apache-2.0", "metadata of its file, which says proprietary as well"),
    "skops": ("MIT", "its LICENSE file"),
    "cuda-toolkit": (NVIDIA, "a package without content that requires NVIDIA's"),
    # on other systems or versions of Python only; from the metadata of the files that constraints.txt names
    "appnope": ("BSD-2-Clause", "metadata of its file"),
    "audioop-lts": ("PSF-2.0", "metadata of its file"),
    "colorama": ("BSD License", "metadata of its file"),
    "cuda-bindings": ("Apache-2.0", "metadata of its file"),
    "cuda-pathfinder": ("Apache-2.0", "metadata of its file"),
    "httpx2-jsfetch": ("BSD-3-Clause", "metadata of its file"),
    "standard-aifc": ("PSF-2.0", "metadata of its file"),
    "standard-chunk": ("PSF-2.0", "metadata of its file"),
    "standard-sunau": ("PSF-2.0", "metadata of its file"),
    "pywin32": ("Python Software Foundation License", "metadata of its file"),
    "pywinpty": ("MIT License", "metadata of its file"),
    "triton": ("MIT License", "metadata of its file"),
    "waitress": ("ZPL-2.1", "metadata of its file"),
}
INTRODUCTION = """\
# Licences

Made by `docs/licences.py` from the metadata of what is installed; a test holds it up to date. fakevoice itself is under
the [MIT licence](../../LICENSE). None of these packages is part of this repository: pip installs each from its own
place. `soxr` is under the LGPL: a library that is used as it is. A wheel may carry libraries under terms of their own
beside its licence, as `soundfile` does with libsndfile (LGPL) and `opencv-python-headless` with FFmpeg (LGPL); they
are told in its `dist-info` folder.

NVIDIA's packages come with PyTorch on Linux, where it is installed from PyPI; a CPU build of PyTorch needs none of
them. Their licence lets them be used, and passed on only as it says."""


def pins(file: str) -> dict[str, str]:
    """Package → version of one file, names as PyPI spells them."""
    return {canonical(name): version for name, version in PIN.findall((ROOT / file).read_text(encoding="utf-8"))}


def canonical(name: str) -> str:
    """As PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> tuple[str, str]:
    """Licence of a package, and where that is said; two empty texts where nobody says."""
    if name in READ:
        return READ[name]
    if name.startswith("nvidia-"):
        return NVIDIA, "metadata of its file"
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "", ""
    if told.get("License-Expression"):
        return told["License-Expression"], "metadata"
    text = (told.get("License") or "").strip()
    if text not in SAYS_NOTHING and "\n" not in text:
        return text, "metadata"
    kinds = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or [] if line.startswith("License ::")]
    return (" OR ".join(kinds) or text.partition("\n")[0]), "metadata"


def every() -> dict[str, tuple[str, str]]:
    """Package → version, and the file that names it; those that only another system needs included."""
    found: dict[str, tuple[str, str]] = {}
    for file in FILES:
        found = {name: (version, file) for name, version in pins(file).items()} | found
    return dict(sorted(found.items()))


def page() -> str:
    """The page as it should be."""
    lines = [INTRODUCTION, ""]
    for file, whom in FILES.items():
        rows = [(name, version, *licence(name)) for name, (version, of) in every().items() if of == file]
        lines += [f"## For {whom}", "", f"{len(rows)} packages, named in `{file}`.", ""]
        lines += ["| package | version | licence | said by |", "| --- | --- | --- | --- |"]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    return "\n".join(lines[:-1]) + "\n"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
