"""Trains a model of the zoo on a dataset, scores it, and exports it for TF Serving.

python train.py --model=cnn                                  MNIST, or 5,000 digits of it offline
python train.py --model=mlp --dataset=csv:cars.csv --label=price
python train.py --model=resnet20 --dataset=folder:photos --image_size=64,64
python train.py --model=lstm --dataset=csv:reviews.csv --text=review --label=stars
python train.py --model=bert --preset=bert_tiny_en_uncased --dataset=glue/mrpc --lora_rank=8
python train.py --model=cnn --hparam=filters=32,64,128 --epochs=20 --augment=shift=0.1
python train.py --model=cnn --help                           with the hyperparameters of cnn
python train.py --list                                       the models
python train.py --flagfile=runs/cnn/flags.txt --overwrite     the same run again
"""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Literal

from absl import flags

from zoo import cli, formats, interruption, options, pretrained, registry, run_folder

FLAGS = flags.FLAGS
GROUPS = MODEL, _, _, RUN = *options.GROUPS, "Run"
# what may differ where a run goes on
FREE = ("data_dir", "run_dir", "overwrite", "checkpoint_every", "export_dir", "export_formats",
        "keep_versions")  # fmt: skip

options.define()
# fmt: off
cli.flag(MODEL, "weights", str, None, "Name of weights that ship (see --list), or a run, "
         "export or .keras file to start from: what fits is taken over, a head of another size is "
         "made anew.")
cli.flag(MODEL, "list", bool, False, "Lists the models and ends.")

cli.flag(RUN, "seed", int, 0, "Makes weights, held-out rows, order and dropout.", 0, 2**31 - 1)
cli.flag(RUN, "run_dir", str, None, "Folder for what the run leaves behind; an unfinished run "
         "there goes on. By default runs/<model>-<dataset>, with -2, -3, ... for other flags.")
cli.flag(RUN, "overwrite", bool, False, "Removes what an earlier run left in its folder.")
cli.flag(RUN, "checkpoint_every", str, "5m", "Steps (500) or minutes (5m) between checkpoints.")
cli.flag(RUN, "export_dir", str, "saved_models", "Folder of exported models.")
cli.flag(RUN, "export_formats", str, "saved_model", "Of saved_model,litert,litert_int8,onnx.")
cli.flag(RUN, "keep_versions", int, 2, "Newest versions of a model that TF Serving serves.", 1)
cli.flag(RUN, "strategy", Literal["auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"], "auto",
         "Devices: auto goes over the workers of TF_CONFIG, or takes a TPU, several GPUs mirrored, "
         "one GPU, or else the CPU.")
cli.flag(RUN, "tpu", str, None, "Name or address of the TPU. By default TPU_NAME.")
# fmt: on


def main() -> None:
    """From flags to an exported model."""
    options.plugin()
    if FLAGS.list:
        print(cli.model_table())
        return
    entry, hparams, recipe = options.model()
    image_size = cli.image_size(FLAGS.image_size)
    weights = pretrained.resolve(entry.name, FLAGS.weights) if FLAGS.weights else None
    export_dir = Path(os.path.expanduser(FLAGS.export_dir), entry.name)
    run_folder.check_writable(export_dir)
    run_folder.check(FLAGS.run_dir)
    run_folder.interval(FLAGS.checkpoint_every)
    formats.check(FLAGS.export_formats.split(","))

    # imported here, so that mistakes, --help and --list don't wait for TensorFlow
    cli.import_tensorflow()
    from zoo import data as datasets
    from zoo import distribution, finetuning, multi_worker, training

    # first, since workers are joined before TensorFlow does anything else
    strategy, devices = distribution.strategy(FLAGS.strategy, FLAGS.tpu)
    tokenizer = FLAGS.tokenizer or entry.tokenizer
    if weights:
        hparams, tokenizer = finetuning.origin(weights, entry, hparams, tokenizer)
    with multi_worker.naming_lost(strategy):
        # the others find prepared what the chief has prepared
        with distribution.chief_first(strategy):
            found = options.read(FLAGS.dataset, entry.dataset, image_size, FLAGS.seed)
            data = options.prepare(found, tokenizer, hparams.get("preset", ""))
        if distribution.is_chief(strategy):
            cli.warn(data.note)
        training.check(recipe, data.spec)
        with datasets.naming_unreadable(data.spec, data.train, data.validation, data.test):
            train(entry, hparams, weights, recipe, data, export_dir, strategy, devices)


