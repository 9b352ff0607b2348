"""SIGINT and SIGTERM: raised at once, or noted and raised where nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process was asked to end.

    Attributes:
        signum: SIGINT or SIGTERM.
    """

    def __init__(self, signum: int, advice: str = ""):
        super().__init__(f"{signal.Signals(signum).name}: stopped{advice}")
        self.signum = signum


def _raise(signum: int, frame) -> None:
    raise Interrupted(signum)


def raised() -> None:
    """From here on a signal raises `Interrupted` in the main thread."""
    for signum in _SIGNALS:
        signal.signal(signum, _raise)


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], int | None]]:
    """Within, the first signal is only noted; what is yielded gives it, or None.

    A second signal is raised at once, and a first that nobody has asked for at the end. Outside the
    main thread Python delivers no signals, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came = []

    def note(signum, frame):
        if came:
            raise Interrupted(signum)
        came.append(signum)

    before = {signum: signal.signal(signum, note) for signum in _SIGNALS}
    try:
        yield lambda: came[0] if came else None
        if came:
            raise Interrupted(came[0])
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Within, an `Interrupted` says what to do next."""
    try:
        yield
    except Interrupted as stopped:
        raise Interrupted(stopped.signum, f"; {advice}") from None
