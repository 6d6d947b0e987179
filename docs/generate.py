"""Writes the pages of docs/reference that the code itself knows: config.md, commands.md and plugins.md.

.venv/bin/python docs/generate.py
"""

import argparse
import ast
import inspect
import io
import json
import re
import tokenize
from collections.abc import Iterator
from itertools import chain, groupby
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fakevoice.cli import command_line
from fakevoice.cli.doctor import EXTRAS
from fakevoice.core import plugins
from fakevoice.core.config import Config
from fakevoice.pipeline.runner import STAGES

FOLDER = Path(__file__).parent / "reference"
MADE = "Made by `docs/generate.py` from the code; a test holds it up to date."
PLAIN = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    Any: "anything",
    NoneType: "null",
}
LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
FUNCTION = {  # of each kind of plug-in: the one whose arguments a config gives; empty where it gives none
    "datasets": "read",
    "features": "compute",
    "statistics": "",
    "models": "build",
    "augment": "build",
    "adaptation": "build",
    "metrics": "",
    "calibrators": "",
    "vocoders": "",
    "noises": "",
}
OF_THE_SCRIPT = {  # which run.sh answers itself
    "test": ("[PYTEST_ARGUMENT ...]", "the test suite; installs what it needs first"),
    "install": ("EXTRA ...", f"add optional packages: {', '.join(EXTRAS)}"),
    "bench": ("[THEME ...]", "measure speed side by side; installs what it measures beside first"),
}
EXIT_CODES = """\
0 done; 1 an error that the message names, and what mends it; 2 a config or a call that cannot be; 130 and 143 stopped
by Ctrl-C or a signal: the same command goes on where it was."""
HOW_TO = "One file each; how to add one: [a network](../how-to/own_network.md), [data](../how-to/own_data.md)."


def config_page() -> str:
    """Every key of a config, section by section."""
    found = _sections(Config, "", {})
    parts = [f"# Config\n\n{MADE} A word `key=value` after a command changes any key; in a YAML keys are nested."]
    parts += [_section_text(section, places) for section, places in found.items()]
    return "\n\n".join(parts) + "\n"


def _sections(section: type[BaseModel], place: str, found: dict[type[BaseModel], list[str]]) -> dict:
    """Each section in the order of the keys, with the places where it stands."""
    found.setdefault(section, []).append(place)
    for name, field in section.model_fields.items():
        for inner, suffix in _models(field.annotation):
            _sections(inner, f"{place}.{name}{suffix}".removeprefix("."), found)
    return found


def _models(annotation: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, suffix
    for inner in get_args(annotation):
        yield from _models(inner, ".NAME" if get_origin(annotation) is dict else suffix)


def _section_text(section: type[BaseModel], places: list[str]) -> str:
    meanings, is_top = _comments(section), section is Config
    read_by = {
        name: [stage for stage in STAGES if name in plugins.load("stages", stage).READS] for name in Config.model_fields
    }
    header = ["key", "value", "default", "meaning", *(["read by"] if is_top else [])]
    rows = [header, ["---"] * len(header)]
    for name, field in section.model_fields.items():
        row = [f"`{name}`", type_text(field.annotation, field.metadata), _default_text(field), meanings[name]]
        rows.append([*row, *([", ".join(read_by[name]) or "-"] if is_top else [])])
    where = "" if is_top else f"At {', '.join(f'`{place}`' for place in places)}.\n\n"
    notes = "\n\n".join([_prose(inspect.getdoc(section)), *([_STALE] if is_top else [])])
    return f"## {section.__name__}\n\n{where}{notes}\n\n{_table(rows)}"


_STALE = """\
A change makes those stages stale that read the key, and all that come after them. What no stage reads changes no
artifact."""


def _comments(section: type[BaseModel]) -> dict[str, str]:
    """The comment at the end of each field's lines."""
    source = inspect.getsource(section)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token for token in tokens if token.type == tokenize.COMMENT}
    fields = [node for node in ast.parse(source).body[0].body if isinstance(node, ast.AnnAssign)]
    return {
        node.target.id: " ".join(
            comments[line].string.lstrip("# ") for line in range(node.lineno, node.end_lineno + 1) if line in comments
        )
        for node in fields
    }


