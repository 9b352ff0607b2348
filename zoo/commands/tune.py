"""Searches for the settings and hyperparameters of a model with the best validation score.

zoo tune --model=cnn --dataset=mnist_5k --trials=30
zoo tune --model=mlp --dataset=csv:cars.csv --label=price --monitor=mae --kfold=5
zoo tune --model=cnn '--space=learning_rate=1e-4:1e-2:log,hparam.dropout=0:0.5,optimizer=adam|sgd'
zoo tune --model=cnn --objective=accuracy,parameters     the Pareto front of both
zoo tune --model=cnn --trials=50 --workers=4             four processes share the study
zoo train --flagfile=tuning/cnn-mnist_5k/best.flags      trains the winner once more

Each trial is a training with other values, which Optuna draws; the first one is the recipe as it
stands. Without --space the learning rate, the batch size, the schedule and the hyperparameters of
the model vary; what a flag sets stays as it is. A trial is stopped if three quarters of the others
were better after half of the epochs. No trial reads the test split: the winner is trained anew at
the end, scored on it once, and exported as by `zoo train`.

The study is written to tuning/<model>-<dataset>, with best.flags, trials.csv and plots. The same
command resumes a study that was interrupted in the middle of its trial, and ends as an undisturbed
one. With more --trials it goes on.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands import train
from zoo.commands.flags import (
    PRESETS,
    define_model_flags,
    format_flagfile,
    read_data_config,
    read_model,
    read_recipe_settings,
    under_heading,
)
from zoo.commands.help import format_help
from zoo.commands.runner import command_line, import_tensorflow, parse_flags, run_command
from zoo.commands.starting_weights import adopt_preset, fit_weights_to_data
from zoo.commands.tokenizer_flags import check_tokenizer_flags
from zoo.commands.tune_workers import start_workers
from zoo.errors import UserError
from zoo.exporting.versions import check_export_name
from zoo.recipe import Recipe
from zoo.registry import Entry, find_entry, load_plugin
from zoo.schema import format_literal
from zoo.storage.atomic import check_writable
from zoo.training.run_folder import check_run_folder, choose_run_folder, open_run
from zoo.training.signals import Interrupted, advise_on_interrupt
from zoo.tuning.objectives import parse_objectives
from zoo.tuning.search_space import (
    HPARAM,
    count_combinations,
    derive_space,
    describe_space,
    format_space,
    parse_space,
)

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.data.splits import Data
    from zoo.tuning.trial_runs import Tuning

FLAGS = flags.FlagValues()
WORDS = ""
# flags of the study alone, which its trials do not have
STUDY_FLAGS = ("trials", "space", "objective", "kfold", "sampler", "workers", "run_dir",
               "overwrite", "export_dir", "export_name")  # fmt: skip
# flags that may change when a study is resumed
CHANGEABLE_FLAGS = ("data_dir", "workers", "run_dir", "overwrite", "export_dir", "export_name")
TUNING = under_heading(FLAGS, "Tuning")

define_model_flags(FLAGS)
# fmt: off
flags.DEFINE_integer("trials", 30, "Number of trials.", 1, **TUNING)
flags.DEFINE_string("space", None, "What varies, in place of all that may: NAME=LOW:HIGH, "
                    "NAME=LOW:HIGH:log or NAME=A|B|C, separated by commas. A name is a setting of "
                    "the training or hparam.NAME; alone it stands for the values that follow from "
                    "its type.", **TUNING)
flags.DEFINE_string("objective", None, "Validation score to improve: accuracy, loss, f1, auc or "
                    "calibration_error; for several labels f1, loss, mean_average_precision or "
                    "subset_accuracy; for numbers loss, mae, mse or r2. By default that of "
                    "--monitor. Several, separated by commas, give a Pareto front; after the first "
                    "they may be costs: parameters, multiply_adds or latency.", **TUNING)
flags.DEFINE_integer("kfold", None, "Number of folds of the training split; a trial is trained "
                     "once for each, and compared by the mean of their scores.", 2, **TUNING)
flags.DEFINE_enum("sampler", "tpe", ("tpe", "random"), "How values are drawn: tpe learns from the "
                  "trials before, random does not.", **TUNING)
flags.DEFINE_integer("workers", 1, "Number of processes on this machine that share the study.", 1,
                     **TUNING)
flags.DEFINE_integer("seed", 0, "Seed of the drawn values, and of the trainings and their data as "
                     "in zoo train.", 0, 2**31 - 1, **TUNING)
flags.DEFINE_string("run_dir", None, "Folder of the study; an unfinished study there is resumed. "
                    "By default tuning/<model>-<dataset>, with -2, -3, ... for other flags.",
                    **TUNING)
flags.DEFINE_bool("overwrite", False, "Deletes the study in the folder and starts over.", **TUNING)
flags.DEFINE_string("export_dir", "saved_models", "Folder of the exported winner.", **TUNING)
flags.DEFINE_string("export_name", None, "Name of the exported winner in --export_dir. By default "
                    "the name of --model.", **TUNING)
# fmt: on


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the flags ask for: the model and its settings, the data, and lines on both."""

    entry: Entry
    hparams: dict[str, Any]
    recipe: Recipe
    config: "DataConfig"
    notes: Sequence[str] = ()


