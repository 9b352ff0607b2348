"""Runs a command: parses its flags, prints its help, and reports errors in one line."""

import contextlib
import gc
import importlib.util
import io
import logging
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from types import ModuleType

import absl.logging
from absl import flags

from zoo.commands.flag_messages import explain_flag_error
from zoo.commands.help import format_help
from zoo.commands.keras_file import check_keras_file
from zoo.commands.recipe_files import expand_recipe
from zoo.console import silence_stderr
from zoo.errors import UserError, WorkerLostError, attach_path, explain_fault, one_line
from zoo.schema import is_line
from zoo.training.signals import Interrupted, raise_on_signals

_HELP = ("--help", "-h", "-help", "--helpfull")
_COLUMNS = ("group", "label", "slices", "text", "time", "weight")  # flags that name columns
_MAY_BE_EMPTY = ("augment", "model")  # against a recipe's; a command says what it needs
_MAX_MESSAGE = 2_000  # characters; a message may quote the user's files


def run_command(
    command: ModuleType, argv: list[str], main: Callable[..., None] | None = None
) -> None:
    """Parses the flags of a command and calls its `main`.

    Errors end in one line on stderr. The exit code is 2 for user errors and for disks and files, 1
    for too little memory and for a worker that does not respond, and 128 plus its number for a
    signal. Other exceptions show their traceback.

    Args:
        command: A module of `zoo.commands`, with FLAGS, WORDS (names of its positional arguments,
            as in "MODEL VERSION"; "FILE..." is any number) and `main`. Its docstring and flags are
            the text of --help, unless it has a function `format_help_text`.
        argv: The command line after the name of the command.
        main: What is called instead of the command's own `main`.
    """
    raise_on_signals()
    _write_any_text()
    try:
        _choose_keras_backend()
        check_keras_file()
        help_flags = [word for word in argv if word in _HELP]
        words = parse_flags(command, [word for word in argv if word not in _HELP])
        if help_flags:
            print(_format_help(command), flush=True)
            return
        _check_words(words, command.WORDS)
        (main or command.main)(*words)
        with attach_path("standard output"):
            sys.stdout.flush()  # now, while a full disk can still be reported
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        _discard_output()
    except flags.Error as error:
        message = explain_flag_error(error, command.FLAGS)
        exit_with_error(f"{_shorten_message(message)} (see --help)")
    except UserError as error:
        exit_with_error(_shorten_message(error))
    except WorkerLostError as error:
        exit_with_error(_shorten_message(error), 1)
    except Interrupted as error:
        exit_with_error(str(error), 128 + error.signum)
    except Exception as error:
        fault = explain_fault(error)
        if fault is None:
            raise
        exit_with_error(*fault)


def _format_help(command: ModuleType) -> str:
    if hasattr(command, "format_help_text"):
        return command.format_help_text()
    return format_help(command.__doc__, command.FLAGS)


def _discard_output() -> None:
    """Sends what standard output still holds, and what follows, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_any_text() -> None:
    """Makes standard output show \\u escapes for what its encoding, such as ASCII, lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _choose_keras_backend() -> None:
    """Makes Keras run on TensorFlow, and all steps, whatever its file and variables ask for."""
    wanted = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if wanted != "tensorflow":
        print_warning(f"KERAS_BACKEND={wanted} is not used: the zoo runs on TensorFlow")
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        if limit := os.environ.pop(name, ""):
            print_warning(f"{name}={limit} is not used: --epochs is the number of epochs")


def parse_flags(command: ModuleType, argv: list[str]) -> list[str]:
    """Parses the flags of a command, and returns its positional arguments.

    Raises:
        UserError: if a flagfile is not a text file, or a value is invalid.
        flags.Error: if a flag does not exist, or its value has another type.
    """
    values = command.FLAGS
    if command.WORDS:
        values.set_gnu_getopt()  # flags may follow positional arguments
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            words = values([command.__name__, *expand_recipe(argv)])[1:]
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        if flag := re.match("(-.+) does not take an argument", str(error)):
            name = flag[1].partition("=")[0]
            raise UserError(f"{flag[1]}: {name} takes no value: write {name}") from error
        raise UserError(f"--flagfile: expected a file of flags, one per line: {error}") from error
    if circular := messages.getvalue():
        raise UserError(f"--flagfile: {circular.split()[-1]} includes itself")
    _check_values(values)
    return words


