"""`zoo launch` whose workers are forks of its process, which need not import TensorFlow again.

python forked_launch.py WORD... does what `zoo launch WORD...` does.
"""

import os
import subprocess
import sys
import traceback
from pathlib import Path

from support.processes import call_python
from zoo.commands import launch
from zoo.commands.runner import run_command


def start_launch(words: list[str], output: Path) -> int:
    """Starts `zoo launch` in a fork of this process, and returns its process id.

    Args:
        words: What follows `zoo launch`.
        output: Gets what it prints.
    """
    process = os.fork()
    if process:
        return process
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    run_to_the_end(lambda: main(*words))


class ForkingSubprocess:
    """What `zoo launch` uses of `subprocess`."""

    PIPE, TimeoutExpired = subprocess.PIPE, subprocess.TimeoutExpired

    @staticmethod
    def Popen(command: list[str], env: dict[str, str], **options) -> subprocess.Popen:
        """A process that does itself what it should start a Python for."""

        def run_instead():
            os.closerange(3, 1024)  # among them the pipe that the parent waits at
            os.environ.update(env)
            run_to_the_end(lambda: call_python(*command[1:]))

        return subprocess.Popen(command, env=env, preexec_fn=run_instead, **options)


def run_to_the_end(call) -> None:
    """Ends this process with the exit code of what is called."""
    # the streams of before may be files, these may be pipes
    sys.stdout, sys.stderr = (open(i, "w", 1, closefd=False) for i in (1, 2))  # noqa: SIM115
    code = 0
    try:
        call()
    except SystemExit as exit:
        code = exit.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(*words: str) -> None:
    """Runs `zoo launch` in this process."""
    launch.subprocess = ForkingSubprocess
    sys.argv = ["zoo", "launch", *words]
    run_command(launch, [*words])


if __name__ == "__main__":
    main(*sys.argv[1:])
