"""Checkpoints of a training: written atomically, with checksums; the last two are kept."""

import dataclasses
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from zoo.errors import UserError, attach_path
from zoo.storage.atomic import write_text
from zoo.storage.checksums import find_changed_files, write_checksums
from zoo.storage.json_files import read_json

_FOLDER, _DRAFT = "checkpoints", ".draft"
_VARIABLES, _STATE = "variables.npz", "state.json"
_KEPT = 2  # checkpoints


@dataclasses.dataclass
class TrainingState:
    """Where a training is, except for the values of its variables.

    Attributes:
        epoch: The current epoch, from 0.
        step: Number of its batches that were trained on.
        elapsed: Seconds that these batches took.
        seconds: Seconds of the epochs before it, with validation.
        rates: Examples per second of each epoch before it, without validation.
        history: Logs of each epoch before it.
        best: The best validation score of the epochs before it.
        waited: Number of epochs since the best one.
        best_loss: The validation loss of the best epoch.
        planned: [number of epochs, first epoch trained under it] for each number of epochs that the
            training was started or continued with; empty in checkpoints of earlier versions.
        reductions: How often the plateau schedule has reduced the learning rate.
        head_epochs: Number of epochs in which the head alone was trained; None before their end.
        learning_rate: The one after the last batch of the epoch; None before that batch.
    """

    epoch: int = 0
    step: int = 0
    elapsed: float = 0.0
    seconds: float = 0.0
    rates: list[float] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float | None = None
    waited: int = 0
    best_loss: float | None = None
    planned: list[list[int]] = dataclasses.field(default_factory=list)
    reductions: int = 0
    head_epochs: int | None = None
    learning_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files match their checksums.

    Attributes:
        path: Folder of the checkpoint.
        state: Where the training was.
    """

    path: Path
    state: TrainingState


def save_checkpoint(run_dir: Path, arrays: Sequence[np.ndarray], state: TrainingState) -> Path:
    """Writes `run_dir`/checkpoints/<next number> and removes all others except the latest.

    The files are flushed to the disk before the folder is renamed, so that neither SIGKILL nor a
    power failure leaves an incomplete checkpoint.

    Args:
        run_dir: Folder of the run.
        arrays: Values of the variables.
        state: Where the training is.

    Returns:
        The folder of the checkpoint.

    Raises:
        OSError: if it cannot be written; earlier checkpoints are unchanged.
    """
    folder = run_dir / _FOLDER
    folder.mkdir(exist_ok=True)
    draft = folder / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    with attach_path(draft / _VARIABLES):
        np.savez(draft / _VARIABLES, *arrays)
    write_text(draft / _STATE, json.dumps(dataclasses.asdict(state), indent=2) + "\n")
    write_checksums(draft, (_VARIABLES, _STATE))
    for path in (*draft.iterdir(), draft):
        _flush_to_disk(path)
    earlier = _list_checkpoints(folder)
    path = folder / str(int(earlier[-1].name) + 1 if earlier else 1)
    draft.rename(path)
    _flush_to_disk(folder)
    for old in earlier[: 1 - _KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def find_latest_checkpoint(run_dir: Path) -> tuple[Checkpoint | None, list[Path]]:
    """Returns the newest intact checkpoint, or None, and the newer ones that are damaged."""
    damaged: list[Path] = []
    for path in reversed(_list_checkpoints(run_dir / _FOLDER)):
        state = _read_state(path)
        if state is not None:
            return Checkpoint(path, state), damaged
        damaged.append(path)
    return None, damaged


def remove_checkpoints(run_dir: Path) -> None:
    """Removes the checkpoints of a run."""
    shutil.rmtree(run_dir / _FOLDER, ignore_errors=True)


def restore_checkpoint(checkpoint: Checkpoint, variables: Sequence[keras.Variable]) -> None:
    """Sets the variables to the arrays of a checkpoint, in the order they were saved in.

    Raises:
        UserError: if the number of arrays, or one of their shapes, is another.
    """
    mismatch = UserError(
        f"{checkpoint.path}: the checkpoint is of another model or another version of Keras: start "
        "over with --overwrite, or choose another folder with --run_dir"
    )
    with np.load(checkpoint.path / _VARIABLES, allow_pickle=False) as arrays:
        try:
            shapes = [arrays[name].shape for name in arrays.files]
        except ValueError:  # an array that needs unpickling
            raise mismatch from None
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise mismatch
        for variable, name in zip(variables, arrays.files, strict=True):
            variable.assign(arrays[name])


def _list_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))


def _read_state(path: Path) -> TrainingState | None:
    """Returns the state of a checkpoint, or None if it is damaged."""
    try:
        if find_changed_files(path, (_VARIABLES, _STATE)):
            return None
        with zipfile.ZipFile(path / _VARIABLES):
            pass
        return TrainingState(**read_json(path / _STATE))
    except (OSError, ValueError, TypeError, NotImplementedError, zipfile.BadZipFile):
        return None


def _flush_to_disk(path: Path) -> None:
    """Waits until a file, or the entries of a folder, are written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with attach_path(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