def type_text(annotation: Any, metadata: list | tuple = ()) -> str:
    """What may stand for a key, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        text = type_text(inner[0], inner[1:])
    elif origin is Literal:
        text = ", ".join(f"`{json.dumps(value)}`" for value in inner)
    elif origin in (Union, UnionType):
        text = " or ".join([type_text(inner[0], metadata), *map(type_text, inner[1:])])
        metadata = ()
    elif origin is list:
        text = f"list: {type_text(inner[0])}"
    elif origin is dict:
        text = "arguments" if inner[1] is Any else f"name → {type_text(inner[1])}"
    elif origin is tuple:
        text = f"[low, high]: {type_text(inner[0])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    else:
        text = PLAIN[annotation]
    return ", ".join([text, *_limits(metadata)])


def _limits(metadata: list | tuple) -> Iterator[str]:
    flat = chain.from_iterable(limit.metadata if isinstance(limit, FieldInfo) else [limit] for limit in metadata)
    found = {name: getattr(limit, name) for limit in flat for name in (*LIMITS, "pattern") if hasattr(limit, name)}
    if {"ge", "le"} <= set(found):
        yield f"{found.pop('ge')} to {found.pop('le')}"
    for name, value in found.items():
        yield f"like `{value}`" if name == "pattern" else f"{LIMITS[name]} {value}"


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "none: it must be given"
    return "" if isinstance(field.default, BaseModel) else f"`{json.dumps(field.default)}`"


def commands_page() -> str:
    """Every command with its options."""
    parts = [
        f"# Commands\n\n{MADE} `./run.sh COMMAND --help` says the same.",
        f"```text\n{command_line.EPILOG.strip()}\n```",
    ]
    parts += [f"Exit codes: {EXIT_CODES}"]
    alike = groupby(
        _commands(command_line._parser()), key=lambda command: [_usage_text(command[2]), _option_rows(command[2])]
    )
    parts += [_commands_text([command[:2] for command in commands], *told) for told, commands in alike]
    parts += [f"## {name}\n\n{text}\n\n`./run.sh {name} {usage}`" for name, (usage, text) in OF_THE_SCRIPT.items()]
    return "\n\n".join(parts) + "\n"


def _commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, what it does and parser of each command, and of the commands that some of them have."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for told in action._choices_actions:
                inner, name = action.choices[told.dest], f"{before}{told.dest}"
                yield name, told.help, inner
                yield from _commands(inner, f"{name} ")


def _ordered(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return sorted((a for a in parser._actions if not isinstance(a, hidden)), key=lambda a: bool(a.option_strings))


def _usage_text(parser: argparse.ArgumentParser) -> str:
    return " ".join(map(_usage, _ordered(parser)))


def _option_rows(parser: argparse.ArgumentParser) -> list[list[str]]:
    rows = [[f"`{_named(action)}`", action.help or "", _given(action)] for action in _ordered(parser)]
    return [row for row in rows if row[1] or row[2]]


def _commands_text(commands: list[tuple[str, str]], usage: str, options: list[list[str]]) -> str:
    """A part about commands that are called alike."""
    names = [name for name, _ in commands]
    parts = [f"## {', '.join(names)}"]
    parts += ["\n".join(f"- `{name}`: {text}" for name, text in commands) if len(names) > 1 else commands[0][1]]
    parts += [f"`./run.sh {names[0] if len(names) == 1 else 'COMMAND'} {usage}`"]
    return "\n\n".join(
        [*parts, *([_table([["option", "meaning", "default"], ["---"] * 3, *options])] if options else [])]
    )


def _named(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    return (
        " ".join([*action.option_strings, *([] if action.nargs == 0 else [value])]) if action.option_strings else value
    )


def _usage(action: argparse.Action) -> str:
    if action.option_strings:
        return f"[{_named(action)}]"
    word = f"({_named(action)})" if " " in _named(action) else _named(action)
    return {"*": f"[{word} ...]", "+": f"{word} ...", "?": f"[{word}]"}.get(action.nargs, word)


def _given(action: argparse.Action) -> str:
    return (
        f"`{action.default}`"
        if action.option_strings and action.nargs != 0 and action.default not in (None, "")
        else ""
    )


def plugins_page() -> str:
    """Every plug-in, with the arguments that a config may give it."""
    parts = [f"# Plug-ins\n\n{MADE} {HOW_TO}"]
    for kind, function in FUNCTION.items():
        modules = {name: _tree(kind, name) for name in plugins.names(kind)}
        rows = [["name", "what it is"], ["---"] * 2]
        rows += [[f"`{name}`", _prose(_first_line(tree))] for name, tree in modules.items()]
        if function:
            columns = ["arguments (default)", "---", *(_arguments(tree, function) for tree in modules.values())]
            rows = [[*row, cell] for row, cell in zip(rows, columns, strict=True)]
        parts += [f"## {kind}", _prose(_first_line(_tree(kind, "__init__"))), _table(rows)]
        expects = {name: _constant(tree, "EXPECTS") for name, tree in modules.items()}
        parts += [f"`{name}` expects in its folder:\n\n```text\n{text}\n```" for name, text in expects.items() if text]
    return "\n\n".join(parts) + "\n"


def _tree(kind: str, name: str) -> ast.Module:
    return ast.parse((plugins.PACKAGE / plugins.FOLDERS[kind] / f"{name}.py").read_text(encoding="utf-8"))


def _first_line(tree: ast.Module) -> str:
    return ast.get_docstring(tree).splitlines()[0]


def _constant(tree: ast.Module, name: str) -> str:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    return ""


def _arguments(tree: ast.Module, function: str) -> str:
    """Keyword arguments with their defaults and, where the docstring tells, what they mean."""
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    node = defined.get("make" if function == "read" and "make" in defined else function)
    told, given = _told(ast.get_docstring(node) or ""), []
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if argument.arg != "classes":  # which the config gives by its own key
            value = f" ({ast.unparse(default)})" if default else ""
            meaning = f": {told[argument.arg]}" if argument.arg in told else ""
            given.append(f"`{argument.arg}`{value}{meaning}")
    return "<br>".join(given) or "-"


def _told(docstring: str) -> dict[str, str]:
    """Argument → its lines in the part ``Args:``."""
    part = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", docstring, re.MULTILINE)
    lines = re.sub(r"\n {6,}", " ", part[1]) if part else ""
    named = re.findall(r"^ {4}([\w, ]+): (.*)$", lines, re.MULTILINE)
    return {name: _prose(text) for names, text in named for name in names.split(", ")}


def _prose(docstring: str) -> str:
    return docstring.replace("``", "`")


def _table(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


PAGES = {"config.md": config_page, "commands.md": commands_page, "plugins.md": plugins_page}


def main() -> None:
    """Rewrite all pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