def train(
    entry, hparams: dict, weights: Path | None, recipe, data, export_dir: Path, strategy, devices
) -> None:
    """Builds and trains the model, or goes on with it, and hands it to `finish`.

    Of several workers all train, and the chief alone writes.
    """
    from zoo import checkpoints, distribution, finetuning, report, training
    from zoo import data as datasets

    named, wanted = set(cli.given_settings()), FLAGS.export_formats.split(",")
    recipe = training.suited(recipe, len(data.train), named)
    recipe = distribution.suited(recipe, strategy, named)
    with strategy.scope():
        model, table = training.build(entry, hparams, recipe, data, FLAGS.seed, weights)
    formats.check_model(model, wanted)

    text = cli.flagfile(GROUPS, {"dataset": data.name} | dataclasses.asdict(recipe))
    default = Path("runs", f"{entry.name}-{datasets.name_of(data.name)}")
    chief = distribution.is_chief(strategy)
    with contextlib.ExitStack() as held:
        # what the others find there is what the chief has settled
        with distribution.chief_first(strategy):
            named_dir = FLAGS.run_dir and Path(os.path.expanduser(FLAGS.run_dir))
            run_dir = named_dir or run_folder.choose(default, text, FREE)
            if chief:
                begun = run_folder.begun(run_dir, text, free=FREE, overwrite=FLAGS.overwrite)
                held.enter_context(begun)
        held.enter_context(interruption.advising(f"the same command goes on with {run_dir}"))
        earlier = report.finished(run_dir, recipe, export_dir, wanted)
        start, damaged = checkpoints.latest(run_dir)
        if earlier and chief:
            print(f"run: {run_dir} is finished; --epochs raised goes on, --overwrite begins anew")
            print(report.summary(earlier["test"]), earlier["export"], sep="\n")
        if earlier:
            return
        if chief:
            datasets.text.save(data.spec, run_dir)
            for path in damaged:
                cli.warn(f"{path}: this checkpoint is damaged and was passed over")
            if table and not start:
                print(f"weights of {FLAGS.weights}:", *finetuning.lines(table), sep="\n")
            print(report.headline(model, data, devices), flush=True)
            if start:
                print(f"goes on in epoch {start.state.epoch + 1} after step {start.state.step}")
        trained = training.fit(
            model,
            data,
            recipe,
            seed=FLAGS.seed,
            run_dir=run_dir,
            start=start,
            checkpoint_every=FLAGS.checkpoint_every,
        )
        if chief:
            test = report.evaluate(model, data, recipe.batch_size, run_dir)
            record = report.record(entry, hparams, model, data, recipe, trained, test)
            record |= {"seed": FLAGS.seed, "devices": devices, "command": cli.command()}
            record["config"] = options.config()
            finish(model, data, record, trained["history"], run_dir, export_dir)


def finish(model, data, record: dict, history: dict, run_dir: Path, export_dir: Path) -> None:
    """Writes what the run has come to, and the exports; the last line printed is the export's."""
    from zoo import card, plots, report, saved_model
    from zoo import data as datasets
    from zoo.serving import config

    plots.curves(history, run_dir / "curves.png")
    report.write_json(run_dir / run_folder.METRICS, record)
    samples = datasets.samples(data.raw_test or data.test, 32)
    version = saved_model.export(model, export_dir, spec=data.spec, samples=samples, record=record)
    wanted = FLAGS.export_formats.split(",")
    record["formats"] = formats.export(model, data, version, wanted, FLAGS.seed)
    config.write(export_dir.parent, FLAGS.keep_versions)
    record["export"] = str(version)
    card.write(run_dir, record)
    report.write_json(run_dir / run_folder.METRICS, record)
    print(report.summary(record["test"]))
    print(f"run: {run_dir}  (card.md, metrics.json, curves.png, flags.txt, ...)")
    print(version)


def help_text() -> str:
    """What --help prints; with --model also the model's defaults and hyperparameters."""
    return cli.help_text(__doc__, GROUPS, registry.find(FLAGS.model) if FLAGS.model else None)


if __name__ == "__main__":
    cli.run(main, help_text)
