"""Commands in the process of the test, as a user would type them."""

import sys
from types import ModuleType

from absl.testing import flagsaver

from zoo.commands import train as train_command
from zoo.commands.runner import run_command


def call_command(command: ModuleType, *args: object, program: tuple[str, ...] = ()) -> int:
    """Runs a command and returns its exit code; its flags are then as they were.

    So are those of `zoo train`, which `zoo tune` sets. Other exceptions are not caught.
    """
    name = command.__name__.rpartition(".")[2].replace("_", "-")
    typed, words = program or ("zoo", name), [str(word) for word in args]
    before = sys.argv
    saved = {
        module: flagsaver.save_flag_values(module.FLAGS) for module in (command, train_command)
    }
    sys.argv = [*typed, *words]
    try:
        run_command(command, words)
    except SystemExit as exit:
        return exit.code
    finally:
        sys.argv = before
        for module, values in saved.items():
            flagsaver.restore_flag_values(values, module.FLAGS)
    return 0
