"""What a tuning prints and writes: a line for each trial, trials.csv and the winner's flags."""

import csv
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import format_count
from zoo.storage.atomic import replace_file, write_text
from zoo.storage.filenames import FLAGS_FILE
from zoo.tuning.objectives import Objective
from zoo.tuning.search_space import HPARAM, Space
from zoo.tuning.trial_runs import Tuning, name_trial
from zoo.tuning.trials import COMPLETE, FAILED, PRUNED, Trial, choose_best

TRIALS_FILE, WINNER_FLAGS = "trials.csv", "best.flags"


def format_trial(trial: Trial, trials: Sequence[Trial], tuning: Tuning) -> str:
    """Formats a finished trial as one line, with the best one so far and the time left.

    Args:
        trial: The trial.
        trials: All finished trials.
        tuning: The tuning.
    """
    objectives = tuning.objectives
    parts = [f"trial {trial.number}/{tuning.trials}"]
    if trial.state == COMPLETE:
        parts.append(format_objectives(trial, objectives))
    elif trial.state == PRUNED:
        step, score = max(trial.progress.items())
        unit = "fold" if tuning.kfold else "epoch"
        parts.append(f"pruned after {unit} {step} at {objectives[0].epoch_score} {score:.5g}")
    else:
        parts.append(f"failed: {trial.reason}")
    best = choose_best(trials, objectives)
    if best:
        parts.append(f"best {objectives[0].format(best.objectives[0])} (trial {best.number})")
    parts.append(f"{trial.seconds:.1f} s")
    mean = statistics.mean(other.seconds for other in trials)
    remaining = mean * (tuning.trials - len(trials)) / tuning.workers
    if remaining:
        parts.append(f"(about {remaining:.0f} s left)")
    return "  ".join([*parts, format_values(trial)])


def format_objectives(trial: Trial, objectives: Sequence[Objective]) -> str:
    """Formats the objectives of a complete trial."""
    pairs = zip(objectives, trial.objectives, strict=True)
    return ", ".join(objective.format(value) for objective, value in pairs)


def format_values(trial: Trial) -> str:
    """Formats the values of a trial."""
    return " ".join(f"{name.removeprefix(HPARAM)}={x}" for name, x in trial.values.items())


def write_trials(
    trials: Sequence[Trial], objectives: Sequence[Objective], space: Space, path: Path
) -> None:
    """Writes a table of the trials: number, state, objectives, epochs, seconds, values, reason."""
    names = [objective.name for objective in objectives]
    with replace_file(path) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", *names, "epochs", "seconds", *space, "reason"])
        for trial in trials:
            scores = trial.objectives or [""] * len(names)
            values = [trial.values[name] for name in space]
            numbers = (trial.epochs, trial.seconds)
            writer.writerow([trial.number, trial.state, *scores, *numbers, *values, trial.reason])


def write_winner_flags(tuning: Tuning, best: Trial, command: str) -> Path:
    """Writes the flags that train the winner, best.flags, and returns its path.

    Args:
        tuning: The tuning.
        best: The winner.
        command: The command line of the tuning.
    """
    run_dir = tuning.directory / name_trial(best.number)
    source = run_dir / ("fold-1" if tuning.kfold else "") / FLAGS_FILE
    lines = source.read_text("utf-8").splitlines()
    split = f"{tuning.kfold} folds" if tuning.kfold else "the validation split"
    path = tuning.directory / WINNER_FLAGS
    comments = [
        f"# trial {best.number} of {tuning.trials}, {format_objectives(best, tuning.objectives)} "
        f"on {split}",
        f"# zoo train {shlex.quote(f'--flagfile={path}')}",
        f"# found by {command}",
    ]
    flags = [line for line in lines if not line.startswith("#")]
    write_text(path, "\n".join([*comments, *flags]) + "\n")
    return path


def summarize_failures(trials: Sequence[Trial]) -> str:
    """Returns why there is no winner: none of the trials is complete."""
    reasons = [trial.reason for trial in trials if trial.state == FAILED]
    last = f"the last one: {reasons[-1]}" if reasons else "raise --trials"
    return f"none of {format_count(len(trials), 'trial')} could be trained: {last}"
