"""A log of requests and their answers, for `zoo monitor`; it needs no TensorFlow."""

import datetime
import hashlib
import io
import json
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from zoo.errors import UserError, format_count, one_line, shorten_names
from zoo.monitoring.plain_traits import HASH, measure_answers, measure_images
from zoo.storage.atomic import check_writable

# whose answers have the class and its probability, or the number
LOGGED_SIGNATURES = ("serving_default", "image_bytes")
_QUEUED = 1_000  # requests that wait to be written; more are dropped
_WAITING_BYTES = 256 << 20
_REPORT_SECONDS = 60.0  # between reports of what is lost
_TEXT = 2_000  # characters of a text that are kept
_SALT = 16  # bytes


class RequestLog:
    """Writes a share of the requests to a file, one JSON object per example and line.

    A thread writes them, so that no request waits. What cannot be written, since the disk is full
    or requests come faster than that, is dropped and counted. Pixels are not kept: images are
    logged by their brightness, contrast and detail.

    Args:
        path: The file, such as requests.jsonl.
        share: Share of the requests that are logged, drawn at random.
        hashed: Inputs whose values are replaced by a hash, with a salt of this log's own.
        dropped: Inputs that are left out.
        max_mib: Size in MiB at which the file becomes `path`.1, and that `path`.2 and so on.
        kept: Number of these older files.
        report: Is called with a sentence when requests are lost, at most once a minute, and when a
            model has no input that is to be hashed or left out.

    Raises:
        UserError: if the file cannot be written, or a number is out of range.

    Examples:
        >>> from zoo.serving.request_log import RequestLog
        >>> with RequestLog("requests.jsonl", share=0.1, hashed=("name",)) as log:
        ...     log.add("cars", {"name": ["Ann"], "age": [40.0]}, {"prediction": [3.5]})
        >>> log.lost
        0
    """

    def __init__(
        self,
        path: str | Path,
        *,
        share: float = 1.0,
        hashed: Collection[str] = (),
        dropped: Collection[str] = (),
        max_mib: int = 64,
        kept: int = 4,
        report: Callable[[str], None] | None = None,
    ):
        self.path = Path(os.path.expanduser(path))
        if not 0 < share <= 1:
            raise UserError(f"share={share}: expected a number above 0, at most 1")
        if max_mib < 1 or kept < 0:
            raise UserError(f"max_mib={max_mib}, kept={kept}: expected at least 1 and 0")
        check_writable(self.path.parent)
        self.lost = 0
        self._report, self._reported, self._last_report, self._problem = report, 0, -math.inf, ""
        self._waiting_bytes, self._lock = 0, threading.Lock()
        self._share, self._hashed, self._dropped = share, {*hashed}, {*dropped}
        self._models, self._unmatched = set[str](), self._hashed | self._dropped
        self._max_bytes, self._kept = max_mib << 20, kept
        self._random, self._salt = random.Random(), os.urandom(_SALT)
        self._queue: queue.Queue[tuple | None] = queue.Queue(_QUEUED)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def add(
        self,
        model: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        image_shape: tuple[int | None, ...] = (),
    ) -> None:
        """Logs one request, or leaves it out; it never waits and never raises an error.

        Args:
            model: Name of the model.
            inputs: Arrays or lists by name, the examples first.
            outputs: The answer, as `serving_default` gives it.
            image_shape: (rows, columns, channels) of the model's images, which image files are
                resized to before they are measured.
        """
        if self.draw_request():
            values = dict(inputs), dict(outputs), image_shape
            self.add_drawn(model, lambda: values)

    def draw_request(self) -> bool:
        """Returns whether the next request is one of those that are logged."""
        return self._random.random() < self._share

    def add_drawn(
        self, model: str, parse: Callable[[], tuple[dict, dict, tuple] | None], size: int = 0
    ) -> None:
        """Logs a request that was drawn; it never waits and never raises an error.

        Args:
            model: Name of the model.
            parse: Returns inputs, outputs and image shape as those of `add`, or None for a request
                that is not logged. The thread that writes calls it.
            size: Bytes that it holds; of more than 256 MiB that wait, requests are dropped.
        """
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            with self._lock:
                if self._waiting_bytes + size > _WAITING_BYTES:
                    raise queue.Full
                self._queue.put_nowait((now, model, parse, size))
                self._waiting_bytes += size
        except queue.Full:
            self._lose_request("they come faster than they are written")

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._report_losses(0)

    def __enter__(self) -> "RequestLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            now, model, parse, size = item
            try:
                if values := parse():
                    self._check_names(model, values[0])
                    self._append(self._format(now, model, *values))
            except Exception as error:  # a full disk, or inputs that are no model's: requests go on
                self._lose_request(one_line(error) or type(error).__name__)
            with self._lock:
                self._waiting_bytes -= size
            self._report_losses(_REPORT_SECONDS)

    def _check_names(self, model: str, inputs: dict[str, Any]) -> None:
        """Reports names to hash or leave out that no input has had, once for each model."""
        self._unmatched -= inputs.keys()
        if model not in self._models:
            self._models.add(model)
            if self._report and self._unmatched:
                self._report(
                    f"{self.path}: {model} has no input {' or '.join(sorted(self._unmatched))} to "
                    f"hash or leave out: it has {shorten_names(inputs)}"
                )

    def _append(self, entries: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(x, ensure_ascii=False)}\n" for x in entries)
        content = lines.encode("utf-8", "replace")
        self._rotate(len(content))
        with self.path.open("a+b", buffering=0) as file:
            append_lines(file, content)

    def _lose_request(self, problem: str) -> None:
        with self._lock:
            self.lost, self._problem = self.lost + 1, problem

    def _report_losses(self, seconds: float) -> None:
        """Reports what was lost since the last report, if that was some seconds ago."""
        lost, now = self.lost - self._reported, time.monotonic()
        if self._report and lost and now - self._last_report >= seconds:
            self._reported, self._last_report = self.lost, now
            self._report(
                f"{self.path}: {format_count(lost, 'request')} of those to be logged are lost: "
                f"{self._problem}"
            )

    def _rotate(self, size: int) -> None:
        """Renames the file if it would become too large."""
        if not self.path.exists() or self.path.stat().st_size + size <= self._max_bytes:
            return
        files = [self.path, *(Path(f"{self.path}.{i}") for i in range(1, self._kept + 1))]
        files[-1].unlink(missing_ok=True)
        for older, newer in zip(files[:0:-1], files[-2::-1], strict=True):
            if newer.exists():
                newer.rename(older)

    def _format(
        self,
        now: datetime.datetime,
        model: str,
        inputs: dict[str, Any],
        outputs: dict[str, Any],
        shape: tuple,
    ) -> list[dict[str, Any]]:
        """Returns an object for each example of a request."""
        kept = {name: x for name, x in inputs.items() if name not in self._dropped}
        columns = {name: self._format_input(name, x, shape) for name, x in kept.items()}
        answers = {name: x.tolist() for name, x in measure_answers(outputs).items()}
        count = len(next(iter(answers.values())))
        return [
            {
                "time": now.isoformat(timespec="milliseconds"),
                "model": model,
                "inputs": {name: x[i] for name, x in columns.items()},
                "outputs": {name: x[i] for name, x in answers.items()},
            }
            for i in range(count)
        ]

    def _format_input(self, name: str, values: Any, shape: tuple) -> list:
        """Returns the values of an input, one for each example, as JSON has them."""
        if name in self._hashed:
            return [self._hash(value) for value in values]
        if name == "image_bytes":
            return [_measure_image(_read_pixels(content, shape)) for content in values]
        if name == "image":
            return [_measure_image(image) for image in np.asarray(values, "uint8")]
        return [_to_json(value) for value in values]

    def _hash(self, value: Any) -> dict[str, str]:
        content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
        return {HASH: hashlib.blake2b(content, digest_size=8, key=self._salt).hexdigest()}


def append_lines(file: IO[bytes], content: bytes) -> None:
    """Appends whole lines to an unbuffered file, or nothing.

    A last line that was cut off, since a process was killed, is ended first.

    Raises:
        OSError: if they cannot be written, as on a full disk.
    """
    start = file.seek(0, os.SEEK_END)
    if start:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            content = b"\n" + content
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        file.truncate(start)
        raise


def _read_pixels(content: bytes, shape: tuple) -> np.ndarray:
    """Returns an image file as pixels of the model's shape, uint8."""
    from PIL import Image

    rows, columns, channels = shape
    with Image.open(io.BytesIO(content)) as image:
        small = image.convert("L" if channels == 1 else "RGB").resize((columns, rows))
    return np.asarray(small, "uint8").reshape(rows, columns, channels)


def _measure_image(pixels: np.ndarray) -> dict[str, float]:
    return {k: float(f"{x[0]:.5g}") for k, x in measure_images(pixels[None]).items()}


def _to_json(value: Any) -> Any:
    """Returns a value as JSON has it; NaN is null, and a long text is cut."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, np.ndarray | list | tuple):
        return [_to_json(item) for item in value]
    number = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(number, float) and not np.isfinite(number) else number
