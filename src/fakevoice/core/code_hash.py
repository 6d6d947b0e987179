"""Hashes of the code that an artifact depends on, found by following imports.

The cache key of a stage contains a hash of every module that the stage imports, directly or indirectly, and of the
plug-ins that these modules load by name. A module's hash ignores comments, docstrings and layout.

Of `core`, only the modules in `CORE` count: the others (config, paths, progress, ...) do not change the values of an
artifact, and the config keys that a stage reads are part of its cache key anyway.
"""

import ast
import contextlib
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from fakevoice.core import artifacts, plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError

CACHE = Path(__file__).parents[1] / "__pycache__" / "code_hashes.json"  # parsing takes longer than the rest of `status`
MAX_CACHED = 1000  # modules, so that years of edits do not accumulate
CORE = frozenset({"core.artifacts", "core.tables", "core.tasks", "core.random"})
ANY = "*"  # a plug-in whose name is only known at run time
ALL = "all"  # every plug-in of a kind


@dataclass(frozen=True)
class Code:
    """What one module's source says.

    Attributes:
        digest: hash of the code without comments, docstrings and layout.
        imports: dotted names below the package, e.g. ``audio.read``.
        loads: (kind, name) of the plug-ins that it loads; the name is `ANY` or `ALL` where it is not a literal.
    """

    digest: str
    imports: tuple[str, ...]
    loads: tuple[tuple[str, str], ...]


