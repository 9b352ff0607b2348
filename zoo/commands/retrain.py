"""Trains the served version of a model further on new data, and promotes it if it is better.

zoo retrain --model=mlp --dataset=csv:new.csv
zoo retrain --model=mlp --dataset=csv:new.csv --epochs=3 --learning_rate=1e-4
zoo retrain --model=mlp --dataset=csv:new.csv --promote_if=0.01 --server=localhost:8501

The served version is the one with the label stable, or else the newest one, which gets the label.
The training starts from its weights and its flags, and adds the new dataset, which has to have the
same columns and classes, to the old one. Both are divided on their own, so that the held-out rows
are those that neither version has been trained on. On these both are scored, in pairs.

If the 95% interval of the gain is above --promote_if, the label stable moves to the new version, as
`zoo label` moves it; otherwise the new version gets the label candidate. The gain is that of the
accuracy, or of micro F1 for several labels, or the share by which the mean absolute error of a
regression is smaller. The same command resumes a run that was interrupted.
"""

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.commands import train
from zoo.commands.flags import define_recipe_flags, read_recipe_settings, under_heading
from zoo.commands.label import assign_label, define_label_flags
from zoo.commands.runner import command_line, import_tensorflow, parse_flags, print_warning
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.serving.exports import list_exports
from zoo.serving.version_labels import list_labels
from zoo.storage.filenames import METRICS, RETRAINING
from zoo.storage.json_files import read_json, write_json

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.training.source import Source

FLAGS = flags.FlagValues()
WORDS = ""
STABLE, CANDIDATE = "stable", "candidate"
MODEL, DATA, RUN = (under_heading(FLAGS, title) for title in ("Model", "Data", "Run"))

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model.", **MODEL)
flags.DEFINE_float("promote_if", 0.0, "The new version is promoted if the 95% interval of its gain "
                   "is above this share: 0.01 for a point of accuracy, -0.01 to promote what is at "
                   "most a point worse.", -1, 1, **MODEL)
flags.DEFINE_string("dataset", None, "The new data, named as in zoo train.", **DATA)
flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS datasets.", **DATA)
flags.DEFINE_bool("skip_broken", None, "Leaves out images of a folder that cannot be read.", **DATA)
flags.DEFINE_integer("memory_budget", None, "MiB of decoded data to load into memory. By default a "
                     "quarter of the memory.", 0, **DATA)
flags.DEFINE_string("run_dir", None, "Folder of the run. By default runs/<model>-<dataset>, with "
                    "-2, -3, ... for other flags.", **RUN)
flags.DEFINE_bool("overwrite", False, "Deletes the run in the folder and starts over.", **RUN)
# fmt: on
define_recipe_flags(FLAGS)
define_label_flags(FLAGS)


def main() -> None:
    """Trains the next version, compares it with the served one, and sets a label."""
    if not FLAGS.model or not FLAGS.dataset:
        raise UserError(
            "expected an exported model and new data, as in zoo retrain --model=mlp "
            "--dataset=csv:new.csv"
        )
    if os.environ.get("TF_CONFIG"):
        raise UserError("TF_CONFIG is set, but zoo retrain trains in one process: unset TF_CONFIG")
    number, path, is_labelled = _find_served_version()
    import_tensorflow()
    from zoo.exporting.loading import open_source

    served = open_source(path)
    config = _read_config(served)
    _check_old_data(served, config)
    print(
        f"{FLAGS.model}: version {number}, trained on {_name_data(config)}, goes on with "
        f"{FLAGS.dataset}",
        flush=True,
    )
    parse_flags(train, _format_flags(served, config))
    run_dir = train.main()
    assert run_dir is not None
    if not is_labelled:
        assign_label(FLAGS, FLAGS.model, str(number), STABLE)
    _promote(run_dir, served, number, config)


def _find_served_version() -> tuple[int, Path, bool]:
    """Returns the number and the folder of the served version, and whether it is labelled.

    Raises:
        UserError: if there is no such model.
    """
    directory = Path(os.path.expanduser(FLAGS.export_dir))
    versions = list_exports(directory).get(FLAGS.model)
    if not versions:
        raise UserError(
            f"{directory / FLAGS.model}: there is no export to go on with: train one with zoo train"
        )
    labels = list_labels(directory, FLAGS.model)
    number = labels.get(STABLE, max(versions))
    return number, versions[number], STABLE in labels


def _read_config(served: "Source") -> "DataConfig":
    """Returns the settings that the data of the served version was read with.

    Raises:
        UserError: if they are not known, or it was trained on the new data already.
    """
    from zoo.data.config import DataConfig
    from zoo.evaluation.datasets import adopt_data_settings

    record = served.record
    if not {"recipe", "dataset", "spec", "model"} <= record.keys():
        raise UserError(
            f"{served.path}: it does not tell how it was trained, as exports of zoo.export do not: "
            "train it with zoo train"
        )
    budget = FLAGS.memory_budget
    config = DataConfig(
        data_dir=FLAGS.data_dir,
        skip_broken=bool(FLAGS.skip_broken),
        seed=record.get("seed", 0),
        memory_budget=None if budget is None else budget << 20,
    )
    config = adopt_data_settings(config, record, served.spec)
    if FLAGS.dataset in (config.name, *config.added):
        raise UserError(
            f"--dataset={FLAGS.dataset}: {served.path} was trained on it already: pass data that "
            "is new to it"
        )
    return config


