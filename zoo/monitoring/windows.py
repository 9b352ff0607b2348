"""Windows of logged requests, and whether they depart from the statistics of an export."""

import dataclasses
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.monitoring.plain_traits import HASH, Traits
from zoo.monitoring.summaries import Departure, compare_trait
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
        departures: How each trait departs, the least likely first.
        alarms: Those of them that are no chance and not small.
    """

    start: datetime.datetime | None
    examples: int
    departures: tuple[Departure, ...]
    alarms: tuple[Departure, ...]


def compare_window(
    statistics: Mapping[str, Any], traits: Traits, start: datetime.datetime | None = None
) -> Window:
    """Compares the traits of some requests with the statistics of the export.

    A departure is an alarm if its p-value withstands the correction of Holm (1979) for all tests of
    the window at a level of 1%, and its population stability index is 0.1 at least: with many
    requests a difference that does not matter is significant too.

    Args:
        statistics: Content of statistics.json.
        traits: Values by the name of the trait; others than those of the statistics are left out.
        start: Begin of the window.
    """
    summaries = statistics["traits"]
    found = [
        departure
        for name in summaries
        if name in traits
        for departure in compare_trait(name, summaries[name], traits[name])
    ]
    found.sort(key=lambda departure: departure.p_value)
    significant = 0
    for rank, departure in enumerate(found):
        if departure.p_value * (len(found) - rank) > ALPHA:
            break
        significant += 1
    alarms = tuple(d for d in found[:significant] if d.stability_index >= CHANGE)
    count = max((len(values) for values in traits.values()), default=0)
    return Window(start, count, tuple(found), alarms)


def read_log(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yields the objects of a log of `zoo.serving.request_log.RequestLog`.

    A line that was cut off, since it is being written or its process was killed, is None.

    Raises:
        UserError: if the file is missing, or a line is not one of such a log.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
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
                        "model, inputs and outputs"
                    ) from None
                yield entry
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _parse_line(line: str) -> Any:
    """Returns the object in a line, or None for the begin of one of a log."""
    try:
        return json.loads(line)
    except ValueError:
        if line.startswith(_BEGIN) or _BEGIN.startswith(line.strip()):
            return None
        raise


def measure_entries(entries: Iterable[Mapping[str, Any]], spec: Spec) -> Traits:
    """Returns the traits of logged requests: of the inputs that they have, and of the answers."""
    entries = list(entries)
    inputs = _collect([entry["inputs"] for entry in entries])
    traits: Traits = {}
    images = inputs.get("image", inputs.get("image_bytes"))
    if images is not None:
        for name, values in _collect(list(images)).items():
            traits[name] = np.asarray(values, "float64")
    inputs = {name: x for name, x in inputs.items() if not _is_hashed(x)}
    if images is None and inputs:
        traits = measure_inputs({k: _fill_gaps(v, k, spec) for k, v in inputs.items()}, spec)
    for name, values in _collect([entry["outputs"] for entry in entries]).items():
        is_class = name == "class"
        traits[name] = np.asarray(values, object if is_class else "float64")
    return traits


def _collect(rows: list[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the values of rows, arrays of objects, for the names that all rows have."""
    names = [name for name in (rows[0] if rows else ()) if all(name in row for row in rows)]
    columns = {}
    for name in names:
        column = np.empty(len(rows), object)
        column[:] = [row[name] for row in rows]
        columns[name] = column
    return columns


def _is_hashed(values: np.ndarray) -> bool:
    return any(isinstance(value, dict) and HASH in value for value in values)


def _fill_gaps(values: np.ndarray, name: str, spec: Spec) -> np.ndarray:
    """Returns logged values as those of the signature: NaN or "" for null."""
    numbers = {column.name for column in spec.columns if column.kind == "number"}
    if name in numbers:
        return np.array([np.nan if x is None else x for x in values], "float64")
    if name == "features":
        rows = [[np.nan if x is None else x for x in row] for row in values]
        return np.array(rows, "float64")
    return np.array(["" if x is None else x for x in values], object)
