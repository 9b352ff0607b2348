"""Python programs in processes of their own, without 5 s of importing TensorFlow for each."""
# ruff: noqa: SIM115, files that are open as long as their process

import gc
import json
import os
import runpy
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn, TextIO

from support.paths import ROOT


class PythonServer:
    """Runs `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...` in forks of itself.

    It is a fork of this process, which should have TensorFlow imported and not yet used.
    """

    def __init__(self):
        requests, answers = os.pipe(), os.pipe()
        self._server = os.fork()
        if not self._server:
            os.close(requests[1])
            os.close(answers[0])
            _serve(open(requests[0]), answers[1])
        os.close(requests[0])
        os.close(answers[1])
        self._requests, self._answers = open(requests[1], "w", 1), open(answers[0])

    def set_folder(self, folder: Path) -> None:
        """Sets the folder for the programs' standard streams."""
        self._folder = folder

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
        print(json.dumps(request), file=self._requests)
        self._started, self._process = arguments, int(self._answers.readline())
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
        code = int(self._answers.readline())
        texts = ((self._folder / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self._started, code, *texts)

    def stop(self) -> None:
        """Ends the server."""
        self._requests.close()
        os.waitpid(self._server, 0)


def _serve(requests: TextIO, answers: int) -> NoReturn:
    """Runs each program that is asked for, until the requests end."""
    try:
        gc.freeze()  # what is imported: a fork need not look through it
        os.environ["PYTHONPATH"] = str(ROOT)
        ours = ("", str(ROOT), str(ROOT / "tests"))
        sys.path[:] = ["", str(ROOT), *(path for path in sys.path if path not in ours)]
        for line in requests:
            process = os.fork()
            if not process:
                _run_program(*json.loads(line))
            os.write(answers, f"{process}\n".encode())
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            os.write(answers, f"{code}\n".encode())
    finally:  # never on into the tests
        os._exit(0)


def _run_program(
    arguments: list[str], folder: str, environment: dict[str, str], files: list[str]
) -> NoReturn:
    """Does in this process what `python` with these arguments does, and ends it."""
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(os.open(file, os.O_RDWR), number)
        # the streams of before may be other sorts of files
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
        sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[0] = folder
        call_python(*arguments)
        code = 0
    except SystemExit as exit:
        code = exit.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def call_python(option: str, *words: str) -> None:
    """Runs `-m MODULE`, `-c CODE` or a file in this process, with the words that follow it."""
    if option == "-c":
        sys.argv = [option, *words[1:]]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    elif option == "-m":
        sys.argv = [*words]
        sys.modules.pop(words[0], None)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [option, *words]
        runpy.run_path(option, run_name="__main__")
