"""Trains a model of the zoo on a dataset, scores it, and exports it for TF Serving.

python train.py --model=cnn                                  MNIST, or 5,000 digits of it offline
python train.py --model=mlp --dataset=csv:cars.csv --label=price
python train.py --model=resnet20 --dataset=folder:photos --image_size=64,64
python train.py --model=cnn --hparam=filters=32,64,128 --epochs=20 --augment=shift=0.1
python train.py --model=cnn --help                           with the hyperparameters of cnn
python train.py --list                                       the models
python train.py --flagfile=runs/cnn-mnist/flags.txt          the same run again
"""

import dataclasses
from pathlib import Path
from typing import Literal

from absl import flags

from zoo import cli, registry, run_folder
from zoo.errors import UserError
from zoo.recipe import Recipe

FLAGS = flags.FLAGS
MODEL, DATA, TRAINING, RUN = GROUPS = ("Model", "Data", "Training", "Run")
STRATEGIES = Literal["auto", "cpu", "gpu", "mirrored"]

# fmt: off
cli.flag(MODEL, "model", str, None, "Name of the model.")
cli.flag(MODEL, "hparam", list, [], "NAME=VALUE of one of its hyperparameters.")
cli.flag(MODEL, "plugin", str, None, "Module, or .py file, that registers more models.")
cli.flag(MODEL, "list", bool, False, "Lists the models and ends.")

cli.flag(DATA, "dataset", str, None, "Name in TensorFlow Datasets (mnist, cifar10, iris, ...), "
         "folder:PATH of images in a folder a class, or csv:PATH. The model's by default.")
cli.flag(DATA, "data_dir", str, None, "Where TensorFlow Datasets keeps its data. By default "
         "TFDS_DATA_DIR, or else ~/tensorflow_datasets.")
cli.flag(DATA, "train_split", str, None, "TFDS split to train on, such as 'train[:90%]'.")
cli.flag(DATA, "label", str, None, "Column of a CSV file to predict: decimals are a regression, "
         "anything else is classes.")
cli.flag(DATA, "image_size", str, None, "ROWS,COLUMNS to resize images to. By default their own "
         "or, where they differ, their median.")
cli.flag(DATA, "holdout", float, 0.1, "Share of the training split that becomes the validation "
         "split, and the test split, where the dataset has none.", 0.001, 0.5)
cli.flag(DATA, "memory_budget", int, None, "MiB of decoded data to hold in memory; more is "
         "streamed. By default a quarter of the memory.", 0)

cli.define_recipe_flags(TRAINING)

cli.flag(RUN, "seed", int, 0, "Makes weights, held-out rows, order, dropout and augmentation.",
         0, 2**31 - 1)
cli.flag(RUN, "run_dir", str, None, "Folder for what the run leaves behind; an earlier run there "
         "is kept beside it. By default runs/<model>-<dataset>.")
cli.flag(RUN, "export_dir", str, "saved_models", "Folder of exported models.")
cli.flag(RUN, "strategy", STRATEGIES, "auto", "Devices: auto takes one GPU, several mirrored, or "
         "else the CPU.")
# fmt: on


def main() -> None:
    """From flags to an exported model."""
    if FLAGS.plugin:
        registry.load_plugin(FLAGS.plugin)
    if FLAGS.list:
        print(cli.model_table())
        return
    if FLAGS.model is None:
        raise UserError("no model: name one with --model, such as --model=cnn (see --list)")
    entry = registry.find(FLAGS.model)
    hparams = entry.check(cli.hparams(FLAGS.hparam), entry.hyperparameters)
    recipe = dataclasses.replace(entry.recipe, **cli.given_settings())
    image_size = cli.image_size(FLAGS.image_size)
    export_dir = Path(FLAGS.export_dir, entry.name).expanduser()
    run_folder.check_writable(export_dir)
    if FLAGS.run_dir:
        run_folder.check(Path(FLAGS.run_dir).expanduser())

    # imported here, so that mistakes, --help and --list don't wait for TensorFlow
    cli.import_tensorflow()
    from zoo import data as datasets
    from zoo import training

    data = datasets.load(
        FLAGS.dataset,
        default=entry.dataset,
        data_dir=FLAGS.data_dir,
        train_split=FLAGS.train_split,
        label=FLAGS.label,
        image_size=image_size,
        holdout=FLAGS.holdout,
        seed=FLAGS.seed,
        budget=None if FLAGS.memory_budget is None else FLAGS.memory_budget * 2**20,
    )
    if data.note:
        cli.warn(data.note)
    training.check(recipe, data.spec)
    with datasets.naming_unreadable(data.spec, data.train, data.validation, data.test):
        train(entry, hparams, recipe, data, export_dir)


def train(entry, hparams: dict, recipe, data, export_dir: Path) -> None:
    """Builds, trains, scores and exports the model; the last line printed is the export's path."""
    import keras

    from zoo import data as datasets
    from zoo import distribution, report, saved_model, training

    strategy, devices = distribution.strategy(FLAGS.strategy)
    named = set(cli.given_settings())
    recipe = training.suited(recipe, len(data.train), named)
    recipe = distribution.suited(recipe, strategy, named)
    keras.utils.set_random_seed(FLAGS.seed)
    keras.config.set_dtype_policy(recipe.precision)
    with strategy.scope():
        model = registry.build(entry, data.spec, hparams)
        training.adapt(model, data)
        training.compile(model, data, recipe)

    run_dir = Path(FLAGS.run_dir or f"runs/{entry.name}-{datasets.name_of(data.name)}")
    run_dir = run_dir.expanduser()
    if kept := run_folder.begin(run_dir):
        print(f"the earlier run in {run_dir} is kept as {kept}")
    settled = {"dataset": data.name} | dataclasses.asdict(recipe)
    (run_dir / "flags.txt").write_text(cli.flagfile(GROUPS, settled))
    print(report.headline(model, data, devices), flush=True)
    trained = training.fit(model, data, recipe, seed=FLAGS.seed, run_dir=run_dir)
    report.draw_curves(trained["history"], run_dir / "curves.png")
    test = report.evaluate(model, data, recipe.batch_size, run_dir)
    record = report.record(entry, hparams, model, data, recipe, trained, test)
    record |= {"seed": FLAGS.seed, "devices": devices, "command": cli.command()}
    report.write_json(run_dir / "metrics.json", record)
    samples = datasets.samples(data.test, 32)
    version = saved_model.export(model, export_dir, spec=data.spec, samples=samples, record=record)
    report.write_json(run_dir / "metrics.json", record | {"export": str(version)})
    print(report.summary(test))
    print(f"run: {run_dir}  (metrics.json, curves.png, flags.txt, ...)")
    print(version)


def help_text() -> str:
    """What --help prints: examples, then the flags in groups, then the model's hyperparameters."""
    entry = registry.find(FLAGS.model) if FLAGS.model else None
    defaults = dataclasses.asdict(entry.recipe if entry else Recipe())
    more = (
        cli.model_help(entry) if entry else "\nWith --model=NAME: its defaults and hyperparameters"
    )
    return "\n".join([__doc__.strip(), cli.flags_help(GROUPS, defaults), more])


if __name__ == "__main__":
    cli.run(main, help_text)
