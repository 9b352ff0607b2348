"""Python programs in processes of their own, without 5 s of importing TensorFlow for each."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from support.paths import ROOT

# has TensorFlow imported and not yet used, and calls Python in a fork of itself, time after time
SERVER = """
import json, os, runpy, sys, traceback
from zoo.commands.runner import import_tensorflow
import_tensorflow()
import keras, tensorflow_datasets
from zoo.exporting import format_scores, saved_model
from zoo.training import loop
import gc
gc.freeze()  # what is imported: a fork need not look through it
for line in sys.stdin:
    arguments, folder, environment, files = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    # the streams of before may be other sorts of files
    sys.stdin, sys.stdout, code = open(0), open(1, "w"), 0
    sys.stderr = open(2, "w", 1, errors="backslashreplace")
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    try:
        option, what, *rest = arguments
        sys.modules.pop(what, None)
        sys.argv = [option, *rest] if option == "-c" else [what, *rest]
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        elif option == "-c":
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = arguments
            runpy.run_path(option, run_name="__main__")
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
"""


class PythonServer:
    """Runs `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...` in forks of itself.

    Args:
        folder: A folder for the programs' standard streams.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._parent = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, *arguments, **options) -> subprocess.CompletedProcess:
        """Runs a program to its end, with the options of `start`."""
        self.start(*arguments, **options)
        return self.wait()

    def start(self, *arguments, cwd=ROOT, input="", stderr=None, **environment) -> int:
        """Starts a program and returns its process id; call `wait` before the next one.

        Args:
            *arguments: As of `python`.
            cwd: The folder it runs in.
            input: Its standard input.
            stderr: A path for its standard error, such as a terminal's, in place of a file.
            **environment: Variables of its environment, besides those of the server.
        """
        files = [self._folder / name for name in ("stdin", "stdout", "stderr")]
        for file, text in zip(files, (input, "", ""), strict=True):
            file.write_text(text)
        opened = [*map(str, files[:2]), str(stderr or files[2])]
        request = [[*map(str, arguments)], str(cwd), environment, opened]
        print(json.dumps(request), file=self._parent.stdin, flush=True)
        self._started, self._process = arguments, int(self._parent.stdout.readline())
        return self._process

    def wait_for(self, text: str) -> str:
        """Waits until the program has printed a text, and returns all that it has printed.

        Raises:
            ProcessLookupError: if it has ended without.
        """
        while text not in (out := (self._folder / "stdout").read_text()):
            os.kill(self._process, 0)
            time.sleep(0.01)
        return out

    def wait(self) -> subprocess.CompletedProcess:
        """Waits for the end of the program."""
        code = int(self._parent.stdout.readline())
        texts = ((self._folder / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self._started, code, *texts)

    def stop(self) -> None:
        """Ends the server."""
        self._parent.stdin.close()
        self._parent.wait()