def import_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, unless TF_CPP_MIN_LOG_LEVEL is set."""
    # TensorFlow and the graphs of Keras are more than a million objects: with Python's own
    # threshold a third of the time of many exports (28.0 s, 18.6 s) went into looking for garbage
    gc.set_threshold(50_000, 20, 100)
    absl.logging.set_verbosity(absl.logging.ERROR)
    # the user cannot change what these warnings are about
    logging.getLogger("tensorflow").setLevel("ERROR")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    with silence_stderr():
        importlib.import_module("tensorflow")
    gc.freeze()  # what was imported stays, and is not looked through again


def check_extra(extra: str, *modules: str) -> None:
    """Checks that the packages of an extra are installed.

    Raises:
        UserError: if they are not.
    """
    if missing := [name for name in modules if not importlib.util.find_spec(name)]:
        raise UserError(
            f"{' and '.join(missing)} cannot be imported: pip install 'keras-model-zoo[{extra}]'"
        )


def exit_with_error(message: str, code: int = 2) -> None:
    """Prints one line on stderr and exits with the code."""
    print(f"{program_name()}: {message}", file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:  # Python would try again at its end, and exit with 120
        _discard_output()
    sys.exit(code)


def print_warning(message: str) -> None:
    """Prints one line on stderr, if there is a message."""
    if message:
        line = _shorten_message(message)
        print(f"{program_name()}: warning: {line}", file=sys.stderr, flush=True)


def print_notes(notes: Iterable[str]) -> None:
    """Prints each of the notes on the data as a warning, see `zoo.data.splits.Data.notes`."""
    for note in notes:
        print_warning(note)


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines on what was chosen for the user, each at once."""
    for line in lines:
        print(line, flush=True)


def program_name() -> str:
    """Returns the command as it was typed: "train.py", "zoo train" or "python -m zoo train"."""
    program = os.path.basename(sys.argv[0])
    if program.endswith(".py") and program != "__main__.py":
        return program
    return shlex.join([*_typed_program(), *sys.argv[1:2]])


def command_line() -> str:
    """Returns the whole command line as it was typed."""
    return shlex.join([*_typed_program(), *sys.argv[1:]])


def _shorten_message(error: object) -> str:
    """Returns a message as one line; a long one without its middle, as the advice is at the end."""
    line, half = one_line(error, sys.maxsize), _MAX_MESSAGE // 2
    return line if len(line) <= _MAX_MESSAGE else f"{line[:half]} ... {line[-half:]}"


def _typed_program() -> list[str]:
    program = os.path.basename(sys.argv[0])
    if program == "__main__.py":
        return ["python", "-m", "zoo"]
    return ["python", sys.argv[0]] if program.endswith(".py") else [program]


def _check_words(words: list[str], expected: str) -> None:
    if words and not expected:
        raise UserError(f"{words[0]!r}: expected only flags, such as --model=cnn (see --help)")
    if len(words) != len(expected.split()) and not expected.endswith("..."):
        raise UserError(f"expected {expected}, got {' '.join(words) or 'nothing'} (see --help)")


def _check_values(values: flags.FlagValues) -> None:
    """Checks that texts are one line of text, columns named, and numbers finite and below 2**31.

    Raises:
        UserError: if a value is invalid.
    """
    for name, value in values.flag_values_dict().items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and re.search("[\ud800-\udfff]", item):
                raise UserError(
                    f"--{name}={item!r}: not text in {sys.getfilesystemencoding()}, the encoding "
                    "of this terminal: run export PYTHONUTF8=1 if it is UTF-8, or rename the file"
                )
            if item == "" and name not in _MAY_BE_EMPTY and values[name].present:
                _reject_empty_value(name)
            # flags.txt has one flag per line
            if isinstance(item, str) and not is_line(item):
                raise UserError(f"--{name}={item!r}: expected one line of text")
            if isinstance(item, float) and not math.isfinite(item):
                raise UserError(f"--{name}={item}: expected a finite number")
            if isinstance(item, int) and abs(item) >= 2**31:
                # Python refuses to format integers of more than 4,300 digits
                shown = item if item.bit_length() < 300 else "..."
                raise UserError(f"--{name}={shown}: expected a smaller number")


def _reject_empty_value(name: str) -> None:
    """Raises a UserError for a value that most often is an unset variable of the shell.

    It would be ignored: a training on the default data, without the weights, or with a group in
    two splits.
    """
    expected = f"a value: set the variable that it comes from, or omit --{name}"
    if name in _COLUMNS:
        expected = (
            f"a column: quote names that the shell reads, as in '--{name}=$price', or omit --{name}"
        )
    raise UserError(f"--{name}=: expected {expected}")
