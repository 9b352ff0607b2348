"""What the command-line programs share: flags in groups, help that teaches, errors in one line."""

import dataclasses
import importlib
import os
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable
from typing import Any

import docstring_parser
from absl import flags, logging

from zoo import registry
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.schema import literal

FLAGS = flags.FLAGS


def run(main: Callable[[], None], help_text: Callable[[], str]) -> None:
    """Parses the flags and calls `main`; what the user can mend ends in one line and exit code 2.

    Args:
        main: The program.
        help_text: What --help prints; the other flags on the line are parsed by then.
    """
    try:
        asked = [a for a in sys.argv if a in ("--help", "-h", "-help", "--helpfull")]
        rest = FLAGS([a for a in sys.argv if a not in asked])[1:]
        if asked:
            print(help_text())
            return
        if rest:
            raise UserError(f"{rest[0]!r}: expected only flags, such as --model=cnn (see --help)")
        main()
    except flags.Error as error:
        fail(f"{_sentence(error)} (see --help)")
    except UserError as error:
        fail(_sentence(error))
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or _sentence(error)}")
    except KeyboardInterrupt:
        print(f"{_program()}: interrupted", file=sys.stderr)
        sys.exit(130)


def import_tensorflow() -> None:
    """Imports TensorFlow without the start-up messages that it writes past Python's stderr.

    Where TF_CPP_MIN_LOG_LEVEL is set, they are shown as it says.
    """
    logging.set_verbosity(logging.ERROR)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def fail(message: str) -> None:
    """Prints one line on stderr and exits with code 2."""
    print(f"{_program()}: {message}", file=sys.stderr)
    sys.exit(2)


def warn(message: str) -> None:
    """Prints one line on stderr."""
    print(f"{_program()}: warning: {_sentence(message)}", file=sys.stderr, flush=True)


def define_recipe_flags(group: str) -> None:
    """A flag for each setting of a recipe; not given, it is None."""
    definers = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
    meanings = {
        p.arg_name: " ".join(p.description.split())
        for p in docstring_parser.parse(Recipe.__doc__).params
    }
    for field in dataclasses.fields(Recipe):
        base = _base(field.type)
        if typing.get_origin(base) is typing.Literal:
            flags.DEFINE_enum(
                field.name, None, typing.get_args(base), meanings[field.name], module_name=group
            )
            continue
        define = flags.DEFINE_bool if base is bool else definers[base]
        define(field.name, None, meanings[field.name], module_name=group)


def given_settings() -> dict[str, Any]:
    """The settings of a recipe that are on the command line."""
    fields = (field.name for field in dataclasses.fields(Recipe))
    return {name: FLAGS[name].value for name in fields if FLAGS[name].value is not None}


def hparams(items: Iterable[str]) -> dict[str, Any]:
    """Reads ['dropout=0.5', 'filters=32,64'] as {"dropout": 0.5, "filters": (32, 64)}.

    Raises:
        UserError: for an item without a name and a value.
    """
    given = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise UserError(f"--hparam={item}: expected NAME=VALUE, such as --hparam=dropout=0.5")
        given[name.strip()] = literal(value.strip())
    return given


def flagfile(values: dict[str, Any]) -> str:
    """The flags of these values, one a line, as --flagfile reads them; None is left out."""
    lines = []
    for name, value in values.items():
        if value is None or value == "":
            continue
        for item in value if isinstance(value, list) else [value]:
            text = str(item).lower() if isinstance(item, bool) else item
            lines.append(f"--{name}={text}")
    return "\n".join(lines) + "\n"


def flags_help(groups: Iterable[str], defaults: dict[str, Any]) -> str:
    """The flags of the groups, each with its meaning and its default."""
    by_group = FLAGS.flags_by_module_dict()
    lines = []
    for group in groups:
        lines += ["", f"{group}:"]
        for flag in by_group[group]:
            default = flag.default if flag.default is not None else defaults.get(flag.name)
            meaning = flag.help.replace(";\n    repeat this option to specify a list of values", " Can be repeated.")
            if default not in (None, "", []):
                meaning += f" [{default}]"
            lines += _entry(f"--{flag.name}", meaning)
    return "\n".join(lines)


def model_help(name: str) -> str:
    """The hyperparameters of the model."""
    entry = registry.find(name)
    lines = ["", f"Hyperparameters of {name}, by --hparam=NAME=VALUE:"]
    for line in registry.hyperparameter_lines(entry) or ["none"]:
        term, _, meaning = line.partition("  ")
        lines += _entry(term, meaning)
    return "\n".join(lines)


def model_table() -> str:
    """The registered models, one a line."""
    entries = [registry.find(name) for name in registry.list_models()]
    rows = [("model", "reads", "trained on", "what it is")]
    rows += [(e.name, ", ".join(e.kinds), e.dataset, e.summary) for e in entries]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _entry(term: str, meaning: str) -> list[str]:
    indent = " " * 24
    lines = textwrap.wrap(meaning, 76) or [""]
    if len(term) + 2 >= len(indent):
        return [f"  {term}", *(indent + line for line in lines)]
    return [f"  {term}".ljust(24) + lines[0], *(indent + line for line in lines[1:])]


def _base(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0]
    if options := [a for a in typing.get_args(annotation) if a is type(None)]:
        return _base(next(a for a in typing.get_args(annotation) if a not in options))
    return annotation


def _program() -> str:
    return os.path.basename(sys.argv[0])


def _sentence(error: Any) -> str:
    return " ".join(str(error).split())
