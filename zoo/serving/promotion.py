"""Moves version labels so that a running TF Serving follows.

TF Serving reads models.config every 30 seconds. If the file moves a label to a version that is not
loaded, it refuses the whole file, again at each reading, and so loads nothing new of any model. A
label therefore moves in two steps: the version is listed first, with a label of its own, and the
label moves to it when it is loaded.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo.errors import UserError
from zoo.exporting.versions import parse_version
from zoo.serving.client import Client
from zoo.serving.exports import list_served_versions
from zoo.serving.server_config import write_server_files
from zoo.serving.transports.transport import NotServedError
from zoo.serving.version_labels import (
    check_label,
    drop_label,
    list_labels,
    list_removed_labels,
    read_version_labels,
    set_label,
)
from zoo.storage.filenames import MODELS_CONFIG, VERSION_LABELS

# after it a server has read models.config again, which it does every 30 seconds; until it reads the
# file once more, it has as long to load what is new
READ_SECONDS = 35
_ASK_SECONDS = 0.5  # between two questions to a server

Report = Callable[[str], None]


def may_move(directory: Path, model: str, version: str, label: str) -> bool:
    """Returns whether a running server may hold a label of a model for another version.

    It may do so as well if the label was taken away since the server last read the files.
    """
    labels = read_version_labels(directory).get(model, {})
    if label in labels:
        return labels[label] != parse_version(version)
    return label in list_removed_labels(directory, model) and _is_new(directory / VERSION_LABELS)


def move_label(
    directory: Path, model: str, version: str, label: str, keep_versions: int, report: Report
) -> None:
    """Sets or moves a label for servers that cannot be asked.

    The version is loaded here, as a test. A server that may not have loaded it yet gets the time
    for that before the label moves.

    Args:
        directory: Folder of exported models.
        model: Name of the model.
        version: Number of the version.
        label: The label.
        keep_versions: As in `write_server_files`.
        report: Is called with a sentence on what is waited for.

    Raises:
        UserError: as `set_label`, or if the version cannot be loaded.
    """
    number = check_label(directory, model, version, label)
    Client(model, export_dir=directory, version=number).metadata  # noqa: B018, loads it
    if _was_listed(directory, model, number):
        set_label(directory, model, version, label)
        write_server_files(directory, keep_versions)
        return
    report(
        f"a running server gets {READ_SECONDS} s to load version {number} of {model} before "
        f"{label} moves there; --server=HOST:PORT asks the server, --nowait is for when none runs"
    )
    with _list_version(directory, model, number, keep_versions):
        time.sleep(READ_SECONDS)
        set_label(directory, model, version, label)


def move_label_of_server(
    directory: Path,
    open_client: Callable[[str], Client],
    version: str,
    label: str,
    keep_versions: int,
    timeout: float,
    report: Report,
) -> None:
    """Sets or moves a label when a server has loaded the version, and waits until it follows.

    Args:
        directory: Folder of exported models, which the server reads.
        open_client: Returns the client of a label of the model on the server.
        version: Number of the version.
        label: The label.
        keep_versions: As in `write_server_files`.
        timeout: How many seconds the server may take to load the version.
        report: As in `move_label`.

    Raises:
        UserError: as `set_label`, or if the server cannot be asked, cannot load the version or does
            not follow; the label is then where it was.
    """
    client = open_client(label)
    model, number = client.model, check_label(directory, client.model, version, label)
    before = list_labels(directory, model).get(label)
    # that a version is available proves nothing if the files did not list it all the time: the
    # server may be about to unload it
    is_listed = _was_listed(directory, model, number)
    is_loaded = _read_states(client).get(number) == "AVAILABLE" and is_listed
    with contextlib.ExitStack() as listed:
        listed.enter_context(_list_version(directory, model, number, keep_versions))
        if before not in (None, number):  # so that the label can move back
            listed.enter_context(_list_version(directory, model, before, keep_versions))
        if not is_loaded:
            report(f"waiting for the server to load version {number} of {model}")
            _wait_for_load(open_client(_name_own_label(number)), number, timeout)
        set_label(directory, model, number, label)
        write_server_files(directory, keep_versions)
        report(f"{label} is version {number} in the files; waiting for the server to read them")
        if _wait_until(lambda: _read_served_version(client) == number, 2 * READ_SECONDS):
            return
        set_label(directory, model, "none" if before is None else before, label)
    was = "has no label again" if before is None else f"is version {before} again"
    raise UserError(
        f"{model}: the server did not follow, so {label} {was}: see the server's log, and whether "
        f"it reads {directory / MODELS_CONFIG}"
    )


@contextlib.contextmanager
def _list_version(directory: Path, model: str, number: int, keep_versions: int) -> Iterator[None]:
    """Context manager in which a version is served, whichever files are written meanwhile.

    The label that holds it names no other version ever, so that no server can refuse it.
    """
    own_label = _name_own_label(number)
    set_label(directory, model, number, own_label)
    write_server_files(directory, keep_versions)
    try:
        yield
    finally:
        drop_label(directory, model, own_label)
        write_server_files(directory, keep_versions)


def _wait_for_load(client: Client, number: int, timeout: float) -> None:
    """Waits until a version answers to the label of its own, which proves that it stays loaded.

    Raises:
        UserError: if the server cannot load the version, or takes too long.
    """
    start = time.monotonic()
    old_error = client.load_errors().get(number) if _read_states(client) else None

    def has_failed() -> bool:
        if _read_states(client).get(number) != "failed":
            return False
        # an error of an earlier attempt stands until the server has read the files
        is_old = client.load_errors().get(number) == old_error
        return not is_old or time.monotonic() - start > READ_SECONDS

    is_over = _wait_until(lambda: _read_served_version(client) == number or has_failed(), timeout)
    if _read_served_version(client) == number:
        return
    if is_over:
        raise UserError(
            f"the server cannot load version {number} of {client.model}, so no label moved: "
            f"{client.load_errors().get(number, 'see its log')}: export the model again"
        )
    raise UserError(
        f"the server has not loaded version {number} of {client.model} in {timeout:g} s, so no "
        "label moved: see the server's log, or raise --timeout"
    )


def _read_states(client: Client) -> dict[int, str]:
    """Returns the state of each version on a server, "failed" for those that cannot be loaded."""
    try:
        return client.versions() | dict.fromkeys(client.load_errors(), "failed")
    except NotServedError:  # a model that the server does not know yet
        return {}


def _read_served_version(client: Client) -> int | None:
    """Returns the version that has the client's label on the server, or None."""
    try:
        return client.served_version()
    except UserError:  # the label is not known yet, or the server is not there for a moment
        return None


def _wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Asks until a condition holds, for some seconds at most; returns whether it does."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_ASK_SECONDS)
    return True


def _name_own_label(number: int) -> str:
    return f"pending_{number}"


def _was_listed(directory: Path, model: str, number: int) -> bool:
    """Returns whether a running server reads for a while that it shall serve a version."""
    is_listed = number in list_served_versions(directory, model)
    return is_listed and not _is_new(directory / MODELS_CONFIG)


def _is_new(file: Path) -> bool:
    """Returns whether a running server may not have read a file since it was written."""
    try:
        return time.time() - file.stat().st_mtime < READ_SECONDS
    except FileNotFoundError:
        return False
