"""Labels a version of an exported model, so that clients of TF Serving can ask for it by the label.

zoo label MODEL VERSION LABEL
zoo label cnn 2 canary             labels version 2
zoo label cnn 2 stable             moves a label, forward or back
zoo label cnn none canary          removes a label

A running server reads the change within 30 seconds. It moves a label only to a version that it has
loaded: curl http://localhost:8501/v1/models/cnn shows which.
"""

import os
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.help import format_help
from zoo.commands.runner import print_notes
from zoo.exporting.versions import describe_unused_versions
from zoo.serving.labels import describe_lost_labels, set_label
from zoo.serving.server_config import write_server_files

FLAGS = flags.FlagValues()
WORDS = "MODEL VERSION LABEL"
LABEL = under_heading(FLAGS, "Label")

# fmt: off
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **LABEL)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions that are served as well.", 1,
                     **LABEL)
# fmt: on


def main(model: str, version: str, label: str) -> None:
    """Sets or removes the label, and writes the files that TF Serving reads."""
    directory = Path(os.path.expanduser(FLAGS.export_dir))
    labels = set_label(directory, model, version, label)
    write_server_files(directory, FLAGS.keep_versions)
    print_notes(describe_unused_versions(directory / model))
    print_notes(describe_lost_labels(directory))
    versions = (f"{label} is version {version}" for label, version in sorted(labels.items()))
    print(f"{model}: {', '.join(versions) or 'no labels'}")


def format_help_text() -> str:
    """Returns the text of --help."""
    return format_help(__doc__, FLAGS)
