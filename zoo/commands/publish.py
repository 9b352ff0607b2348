"""Adds the weights of a finished run to the package, so that zoo.get finds them by name.

zoo publish runs/lenet5-mnist

The weights are rounded to float16, scored again and written to zoo/weights/<model>_<dataset>. They
are refused if rounding changes the class of more than 1 in 1,000 test examples, or if they are
larger than 3.5 MB.
"""

from absl import flags

from zoo.commands.runner import import_tensorflow
from zoo.pretrained.store import folder_size
from zoo.storage.filenames import RECORD
from zoo.storage.json_files import read_json

FLAGS = flags.FlagValues()
WORDS = "RUN"


def main(run_dir: str) -> None:
    """Publishes the weights of a run, and prints their scores."""
    import_tensorflow()
    from zoo.pretrained.publishing import publish_run

    folder = publish_run(run_dir)
    record = read_json(folder / RECORD)
    rounding, test = record["rounding"], record["test"]
    print(
        f"test: accuracy {test['accuracy']:.2%}, {rounding['accuracy_before']:.2%} before the "
        f"weights were rounded; the same class for {rounding['same_class']:.2%} of "
        f"{rounding['compared']:,} examples"
    )
    print(f"{folder_size(folder):,} bytes", folder, sep="\n")
