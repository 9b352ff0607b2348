"""Exports a trained or a pretrained model as a SavedModel for TF Serving, without a training.

zoo export --weights=runs/lstm-imdb_reviews --export_name=reviews
zoo export --model=cnn --weights=mnist
zoo export --preset=my_classifier --export_name=reviews
zoo export --preset=my_classifier --export_name=similar --pairs

The version is verified before it is published, and answers as `zoo predict` does with the same
--weights or --preset. `zoo train` exports what it trains.
"""

import os
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import command_line, import_tensorflow, print_notes
from zoo.commands.scored_weights import check_long_texts, open_scored_preset, open_scored_weights
from zoo.data.config import LONG_TEXTS
from zoo.errors import UserError
from zoo.exporting.versions import check_export_name
from zoo.registry import load_plugin
from zoo.storage.atomic import check_writable

FLAGS = flags.FlagValues()
WORDS = ""
MODEL, EXPORT = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Export")

# fmt: off
flags.DEFINE_string("weights", None, "What to export: a run, an export, a .keras file, or with "
                    "--model the name of weights that ship with the package.", **MODEL)
flags.DEFINE_string("preset", None, "Pretrained model with its own head, to export as it is: as in "
                    "zoo predict.", **MODEL)
flags.DEFINE_string("preset_weights", None, "File with the weights of --preset=keras:NAME. By "
                    "default those of ImageNet are downloaded.", **MODEL)
flags.DEFINE_bool("pairs", None, "Whether a classifier of texts in --preset reads pairs.", **MODEL)
flags.DEFINE_enum("long_texts", None, LONG_TEXTS, "How a text encoder of --preset reads texts of "
                  "more tokens than it has positions for: truncated, the default, or in windows "
                  "whose logits are averaged.", **MODEL)
flags.DEFINE_string("model", None, "Name of the model of --weights.", **MODEL)
flags.DEFINE_string("plugin", None, "Python module, or .py file, with the classes of the model.",
                    **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of the exported models.", **EXPORT)
flags.DEFINE_string("export_name", None, "Name of the exported model in --export_dir and in TF "
                    "Serving. By default the name of the model.", **EXPORT)
flags.DEFINE_bool("change_contract", False, "Exports a version although its task, inputs or "
                  "classes differ from those of the version before.", **EXPORT)
flags.DEFINE_bool("explain_signature", False, "Adds the signature `explain` to the SavedModel, "
                  "which returns the integrated gradients of each prediction.", **EXPORT)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions of a model that TF Serving "
                     "serves.", 1, **EXPORT)
# fmt: on


def main() -> Path:
    """Exports the model that the flags name, and returns the folder of the version."""
    if bool(FLAGS.weights) == bool(FLAGS.preset):
        given = "--weights and --preset" if FLAGS.weights else "nothing to export"
        raise UserError(f"{given}: pass one of --weights and --preset")
    check_long_texts(FLAGS)
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    if FLAGS.export_name:
        check_export_name(FLAGS.export_name)
    check_writable(Path(os.path.expanduser(FLAGS.export_dir)))
    import_tensorflow()
    from zoo.exporting.saved_model import export_model
    from zoo.serving.server_config import write_server_files
    from zoo.serving.version_labels import describe_lost_labels

    if FLAGS.weights:
        if FLAGS.pairs is not None:
            raise UserError(f"--weights={FLAGS.weights} and --pairs: omit --pairs")
        source = open_scored_weights(FLAGS.weights, FLAGS.model)
        record = source.record
    else:
        weights = FLAGS.preset_weights or ""
        source = open_scored_preset(
            FLAGS.preset, weights, FLAGS.model, FLAGS.long_texts, bool(FLAGS.pairs)
        )
        record = source.record | {"command": command_line()}
        print_notes(record["notes"])
    model = source.model
    name = FLAGS.export_name or str(record.get("model", FLAGS.model or model.name))
    check_export_name(name)
    directory = Path(os.path.expanduser(FLAGS.export_dir), name)
    version = export_model(
        model,
        directory,
        spec=source.spec,
        record=record,
        change_contract=FLAGS.change_contract,
        explain_signature=FLAGS.explain_signature,
    )
    write_server_files(directory.parent, FLAGS.keep_versions)
    print_notes(describe_lost_labels(directory.parent))
    print(version)
    return version
