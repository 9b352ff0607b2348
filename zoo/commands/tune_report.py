"""What `zoo tune` prints, and writes at the end of a study."""

from collections.abc import Sequence
from pathlib import Path

from zoo.commands.runner import command_line, print_lines, print_notes, print_warning
from zoo.data.splits import Data
from zoo.errors import UserError, format_count
from zoo.training.model_checks import describe_labels
from zoo.tuning.plots import plot_front, plot_history, plot_importance, plot_parallel
from zoo.tuning.results import (
    TRIALS_FILE,
    WINNER_FLAGS,
    format_objectives,
    format_trial,
    format_values,
    summarize_failures,
    write_trials,
    write_winner_flags,
)
from zoo.tuning.sampling import find_front, measure_importance
from zoo.tuning.search_space import count_combinations, describe_space, read_present_values
from zoo.tuning.trial_runs import Tuning, name_trial
from zoo.tuning.trial_schedule import run_trials
from zoo.tuning.trials import load_trials, open_journal, rank_trials


def announce_tuning(tuning: Tuning, data: Data, notes: Sequence[str]) -> None:
    """Prints the data, the search space, notes on the recipe, and where the study stands."""
    print_notes(data.notes)
    print_warning(describe_labels(data))
    print(
        f"{tuning.entry.name} on {data.name}: {len(data.train):,} examples to train on, "
        f"{len(data.validation):,} to validate; the {len(data.test):,} to test score the winner "
        "alone"
    )
    scored = f"{tuning.kfold} folds" if tuning.kfold else "the validation split"
    names = ", ".join(objective.name for objective in tuning.objectives)
    print(f"{format_count(tuning.trials, 'trial')}, compared by {names} on {scored}, vary:")
    print(*describe_space(tuning.space), sep="\n")
    combinations = count_combinations(tuning.space)
    if combinations == tuning.trials:
        print(f"the space has {format_count(combinations, 'combination')}")
    _, outside = read_present_values(tuning.space, tuning.entry, tuning.hparams, tuning.recipe)
    if outside:
        print_warning(
            f"no trial is the recipe as it stands: the space lacks its {', '.join(outside)}"
        )
    else:
        print("trial 1 is the recipe as it stands")
    print_lines(notes)
    finished = len(load_trials(open_journal(tuning.directory, tuning.objectives)))
    if finished:
        print(format_count(finished, "trial is finished", "trials are finished"))
    print(end="", flush=True)


def work_on_trials(tuning: Tuning, data: Data) -> None:
    """Trains trials until none is left; prints a line for each, and keeps trials.csv up to date."""
    study = open_journal(tuning.directory, tuning.objectives)
    for trial in run_trials(tuning, data):
        trials = load_trials(study)
        write_trials(trials, tuning.objectives, tuning.space, tuning.directory / TRIALS_FILE)
        print(format_trial(trial, trials, tuning), flush=True)


def report_tuning(tuning: Tuning) -> tuple[Path, Path]:
    """Prints the winner, and writes its flags and the plots.

    Returns:
        The flagfile of the winner, and the folder for its run.

    Raises:
        UserError: if no trial could be trained.
    """
    folder, objectives = tuning.directory, tuning.objectives
    trials = load_trials(open_journal(folder, objectives))
    if not (ranked := rank_trials(trials, objectives)):
        raise UserError(summarize_failures(trials))
    best, first = ranked[0], objectives[0]
    write_trials(trials, objectives, tuning.space, folder / TRIALS_FILE)
    flagfile = write_winner_flags(tuning, best, command_line())
    plot_history(trials, first, folder / "history.png")
    plot_parallel(trials, tuning.space, first, folder / "parallel.png")
    files = [WINNER_FLAGS, TRIALS_FILE, "history.png", "parallel.png"]
    if importance := measure_importance(trials, first, tuning.space):
        plot_importance(importance, first, folder / "importance.png")
        files.append("importance.png")
    if len(objectives) > 1:
        plot_front(trials, objectives, folder / "front.png")
        files.append("front.png")
        print("Pareto front:")
        for trial in find_front(trials, objectives):
            flags = folder / name_trial(trial.number) / "flags.txt"
            print(f"  {format_objectives(trial, objectives)}  {format_values(trial)}  {flags}")
    scores = format_objectives(best, objectives)
    print(f"best: trial {best.number}, {scores}, {format_values(best)}")
    present, _ = read_present_values(tuning.space, tuning.entry, tuning.hparams, tuning.recipe)
    for trial in ranked[1:]:
        if trial.values == present:
            scores = format_objectives(trial, objectives)
            print(f"the recipe as it stands: trial {trial.number}, {scores}")
    print(f"study: {folder}  ({', '.join(files)})", flush=True)
    return flagfile, folder / f"winner-{best.number:04}"