def main() -> None:
    """Tunes the model that the flags describe, and trains the winner."""
    plan = _read_plan()
    import_tensorflow()
    from zoo.commands.tune_report import announce_tuning, report_tuning, work_on_trials
    from zoo.data.memory import report_unreadable_files
    from zoo.training.run_data import save_run_data
    from zoo.tuning.tuning_checks import check_tuning

    plan, data, trial_data = _load_data(plan)
    tuning = _make_tuning(plan, data)
    check_tuning(tuning, data)
    with (
        report_unreadable_files(data.train, data.validation),
        _open_study_folder(plan, tuning, data) as run_dir,
        advise_on_interrupt(f"the same command resumes {run_dir}"),
    ):
        tuning = dataclasses.replace(tuning, directory=run_dir)
        save_run_data(run_dir, data)
        announce_tuning(tuning, data, plan.notes)
        with start_workers(tuning.workers - 1, _run_worker, sys.argv[2:], run_dir):
            work_on_trials(tuning, trial_data)
        flagfile, winner_dir = report_tuning(tuning)
    _train_winner(flagfile, winner_dir)


def format_help_text() -> str:
    """Returns the text of --help; with --model also its hyperparameters and search space."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    entry = find_entry(FLAGS.model) if FLAGS.model else None
    text = format_help(__doc__, FLAGS, entry)
    if entry is None:
        return text
    space = describe_space(derive_space(entry, {}, entry.recipe, set()))
    return "\n".join([text, "", "What varies without --space, for large data:", *space])


def _read_plan() -> Plan:
    """Reads the flags, before TensorFlow is imported.

    Raises:
        UserError: if one of them is invalid, or Optuna is not installed.
    """
    entry, hparams, recipe = read_model(FLAGS)
    config = read_data_config(FLAGS, entry, FLAGS.seed)
    check_tokenizer_flags(FLAGS, None, hparams.get("preset", ""))
    parse_objectives(FLAGS.objective)
    if FLAGS.space is not None:
        parse_space(FLAGS.space, entry, hparams, recipe)
    export_name = FLAGS.export_name or entry.name
    check_export_name(export_name)
    check_writable(Path(os.path.expanduser(FLAGS.export_dir), export_name))
    check_run_folder(FLAGS.run_dir)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("Optuna is not installed: run pip install 'keras-model-zoo[tune]'")
    return Plan(entry, hparams, recipe, config)


def _load_data(plan: Plan) -> "tuple[Plan, Data, Data]":
    """Returns the plan for the preset and the data, the data, and what the trials get of them.

    They get no test split, and with --kfold the data as read: folds are prepared one by one.
    """
    from zoo.data.loading import prepare_and_fingerprint, read_data
    from zoo.training.recipe_adaptation import adapt_recipe
    from zoo.training.recipe_checks import check_recipe
    from zoo.tuning.trial_runs import hide_test_split

    plan = dataclasses.replace(plan, config=adopt_preset(plan.config, plan.entry, plan.hparams))
    raw, named = read_data(plan.config), set(read_recipe_settings(FLAGS))
    data = prepare_and_fingerprint(raw, plan.config)
    check_recipe(plan.recipe, data.spec)
    hparams, data = fit_weights_to_data(None, plan.entry, plan.hparams, data)
    recipe, notes = adapt_recipe(plan.recipe, len(data.train), None, hparams, named)
    plan = dataclasses.replace(plan, recipe=recipe, hparams=hparams, notes=notes)
    return plan, data, hide_test_split(raw if FLAGS.kfold else data)


def _make_tuning(plan: Plan, data: "Data") -> "Tuning":
    """Returns the tuning that the flags describe, without its folder."""
    from zoo.data.loading import prepare_data
    from zoo.tuning.objectives import choose_objectives
    from zoo.tuning.trial_runs import Tuning

    model = plan.entry, plan.hparams, plan.recipe
    if FLAGS.space is None:
        named = set(read_recipe_settings(FLAGS)) | {f"{HPARAM}{name}" for name in plan.hparams}
        space = derive_space(*model, named, has_text_columns=bool(data.spec.texts))
    else:
        space = parse_space(FLAGS.space, *model)

    def format_run_flags(hparams: dict[str, Any], recipe: Recipe) -> str:
        listed = [f"{k}={format_literal(v)}" for k, v in hparams.items() if k not in PRESETS]
        resolved = {"dataset": data.name, "stratify": plan.config.stratify, "hparam": listed}
        resolved |= dataclasses.asdict(recipe)
        lines = format_flagfile(FLAGS, resolved, command_line()).splitlines(keepends=True)
        return "".join(x for x in lines if x.partition("=")[0][2:] not in STUDY_FLAGS)

    return Tuning(
        directory=Path(),
        entry=plan.entry,
        hparams=plan.hparams,
        recipe=plan.recipe,
        space=space,
        objectives=choose_objectives(parse_objectives(FLAGS.objective), plan.recipe, data.spec),
        trials=min(FLAGS.trials, count_combinations(space) or FLAGS.trials),
        seed=FLAGS.seed,
        sampler=FLAGS.sampler,
        workers=FLAGS.workers,
        kfold=FLAGS.kfold,
        format_flags=format_run_flags,
        changeable_flags=CHANGEABLE_FLAGS,
        prepare=functools.partial(prepare_data, config=plan.config),
    )


@contextlib.contextmanager
def _open_study_folder(plan: Plan, tuning: "Tuning", data: "Data") -> Iterator[Path]:
    """Context manager that locks the folder of the study, and yields it.

    Raises:
        UserError: if the study there is of other flags or data. The folder is unchanged then.
    """
    from zoo.data.loading import dataset_slug
    from zoo.training.run_data import check_run_data
    from zoo.tuning.trials import JOURNAL

    def check_study(directory: Path) -> None:
        if not FLAGS.overwrite:
            check_run_data(directory, data, is_finished=(directory / JOURNAL).is_file())

    resolved = {"dataset": data.name, "stratify": plan.config.stratify}
    # the whole space, which may be another one in later versions
    resolved |= {"space": format_space(tuning.space)}
    flagfile = format_flagfile(FLAGS, resolved, command_line())
    default = Path("tuning", f"{FLAGS.model}-{dataset_slug(data.name)}")
    run_dir = choose_run_folder(
        FLAGS.run_dir, default, flagfile, CHANGEABLE_FLAGS, raisable="trials"
    )
    with open_run(
        run_dir,
        flagfile,
        free=CHANGEABLE_FLAGS,
        overwrite=FLAGS.overwrite,
        check=check_study,
        raisable="trials",
    ):
        yield run_dir


def _run_worker(argv: list[str], run_dir: Path) -> None:
    """Works on the trials in a process of its own."""

    def work() -> None:
        plan = _read_plan()
        import_tensorflow()
        from zoo.commands.tune_report import work_on_trials

        plan, data, trial_data = _load_data(plan)
        tuning = _make_tuning(plan, data)
        try:
            work_on_trials(dataclasses.replace(tuning, directory=run_dir), trial_data)
        except Interrupted as interrupted:  # the first process tells it
            sys.exit(128 + interrupted.signum)

    run_command(sys.modules[__name__], argv, work)


def _train_winner(flagfile: Path, run_dir: Path) -> None:
    """Trains, scores and exports the winner, as `zoo train` does."""
    words = [f"--flagfile={flagfile}", f"--run_dir={run_dir}"]
    names = (x for x in ("export_dir", "export_name") if FLAGS[x].value != FLAGS[x].default)
    words += [f"--{name}={FLAGS[name].value}" for name in names]
    # this is the command that the run records
    sys.argv = [sys.argv[0], "train", *words]
    print(command_line(), flush=True)
    parse_flags(train, words)
    train.main()
