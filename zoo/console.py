"""Terminal output: progress bars, and a way to silence chatty libraries."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Context manager that discards what C++ code writes to file descriptor 2."""
    sys.stderr.flush()
    saved_stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
        os.close(devnull)


def show_progress(items: Iterable[_Item], total: int, title: str) -> Iterator[_Item]:
    """Yields the items, with a progress bar on a terminal if they take more than 2 seconds."""
    with progress_bar(total, title) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(
    total: int | None, title: str, *, unit: str = "it", delay: float = 2, hidden: bool = False
) -> tqdm:
    """Returns a progress bar that is shown only on a terminal and removed at the end.

    Args:
        total: Number of items; None if it is not known.
        title: Text in front of the bar.
        unit: Name of an item, as in "12 it/s".
        delay: Seconds before the bar is shown.
        hidden: Disables the bar on a terminal as well.
    """
    disable = True if hidden else None  # None disables it if stderr is not a terminal
    return tqdm(total=total, desc=title, unit=unit, delay=delay, disable=disable, leave=False)
