"""What the workers of a training must have in common, compared before it starts.

Each worker reads its own share of a batch and makes the same steps as the others. With other data,
flags or checkpoints they would train on something else, or wait for each other without end.
"""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from zoo.data.fingerprint import compare_fingerprints
from zoo.data.splits import Arrays, Data
from zoo.distribution.keras_patches import spans_workers
from zoo.distribution.multi_worker import exchange_texts, get_cluster
from zoo.errors import UserError
from zoo.training.checkpoints import Checkpoint
from zoo.training.run_data import compare_starts, describe_run
from zoo.training.run_folder import parse_flagfile


def check_same_inputs(
    strategy: tf.distribute.Strategy, data: Data, flags: str, free: Container[str]
) -> None:
    """Checks that all workers have the same flags, versions and data; all must call this.

    Args:
        strategy: The strategy; nothing is checked for one process.
        data: The data of this worker, with its fingerprint.
        flags: The flags of this worker, as in flags.txt.
        free: Names of flags that may differ.

    Raises:
        UserError: on all workers, if one differs from worker 0.
    """
    if not spans_workers(strategy):
        return
    mine = describe_run(data) | {
        "flags": {name: value for name, value in parse_flagfile(flags).items() if name not in free},
        "in memory": [isinstance(x, Arrays) for x in (data.train, data.validation)],
    }
    for index, theirs in _exchange(strategy, mine):
        worker = get_cluster(strategy).format_workers([index])
        if problem := find_difference(theirs[0], theirs[1], index):
            raise UserError(f"{worker} {problem}")


def check_same_start(
    strategy: tf.distribute.Strategy,
    run_dir: Path,
    start: Checkpoint | None,
    is_finished: bool,
    model: Mapping[str, Any],
) -> None:
    """Checks that all workers start from the same model and checkpoint; all must call this.

    Args:
        strategy: The strategy; nothing is checked for one process.
        run_dir: Folder of the run.
        start: The checkpoint that this worker found there.
        is_finished: Whether this worker found a finished run there.
        model: What `describe_start` returns of its model.

    Raises:
        UserError: on all workers, if one does not find what worker 0 does, or has another model.
    """
    if not spans_workers(strategy):
        return
    found = (
        f"step {start.state.step} of epoch {start.state.epoch + 1}" if start else "no checkpoint"
    )
    mine = {"found": "a finished run" if is_finished else found, "model": dict(model)}
    for index, pair in _exchange(strategy, mine):
        worker = get_cluster(strategy).format_workers([index])
        if problem := compare_starts(pair[0]["model"], pair[1]["model"]):
            raise UserError(f"{worker} differs from worker 0: {problem} on all workers")
        first, other = (content["found"] for content in pair)
        if first != other:
            raise UserError(
                f"{run_dir}: worker 0 found {first} there, {worker} {other}: all workers have to "
                "read the same folder: choose one that they share with --run_dir, or start over "
                "with --overwrite"
            )


def find_difference(first: dict[str, Any], other: dict[str, Any], index: int) -> str:
    """Returns how a worker differs from worker 0 and what to do; empty if it does not."""
    for kind in ("flags", "versions"):
        old, new = first[kind], other[kind]
        changed = [
            f"{name} is {new.get(name, 'not set')}, not {old.get(name, 'not set')}"
            for name in dict.fromkeys([*old, *new])
            if old.get(name) != new.get(name)
        ]
        if changed:
            advice = "start" if kind == "flags" else "install"
            return (
                f"has other {kind} than worker 0 ({'; '.join(changed)}): {advice} the same on all "
                "workers"
            )
    if differences := compare_fingerprints(first["data"], other["data"]):
        return (
            f"has other data than worker 0 (of worker 0, then of worker {index}: "
            f"{'; '.join(differences)}): copy the same data to all workers"
        )
    if first["in memory"] != other["in memory"]:
        return (
            "holds other splits in memory than worker 0: start all workers with the same "
            "--memory_budget"
        )
    return ""


def _exchange(strategy: tf.distribute.Strategy, content: Any) -> list[tuple[int, tuple[Any, Any]]]:
    """Returns (index, (content of worker 0, its content)) for each of the other workers."""
    first, *others = map(json.loads, exchange_texts(strategy, json.dumps(content)))
    return [(index, (first, other)) for index, other in enumerate(others, 1)]