def _name_data(config: "DataConfig") -> str:
    return " and ".join((str(config.name), *config.added))


def _check_old_data(served: "Source", config: "DataConfig") -> None:
    """Checks that the data of the served version is what it was, with the same held-out rows.

    Raises:
        UserError: if it is another one.
    """
    from zoo.data.fingerprint import compare_fingerprints, compute_fingerprint
    from zoo.data.loading import read_data

    fingerprint = served.record.get("fingerprint")
    if not isinstance(fingerprint, dict):  # of a version before 0.2
        print_warning(f"{served.path}: it is not known whether {_name_data(config)} has changed")
        return
    # a version that was trained from weights has read the columns as these have them
    for columns in ((), config.known_columns):
        data = read_data(dataclasses.replace(config, known_columns=columns))
        differences = compare_fingerprints(fingerprint, compute_fingerprint(data, served.spec))
        if not differences:
            return
    raise UserError(
        f"{served.path}: {_name_data(config)} is not what it was trained on "
        f"({'; '.join(differences)}), so it may have seen the rows that it is scored on: "
        "restore the data"
    )


def _format_flags(served: "Source", config: "DataConfig") -> list[str]:
    """Returns the flags of zoo train that train the next version."""
    record = served.record
    settings = record["recipe"] | read_recipe_settings(FLAGS)
    settings = {field.name: settings.get(field.name) for field in dataclasses.fields(Recipe)}
    image_size = config.image_size and ",".join(map(str, config.image_size))
    values = {
        "model": record["model"],
        "weights": served.path,
        "plugin": record.get("plugin"),
        "dataset": config.name,
        "add_dataset": [*config.added, FLAGS.dataset],
        "text": ",".join(f'"{name}"' if "," in name else name for name in config.text),
        "columns": ",".join(
            f'"{name}:{kind}"' if "," in name else f"{name}:{kind}" for name, kind in config.columns
        ),
        "separator": "tab" if config.separator == "\t" else config.separator,
        "encoding": config.encoding,
        "skip_broken": config.skip_broken or None,
        "image_size": image_size,
        "seed": config.seed,
        "explain_signature": record.get("explain_signature") or None,
        "export_formats": ",".join(dict.fromkeys(["saved_model", *record.get("formats", {})])),
        "export_name": FLAGS.model,
    }
    same = (
        "label",
        "task",
        "train_split",
        "resize",
        "color",
        "group",
        "time",
        "weight",
        "encoding",
    )
    values |= {name: getattr(config, name) for name in (*same, "holdout", "stratify")}
    values |= {"merge_label_case": config.merge_label_case or None, **settings}
    own = ("data_dir", "memory_budget", "run_dir", "overwrite", "export_dir")
    values |= {name: FLAGS[name].value for name in (*own, "keep_versions")}
    return [
        f"--{name}={str(item).lower() if isinstance(item, bool) else item}"
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
        if item not in (None, "")
    ]


def _promote(run_dir: Path, served: "Source", number: int, config: "DataConfig") -> None:
    """Compares the new version of a run with the served one, and sets a label."""
    from zoo.data.loading import read_data
    from zoo.evaluation.comparison import compare_versions, format_comparisons
    from zoo.exporting.loading import open_source

    new = open_source(read_json(run_dir / METRICS)["export"])
    data = read_data(dataclasses.replace(config, added=(*config.added, FLAGS.dataset)))
    batch_size = new.record["recipe"]["batch_size"]
    comparisons, note = compare_versions(served, new, data, config.memory_budget, batch_size)
    print_warning(note)
    version = new.path.name
    print(*format_comparisons(comparisons, (f"version {number}", f"version {version}")), sep="\n")
    is_better = comparisons[0].gain_interval[0] > FLAGS.promote_if
    label = STABLE if is_better else CANDIDATE
    record = {
        "model": FLAGS.model,
        "before": str(served.path),
        "after": str(new.path),
        "promote_if": FLAGS.promote_if,
        "promoted": is_better,
        "label": label,
        "comparisons": [dataclasses.asdict(each) for each in comparisons],
        "notes": [note] if note else [],
        "command": command_line(),
    }
    write_json(run_dir / RETRAINING, record)
    limit = f"{100 * FLAGS.promote_if:g}%"
    print(
        f"the interval is above {limit}: version {version} is promoted; back: "
        f"zoo label {FLAGS.model} {number} {STABLE}{_name_folder()}"
        if is_better
        else f"the interval is not above {limit}: {STABLE} stays at version {number}",
        flush=True,
    )
    assign_label(FLAGS, FLAGS.model, version, label)


def _name_folder() -> str:
    """Returns the flag of the folder of exports, for a command, if it is not the default one."""
    default = FLAGS["export_dir"].default
    return "" if FLAGS.export_dir == default else f" --export_dir={shlex.quote(FLAGS.export_dir)}"
