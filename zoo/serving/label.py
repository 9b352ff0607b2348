"""Names a version of an exported model, so that clients of TF Serving ask for it by that name.

python -m zoo.serving.label MODEL VERSION LABEL
python -m zoo.serving.label cnn 2 canary             what some clients ask for
python -m zoo.serving.label cnn 2 stable             moves the label, forward or back
python -m zoo.serving.label cnn none canary          removes it

A running server takes it over within 30 seconds. It moves a label only to a version that it has
loaded: curl http://localhost:8501/v1/models/cnn tells.
"""

import os
from pathlib import Path

from absl import flags

from zoo import cli
from zoo.serving import config

FLAGS = flags.FLAGS


def main(model: str, version: str, label: str) -> None:
    """Sets or removes the label, and writes what TF Serving reads."""
    directory = Path(os.path.expanduser(FLAGS.export_dir))
    given = config.set_label(directory, model, version, label)
    config.write(directory, FLAGS.keep_versions)
    versions = (f"{label} is version {version}" for label, version in sorted(given.items()))
    print(f"{model}: {', '.join(versions) or 'no labels'}")


if __name__ == "__main__":
    cli.flag("Label", "export_dir", str, "saved_models", "Folder of exported models.")
    cli.flag("Label", "keep_versions", int, 2, "Newest versions that are served beside it.", 1)
    cli.run(main, lambda: cli.help_text(__doc__, ["Label"]), "MODEL VERSION LABEL")
