"""Windows of logged requests, and whether they have drifted from the statistics of an export."""

import dataclasses
import datetime
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.sources.text_files import is_gzipped, open_bytes
from zoo.data.spec import Spec
from zoo.errors import UserError, one_line
from zoo.monitoring.plain_traits import HASH, Traits
from zoo.monitoring.summaries import Drift, compare_trait
from zoo.monitoring.traits import measure_inputs

ALPHA = 0.01  # of all tests of a window together
CHANGE = 0.1  # smallest population stability index of an alarm
_BEGIN = '{"time": "'  # of each line
SMALLEST = 50  # examples of a window


@dataclasses.dataclass(frozen=True)
class Window:
    """The requests of an hour, or of the whole log, against the statistics.

    Attributes:
        start: Begin of the hour, in UTC; None for all requests.
        examples: Number of examples.
        drifts: How each trait has drifted, the least likely first.
        alarms: Those of them that are no chance and not small.
    """

    start: datetime.datetime | None
    examples: int
    drifts: tuple[Drift, ...]
    alarms: tuple[Drift, ...]


def compare_window(
    statistics: Mapping[str, Any], traits: Traits, start: datetime.datetime | None = None
) -> Window:
    """Compares the traits of some requests with the statistics of the export.

    A drift is an alarm if its p-value withstands the correction of Holm (1979) for all tests of
    the window at a level of 1%, and its population stability index is 0.1 at least: with many
    requests a difference that does not matter is significant too.

    Args:
        statistics: Content of statistics.json.
        traits: Values by the name of the trait; others than those of the statistics are left out.
        start: Begin of the window.
    """
    summaries = statistics["traits"]
    found = [
        drift
        for name in summaries
        if name in traits
        for drift in compare_trait(name, summaries[name], traits[name])
    ]
    found.sort(key=lambda drift: drift.p_value)
    significant = 0
    for rank, drift in enumerate(found):
        if drift.p_value * (len(found) - rank) > ALPHA:
            break
        significant += 1
    alarms = tuple(d for d in found[:significant] if d.stability_index >= CHANGE)
    count = max((len(values) for values in traits.values()), default=0)
    return Window(start, count, tuple(found), alarms)


def read_log(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yields the objects of a log of `zoo.serving.request_log.RequestLog`, which gzip may compress.

    A line that was cut off, since it is being written or its process was killed, is None.

    Raises:
        UserError: if the file is missing, or a line is not one of such a log.
    """
    try:
        content = open_bytes(path, is_gzipped(path))
        with io.TextIOWrapper(content, "utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                line = line.strip("\0")  # which a file may have after a loss of power
                if not line.strip():
                    continue
                try:
                    entry = _parse_line(line)
                    if entry is None:
                        yield None
                        continue
                    datetime.datetime.fromisoformat(entry["time"])
                    if not all(isinstance(entry[x], dict) for x in ("inputs", "outputs")):
                        raise TypeError
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise UserError(
                        f"{path}, line {number}: expected a logged request, an object with time, "
                        "model, inputs and outputs, as zoo serve-log and RequestLog write it"
                    ) from None
                yield entry
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path}: cannot be read: {reason}") from error


def _parse_line(line: str) -> Any:
    """Returns the object in a line, or None for the begin of one of a log."""
    try:
        return json.loads(line)
    except ValueError:
        if line.startswith(_BEGIN) or _BEGIN.startswith(line.strip()):
            return None
        raise


def measure_entries(entries: Iterable[Mapping[str, Any]], spec: Spec) -> Traits:
    """Returns the traits of logged requests: of the inputs that they have, and of the answers.

    Args:
        entries: Objects of a log.
        spec: Spec of the model's data.

    Returns:
        Arrays by the name of the trait. Each has the values of the entries that have the input or
        the output in clear, so that the lengths may differ.

    Raises:
        UserError: if inputs or outputs are not those of such a model.
    """
    try:
        return _measure_entries(list(entries), spec)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"the requests do not fit the model ({one_line(error)}): choose the version of "
            "the export that has answered them with --version"
        ) from error


def _measure_entries(entries: list[Mapping[str, Any]], spec: Spec) -> Traits:
    inputs = _collect([entry["inputs"] for entry in entries])
    # of pixels and of files the same is logged
    images = [image for name in ("image", "image_bytes") for image in inputs.pop(name, ())]
    traits: Traits = {k: np.asarray(x, "float64") for k, x in _collect(images).items()}
    if inputs and not images:
        traits = measure_inputs({k: _fill_gaps(v, k, spec) for k, v in inputs.items()}, spec)
    for name, values in _collect([entry["outputs"] for entry in entries]).items():
        is_class = name == "class"
        traits[name] = np.asarray(values, object if is_class else "float64")
    return traits


def _collect(rows: list[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the values of rows by name, arrays of objects, without those that are hashed."""
    lists: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if not (isinstance(value, dict) and HASH in value):
                lists.setdefault(name, []).append(value)
    columns = {}
    for name, values in lists.items():
        columns[name] = np.empty(len(values), object)
        columns[name][:] = values
    return columns


def _fill_gaps(values: np.ndarray, name: str, spec: Spec) -> np.ndarray:
    """Returns logged values as those of the signature: NaN or "" for null.

    Raises:
        ValueError: if they are lists, but for features.
    """
    if name != "features" and any(isinstance(x, list | dict) for x in values):
        raise ValueError(f"{name} has lists or objects")
    numbers = {column.name for column in spec.columns if column.kind == "number"}
    if name in numbers:
        return np.array([np.nan if x is None else x for x in values], "float64")
    if name == "features":
        rows = [[np.nan if x is None else x for x in row] for row in values]
        return np.array(rows, "float64")
    return np.array(["" if x is None else x for x in values], object)
