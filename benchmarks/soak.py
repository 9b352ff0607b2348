"""Interrupts a training at seeded moments, over and over, and resumes it each time.

python -m benchmarks.soak --kills=100 -- --model=cnn --dataset=mnist_5k --epochs=4
python -m benchmarks.soak --kills=50 -- --model=cnn --dataset=mnist_5k --accumulate_steps=4
python -m benchmarks.soak --kills=20 -- --model=lstm --dataset=synthetic_reviews --epochs=2

It is ended by SIGKILL, SIGTERM or SIGINT, or by a disk that is full from then on (a limit on the
size of files), at certain points of the code (with --accumulate_steps also between two
micro-batches) and at random times. What comes out has to be what comes out of a run that was never
cut off, bit for bit: the weights, the state of the optimizer and the metrics, history.csv and the
scores in metrics.json.
"""

import collections
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from zoo.commands import train
from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, run_command
from zoo.errors import UserError

FLAGS = flags.FlagValues()
WORDS = "TRAINING_FLAG..."
SOAK = under_heading(FLAGS, "Soak")
flags.DEFINE_integer("kills", 10, "How often the training is interrupted.", 1, **SOAK)
flags.DEFINE_integer("moments", 0, "Seed of the moments and of the kinds.", 0, **SOAK)

# by its name: the exit code of a training that ends so
KINDS = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, "a full disk": 2}
RANDOM_TIME = "at a random time"
# of metrics.json, what is a matter of time and place
_TIMES = {"seconds", "examples_per_second", "peak_memory_mib", "command", "export", "formats"}


def main(*command: str) -> None:
    """Runs the training undisturbed, then with the interruptions, and compares."""
    import_tensorflow()
    random, points = np.random.default_rng(FLAGS.moments), list_points()
    count, left = collections.Counter[str](), FLAGS.kills
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, number, started = Path(folder, "undisturbed"), 0, time.monotonic()
        if _run(command, undisturbed) != 0:
            raise UserError(f"the training itself fails: {' '.join(command)}")
        duration = time.monotonic() - started
        while left:
            run, kills = Path(folder, f"interrupted-{number}"), 0
            for name in _order_points(points, random)[:left]:
                kind = str(random.choice([*KINDS]))
                if name == RANDOM_TIME and kind == "a full disk":
                    kind = "SIGKILL"
                code = _run(command, run, points[name], kind, random.uniform(0.3, duration), random)
                if code == 0:  # it came to its end before
                    break
                if code != KINDS[kind]:
                    raise UserError(f"{run}: it ended with code {code} by {kind} {name}")
                print(f"killed {name} by {kind}", flush=True)
                count[kind] += 1
                kills += 1
            if (code := _run(command, run)) != 0:
                raise UserError(f"{run}: it ended with code {code} after {kills} kills")
            _compare(undisturbed, run)
            print(f"{kills} kills: the same to the last bit", flush=True)
            left -= kills
            number += 1
    kinds = ", ".join(f"{count[kind]} by {kind}" for kind in KINDS)
    print(f"{count.total()} kills of {number} trainings ({kinds}): all the same to the last bit")


def list_points() -> dict[str, tuple[Any, str, int] | None]:
    """Returns where a training is interrupted, in the order of a training.

    It is a function, by the module or class that it is looked up in, and how many of its calls may
    pass before; None for a random time.
    """
    from zoo.evaluation import scoring
    from zoo.exporting import saved_model
    from zoo.storage import checksums
    from zoo.training import callbacks, checkpoints

    return {
        RANDOM_TIME: None,
        "in an epoch": (callbacks.CheckpointCallback, "on_train_batch_end", 5),
        "at the end of an epoch": (callbacks.CheckpointCallback, "on_epoch_end", 1),
        "in validation": (callbacks.CheckpointCallback, "on_test_batch_end", 2),
        "while a checkpoint is written": (checksums, "compute_sha256", 2),
        "before a checkpoint gets its name": (checkpoints, "_flush_to_disk", 5),
        "while history.csv is written": (callbacks.csv, "DictWriter", 1),
        "while the test split is scored": (scoring, "evaluate_model", 1),
        "while an export is written": (saved_model, "_complete_signatures", 1),
        "while an export is checked": (saved_model, "verify_export", 1),
        "before an export is published": (saved_model, "_publish_version", 1),
    }


