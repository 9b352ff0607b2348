"""SIGINT and SIGTERM: raised at once, or deferred until no work is lost."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process received a signal to stop.

    Attributes:
        signum: SIGINT or SIGTERM.
    """

    def __init__(self, signum: int, advice: str = ""):
        super().__init__(f"{signal.Signals(signum).name}: stopped{advice}")
        self.signum = signum


def _raise_interrupted(signum: int, frame) -> None:
    raise Interrupted(signum)


def raise_on_signals() -> None:
    """Installs handlers that raise `Interrupted` in the main thread."""
    for signum in _SIGNALS:
        signal.signal(signum, _raise_interrupted)


@contextlib.contextmanager
def defer_signals() -> Iterator[Callable[[], int | None]]:
    """Context manager that records the first signal instead of raising it.

    A second signal is raised at once, and the first one at the end of the block at the latest.
    Outside the main thread, where Python delivers no signals, nothing changes.

    Yields:
        A function that returns the number of the recorded signal, or None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received: list[int] = []

    def record_or_raise(signum: int, frame) -> None:
        if received:
            raise Interrupted(signum)
        received.append(signum)

    handlers = {signum: signal.signal(signum, record_or_raise) for signum in _SIGNALS}
    try:
        yield lambda: received[0] if received else None
        if received:
            raise Interrupted(received[0])
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def advise_on_interrupt(advice: str) -> Iterator[None]:
    """Context manager that adds advice to the message of an `Interrupted`."""
    try:
        yield
    except Interrupted as interrupted:
        raise Interrupted(interrupted.signum, f"; {advice}") from None