def hashes(roots: Iterable[str], named: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Hash of every module that some modules depend on, themselves included.

    Args:
        roots: dotted names below the package, e.g. ``"pipeline.stages.train"``.
        named: kind of plug-in → the names that the config gives. All plug-ins of a kind count where it is missing.

    Returns:
        File below the package → hash, sorted by file.
    """
    found = _reachable(roots, named, _counts)
    return {file: code.digest for file, code in found.items()}


def closure(roots: Iterable[str], named: Mapping[str, Collection[str]]) -> list[str]:
    """Every file below the package that some modules need, those of `core` and ``__init__.py`` included; sorted.

    Args:
        roots, named: as in `hashes`.
    """
    files = set(_reachable(roots, named, lambda module: True))
    folders = {parent for file in files for parent in PurePosixPath(file).parents}
    inits = {(folder / "__init__.py").as_posix() for folder in folders}
    return sorted(files | {file for file in inits if (plugins.PACKAGE / file).is_file()})


def _reachable(
    roots: Iterable[str], named: Mapping[str, Collection[str]], follows: Callable[[str], bool]
) -> dict[str, Code]:
    """File below the package → its code, sorted by file.

    Args:
        follows: whether the import of a module is followed.
    """
    found: dict[str, Code] = {}
    pending = list(roots)
    while pending:
        module = pending.pop()
        file = f"{module.replace('.', '/')}.py"
        if file in found:
            continue
        code = read_code(plugins.PACKAGE / file)
        found[file] = code
        pending += [name for name in code.imports if follows(name)]
        for kind, name in code.loads:
            # The config does not know what a plug-in loads by a computed name.
            name = ALL if name == ANY and _is_plugin(module) else name
            pending += _modules_of(kind, name, named)
    _parsed().save()
    return dict(sorted(found.items()))


def digest_of(roots: Iterable[str], named: Mapping[str, Collection[str]]) -> str:
    """One hash for all that `hashes` finds."""
    return hashlib.sha256(json.dumps(hashes(roots, named)).encode()).hexdigest()


def named_plugins(config: Config, keys: Collection[str]) -> dict[str, set[str]]:
    """Plug-ins that some keys of a config name: kind → names, for the argument `named` of `hashes`."""
    networks = config.networks.values()
    by_key = [
        ("dataset", "datasets", [config.dataset.name]),
        ("features", "features", [name for name, args in config.features.items() if "encoder" not in args]),
        ("features", "encoders", [args["encoder"] for args in config.features.values() if "encoder" in args]),
        ("statistics", "statistics", config.statistics),
        ("scenes", "noises", plugins.chosen("noises", config.scenes.noises)),
        ("scenes", "vocoders", plugins.chosen("vocoders", config.scenes.vocoders)),
        ("networks", "models", [network.model.name for network in networks]),
        ("networks", "augment", [plugin.name for network in networks for plugin in network.augment]),
        ("networks", "adaptation", [plugin.name for network in networks for plugin in network.adapt]),
        ("metric", "metrics", [config.metric]),
        ("measures", "metrics", config.measures),
        ("epoch_measures", "metrics", config.epoch_measures),
        ("ensemble", "calibrators", [config.ensemble.calibrator]),
    ]
    named: dict[str, set[str]] = {}
    for key, kind, names in by_key:
        if key in keys:
            named.setdefault(kind, set()).update(names)
    return named


def read_code(path: Path) -> Code:
    """Read one module; its source is parsed once, as long as its bytes stay the same."""
    source = path.read_bytes()
    return _parsed().get(hashlib.sha256(source).hexdigest(), source)


class _Parsed:
    """Results of parsing by the hash of the source, kept in a file between processes where it can be written."""

    def __init__(self, path: Path):
        self.path = path
        self.by_source: dict[str, Code] = {}
        self.has_new = False
        with contextlib.suppress(ArtifactError, TypeError, ValueError, AttributeError):
            for key, (digest, imports, loads) in artifacts.read_json(path).items():
                self.by_source[key] = Code(digest, tuple(imports), tuple((kind, name) for kind, name in loads))

    def get(self, key: str, source: bytes) -> Code:
        if key not in self.by_source:
            self.by_source[key] = _parse(source)
            self.has_new = True
        return self.by_source[key]

    def save(self) -> None:
        if not self.has_new:
            return
        self.has_new = False
        newest = list(self.by_source.items())[-MAX_CACHED:]
        with contextlib.suppress(ArtifactError):  # a read-only installation parses in each process
            artifacts.write_json(self.path, {key: [c.digest, c.imports, c.loads] for key, c in newest})


@cache
def _parsed() -> _Parsed:
    return _Parsed(CACHE)


def _counts(module: str) -> bool:
    return not module.startswith("core.") or module in CORE


def _is_plugin(module: str) -> bool:
    folder = module.rpartition(".")[0].replace(".", "/")
    return folder in plugins.FOLDERS.values() and folder != plugins.FOLDERS["stages"]


def _modules_of(kind: str, name: str, named: Mapping[str, Collection[str]]) -> list[str]:
    if name == ALL or (name == ANY and kind not in named):
        names = plugins.names(kind)
    elif name == ANY:
        names = sorted(named[kind])
    else:
        names = [name]
    return [plugins.module_name(kind, name) for name in names]


def _parse(source: bytes) -> Code:
    tree = ast.parse(source)
    imports = tuple(sorted(set(_imports(tree))))
    loads = tuple(sorted(set(_loads(tree))))
    _drop_docstrings(tree)
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
    return Code(digest, imports, loads)


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:]


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules of the package that are imported anywhere, inside functions too; not those for type checkers alone."""
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fakevoice":
                    yield from _existing(alias.name.removeprefix("fakevoice").removeprefix("."))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fakevoice":
            base = node.module.removeprefix("fakevoice").removeprefix(".")
            for alias in node.names:
                yield from _existing(f"{base}.{alias.name}".removeprefix("."), base)


@cache
def _is_module(name: str) -> bool:
    return (plugins.PACKAGE / f"{name.replace('.', '/')}.py").is_file()


def _existing(*names: str) -> list[str]:
    """The first of some names that is a module."""
    return [name for name in names if _is_module(name)][:1]


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes_that_run(node)


def _loads(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Kind and name of every ``plugins.load(kind, name)``, and of ``plugins.names(kind)``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not isinstance(node.func.value, ast.Name) or node.func.value.id != "plugins":
            continue
        if node.func.attr == "names":
            yield node.args[0].value, ALL
        elif node.func.attr == "load":
            kind, name = node.args
            yield kind.value, name.value if isinstance(name, ast.Constant) else ANY
