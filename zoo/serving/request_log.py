"""A log of requests and their answers, for `zoo monitor`; it needs no TensorFlow."""

import datetime
import hashlib
import io
import json
import os
import queue
import random
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UserError
from zoo.monitoring.plain_traits import HASH, measure_answers, measure_images
from zoo.storage.atomic import check_writable

# whose answers have the class and its probability, or the number
LOGGED_SIGNATURES = ("serving_default", "image_bytes")
_QUEUED = 1_000  # requests that wait to be written; more are dropped
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
    ):
        self.path = Path(os.path.expanduser(path))
        if not 0 < share <= 1:
            raise UserError(f"share={share}: expected a number above 0, at most 1")
        if max_mib < 1 or kept < 0:
            raise UserError(f"max_mib={max_mib}, kept={kept}: expected at least 1 and 0")
        check_writable(self.path.parent)
        self.lost = 0
        self._share, self._hashed, self._dropped = share, {*hashed}, {*dropped}
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
        if self._random.random() >= self._share:
            return
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            self._queue.put_nowait((now, model, dict(inputs), dict(outputs), image_shape))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def __enter__(self) -> "RequestLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                lines = "".join(
                    f"{json.dumps(x, ensure_ascii=False)}\n" for x in self._format(item)
                )
                self._rotate(len(lines))
                with self.path.open("a", encoding="utf-8", errors="replace") as file:
                    file.write(lines)
            except Exception:  # a full disk, or inputs that are no model's: requests go on
                self.lost += 1

    def _rotate(self, size: int) -> None:
        """Renames the file if it would become too large."""
        if not self.path.exists() or self.path.stat().st_size + size <= self._max_bytes:
            return
        files = [self.path, *(Path(f"{self.path}.{i}") for i in range(1, self._kept + 1))]
        files[-1].unlink(missing_ok=True)
        for older, newer in zip(files[:0:-1], files[-2::-1], strict=True):
            if newer.exists():
                newer.rename(older)

    def _format(self, item: tuple) -> list[dict[str, Any]]:
        """Returns an object for each example of a request."""
        now, model, inputs, outputs, shape = item
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
