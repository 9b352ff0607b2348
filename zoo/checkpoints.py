"""Checkpoints of a training: whole or not there at all, each with checksums, the last two kept."""

import dataclasses
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from zoo import checksums, faults, metadata
from zoo.errors import UserError

_FOLDER, _DRAFT = "checkpoints", ".draft"
_VARIABLES, _STATE = "variables.npz", "state.json"
_KEPT = 2


@dataclasses.dataclass
class State:
    """Where a training is, beside the values of its variables.

    Attributes:
        epoch: The epoch that is under way, from 0.
        step: Batches of it that were trained on.
        elapsed: Seconds that these took.
        seconds: What the epochs before it took, with validation.
        rates: Examples per second of each epoch before it, without validation.
        history: What was logged of each epoch before it.
        best: The best validation score of the epochs before it.
        waited: Epochs since then.
    """

    epoch: int = 0
    step: int = 0
    elapsed: float = 0.0
    seconds: float = 0.0
    rates: list[float] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float | None = None
    waited: int = 0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are as they were written.

    Attributes:
        path: Its folder.
        state: Where the training is.
    """

    path: Path
    state: State


def save(run_dir: Path, arrays: Sequence[np.ndarray], state: State) -> Path:
    """Writes `run_dir`/checkpoints/<next number> and leaves one other, the one before.

    Its files are on the disk before the folder gets its name, so that neither SIGKILL nor a power
    cut leaves a checkpoint in parts.

    Raises:
        OSError: if it cannot be written; those before are still there.
    """
    folder = run_dir / _FOLDER
    folder.mkdir(exist_ok=True)
    draft = folder / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    with faults.naming(draft / _VARIABLES):
        np.savez(draft / _VARIABLES, *arrays)
    (draft / _STATE).write_text(json.dumps(dataclasses.asdict(state), indent=2) + "\n")
    checksums.write(draft, (_VARIABLES, _STATE))
    for path in (*draft.iterdir(), draft):
        _flush(path)
    there = _numbered(folder)
    path = folder / str(int(there[-1].name) + 1 if there else 1)
    draft.rename(path)
    _flush(folder)
    for old in there[: 1 - _KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def latest(run_dir: Path) -> tuple[Checkpoint | None, list[Path]]:
    """The newest checkpoint that is whole, or None; and newer ones that are damaged."""
    damaged = []
    for path in reversed(_numbered(run_dir / _FOLDER)):
        state = _read(path)
        if state is not None:
            return Checkpoint(path, state), damaged
        damaged.append(path)
    return None, damaged


def restore(checkpoint: Checkpoint, variables: Sequence[keras.Variable]) -> None:
    """Sets the variables to the arrays that `save` was given, in the same order.

    Raises:
        UserError: if they are not as many, or not of the same shapes.
    """
    other = UserError(
        f"{checkpoint.path}: it is of another model or another version of Keras: begin anew with "
        "--overwrite, or name another --run_dir"
    )
    with np.load(checkpoint.path / _VARIABLES, allow_pickle=False) as arrays:
        try:
            shapes = [arrays[name].shape for name in arrays.files]
        except ValueError:  # it would have to be unpickled
            raise other from None
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise other
        for variable, name in zip(variables, arrays.files, strict=True):
            variable.assign(arrays[name])


def _numbered(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))


def _read(path: Path) -> State | None:
    """The state of a checkpoint, or None if it is damaged."""
    try:
        if checksums.changed(path, (_VARIABLES, _STATE)):
            return None
        with zipfile.ZipFile(path / _VARIABLES):
            pass
        return State(**metadata.read(path / _STATE))
    except (OSError, ValueError, TypeError, NotImplementedError, zipfile.BadZipFile):
        return None


def _flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