def _order_points(points: dict[str, Any], random: np.random.Generator) -> list[str]:
    """Returns the points in random order, those after the epochs last."""
    names = [*points]
    first = names.index("while the test split is scored")
    return [
        *map(str, random.permutation(names[:first])),
        *map(str, random.permutation(names[first:])),
    ]


def _run(
    command: tuple[str, ...],
    run: Path,
    point: tuple[Any, str, int] | None = None,
    kind: str = "",
    seconds: float = 0.0,
    random: np.random.Generator | None = None,
) -> int:
    """Trains in a process of its own, and returns its exit code.

    Args:
        command: The flags of the training.
        run: Folder of the run.
        point: Where it is interrupted; None for after the seconds, if there is a kind.
        kind: How it is interrupted, one of KINDS; empty for not at all.
        seconds: When it is interrupted, if at no point.
        random: Draws the number of calls that pass before.
    """
    if point and random:
        owner, name, most = point
        _arm(owner, name, int(random.integers(1, most + 1)), kind)
    # TensorFlow is imported, which takes longest, but has not begun to work: a fork is safe
    process = multiprocessing.get_context("fork").Process(target=_train, args=(command, run))
    process.start()
    if kind and not point:
        process.join(seconds)
        if process.is_alive():
            os.kill(process.pid or 0, getattr(signal, kind))
    process.join()
    if point:
        setattr(owner, name, getattr(owner, name).before)
    return process.exitcode or 0


def _arm(owner: Any, name: str, calls: int, kind: str) -> None:
    """Replaces a function by one that interrupts this process at one of its calls."""
    before, left = getattr(owner, name), calls

    def interrupt(*args, **kwargs):
        nonlocal left
        left -= 1
        if not left and kind == "a full disk":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        elif not left:
            os.kill(os.getpid(), getattr(signal, kind))
        return before(*args, **kwargs)

    interrupt.before = before
    setattr(owner, name, interrupt)


def _train(command: tuple[str, ...], run: Path) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    exports = run.with_name(f"{run.name}-exports")
    places = [f"--run_dir={run}", f"--export_dir={exports}", "--checkpoint_every=7"]
    sys.argv = ["train.py", *command, *places]
    run_command(train, sys.argv[1:])


def _compare(undisturbed: Path, killed: Path) -> None:
    """Raises AssertionError where two finished runs differ."""
    from zoo.training.checkpoints import find_latest_checkpoint

    ends = [find_latest_checkpoint(run)[0] for run in (undisturbed, killed)]
    first, second = (dict(np.load(end.path / "variables.npz")) for end in ends)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], f"variable {name}")
    rows = [(run / "history.csv").read_bytes() for run in (undisturbed, killed)]
    assert rows[0] == rows[1], "history.csv differs"
    records = [json.loads((run / "metrics.json").read_text()) for run in (undisturbed, killed)]
    for name in records[0].keys() - _TIMES:
        assert records[0][name] == records[1][name], f"metrics.json: {name} differs"
    for name in ("best.keras", "last.keras"):
        first, second = (_weights(run / name) for run in (undisturbed, killed))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b, name)


def _weights(path: Path) -> list[np.ndarray]:
    """The arrays of a .keras file, without the work that Keras itself would begin."""
    import io
    import zipfile

    import h5py

    arrays = []
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(
            lambda name, item: arrays.append(item[()]) if hasattr(item, "shape") else None
        )
    return arrays


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
