"""What the command-line programs share: flags in groups, help that teaches, errors in one line."""

import contextlib
import dataclasses
import importlib
import io
import math
import os
import shlex
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from logging import getLogger
from typing import Any

import docstring_parser
from absl import flags, logging

from zoo import faults, interruption, pretrained, registry
from zoo.errors import UserError, WorkerLostError
from zoo.interruption import Interrupted
from zoo.recipe import Recipe
from zoo.schema import Shape, check, is_line, literal

FLAGS = flags.FLAGS
TRAINING = "Training"  # heading of the settings of a recipe

_LONGEST = 2_000  # characters of a message: what a user's file holds may be without end


def run(main: Callable[..., None], help_text: Callable[[], str], words: str = "") -> None:
    """Parses the flags and calls `main`; what the user can mend ends in one line and exit code 2.

    So do a full disk and the like; too little memory ends in one line and exit code 1. What nobody
    foresaw shows its traceback.

    Args:
        main: The program.
        help_text: What --help prints; the other flags on the line are parsed by then.
        words: Names of what is expected beside the flags, as in "MODEL VERSION", and given to
            `main`; "FILE..." is any number.
    """
    interruption.raised()
    names = words.split()
    if names:
        # flags may come after the words
        FLAGS.set_gnu_getopt()
    try:
        asked = [a for a in sys.argv if a in ("--help", "-h", "-help", "--helpfull")]
        rest = _parsed([a for a in sys.argv if a not in asked])
        if asked:
            print(help_text())
            return
        if rest and not names:
            raise UserError(f"{rest[0]!r}: expected only flags, such as --model=cnn (see --help)")
        if len(rest) != len(names) and not words.endswith("..."):
            given = " ".join(rest) or "nothing"
            raise UserError(f"expected {words}, given {given} (see --help)")
        main(*rest)
        with faults.naming("standard output"):
            sys.stdout.flush()  # here, where a full disk can still be told
    except flags.Error as error:
        fail(f"{_sentence(error)} (see --help)")
    except UserError as error:
        fail(_sentence(error))
    except WorkerLostError as error:
        fail(_sentence(error), 1)
    except Exception as error:
        fault = faults.told(error)
        if fault is None:
            raise
        message, code = fault
        fail(message, code)
    except Interrupted as stopped:
        print(f"{_program()}: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signum)


def import_tensorflow() -> None:
    """Imports TensorFlow without the start-up messages that it writes past Python's stderr.

    Where TF_CPP_MIN_LOG_LEVEL asks for them, they are shown.
    """
    logging.set_verbosity(logging.ERROR)
    # TensorFlow's own, which warns of things that its user cannot change
    getLogger("tensorflow").setLevel("ERROR")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    with silence():
        importlib.import_module("tensorflow")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Within, nothing is shown of what libraries write past Python's stderr."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def fail(message: str, code: int = 2) -> None:
    """Prints one line on stderr and exits with the code."""
    print(f"{_program()}: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def warn(message: str) -> None:
    """Prints one line on stderr, if there is a message."""
    if message:
        print(f"{_program()}: warning: {_sentence(message)}", file=sys.stderr, flush=True)


def flag(
    group: str,
    name: str,
    kind: Any,
    default: Any,
    meaning: str,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Defines a flag under a heading of --help.

    Args:
        group: The heading.
        name: Name of the flag.
        kind: str, int, float, bool, list (may be repeated), or a Literal of choices.
        default: Its value where it is not given.
        meaning: What --help says.
        low: Least value of a number.
        high: Greatest value of a number.
    """
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        flags.DEFINE_enum(name, default, choices, meaning, module_name=group)
    elif kind in (int, float):
        define = flags.DEFINE_integer if kind is int else flags.DEFINE_float
        define(name, default, meaning, low, high, module_name=group)
        _refuse_endless(name, kind)
    else:
        definers = {str: flags.DEFINE_string, bool: flags.DEFINE_bool}
        define = definers.get(kind, flags.DEFINE_multi_string)
        define(name, default, meaning, module_name=group)


def _refuse_endless(name: str, kind: type) -> None:
    """Refuses NaN and infinity, and whole numbers that no array and no file format holds."""
    if kind is int:
        flags.register_validator(
            name, lambda value: abs(value or 0) < 2**31, "expected a smaller number"
        )
    else:
        finite = "expected a finite number"
        flags.register_validator(name, lambda value: math.isfinite(value or 0), finite)


def define_recipe_flags() -> None:
    """A flag for each setting of a recipe; not given, it is None."""
    meanings = {p.arg_name: p.description for p in docstring_parser.parse(Recipe.__doc__).params}
    for field in dataclasses.fields(Recipe):
        flag(TRAINING, field.name, _base(field.type), None, _sentence(meanings[field.name]))


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


def image_size(text: str | None) -> tuple[int, int] | None:
    """Reads '64,48', or '64' for a square, as (rows, columns).

    Raises:
        UserError: if it is neither.
    """
    if text is None:
        return None
    sizes = check("--image_size", literal(text), Shape)
    if len(sizes) > 2:
        raise UserError(f"--image_size={text}: expected ROWS,COLUMNS, such as 64,64")
    return sizes[0], sizes[-1]


def command() -> str:
    """The command line, as a shell takes it."""
    return shlex.join(["python", *sys.argv])


def flagfile(groups: Iterable[str], settled: dict[str, Any]) -> str:
    """What --flagfile reads to repeat this run.

    Args:
        groups: The headings whose flags belong to the run.
        settled: Values that were not given but found, in place of the flags' own.
    """
    by_group = FLAGS.flags_by_module_dict()
    values = {flag.name: flag.value for group in groups for flag in by_group[group]} | settled
    lines = [f"# {command()}"]
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if item not in (None, ""):
                lines.append(f"--{name}={str(item).lower() if isinstance(item, bool) else item}")
    return "\n".join(lines) + "\n"


def help_text(introduction: str, groups: Iterable[str], entry: registry.Entry | None = None) -> str:
    """What --help prints: the flags of the groups, each with its meaning and its default.

    Args:
        introduction: Comes first.
        groups: The headings.
        entry: A model, whose recipe gives the defaults and whose hyperparameters come last.
    """
    defaults = dataclasses.asdict(entry.recipe if entry else Recipe())
    by_group = FLAGS.flags_by_module_dict()
    lines = [introduction.strip()]
    for group in groups:
        lines += ["", f"{group}:"]
        for flag in by_group[group]:
            default = flag.default if flag.default is not None else defaults.get(flag.name)
            meaning = flag.help.replace(
                ";\n    repeat this option to specify a list of values", " Can be repeated."
            )
            if default not in (None, "", []):
                meaning += f" [{default}]"
            lines += _entry(f"--{flag.name}", meaning)
    if entry is None:
        if TRAINING in groups:
            lines += ["", "With --model=NAME: its defaults and hyperparameters"]
        return "\n".join(lines)
    lines += ["", f"Hyperparameters of {entry.name}, by --hparam=NAME=VALUE:"]
    for line in registry.hyperparameter_lines(entry) or ["none"]:
        term, _, meaning = line.partition("  ")
        lines += _entry(term, meaning)
    return "\n".join(lines)


def model_table() -> str:
    """The registered models, one a line."""
    entries = [registry.find(name) for name in registry.list_models()]
    rows = [("model", "reads", "trained on", "weights", "what it is")]
    for e in entries:
        weights = ", ".join(pretrained.names(e.name)) or "-"
        rows.append((e.name, ", ".join(e.kinds), e.dataset, weights, e.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
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


def _parsed(argv: list[str]) -> list[str]:
    """Parses the flags, and returns the words beside them.

    Raises:
        UserError: for a flagfile that is no text, or a value that is not one line of text.
    """
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            words = FLAGS(argv)[1:]
    except ValueError as error:
        raise UserError(
            f"--flagfile: expected a file of flags, one on each line: {error}"
        ) from error
    if circular := written.getvalue():
        raise UserError(f"--flagfile: a file that includes itself: {circular.split()[-1]}")
    for name in FLAGS:
        given = FLAGS[name].value
        for value in given if isinstance(given, list) else [given]:
            # neither a path nor flags.txt could hold it
            if isinstance(value, str) and not is_line(value):
                raise UserError(f"--{name}={value!r}: expected one line of text")
    return words


def _program() -> str:
    return os.path.basename(sys.argv[0])


def _sentence(error: Any) -> str:
    """A message in one line, the middle left out where it has no end."""
    line = " ".join(str(error).split())
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
