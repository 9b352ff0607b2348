"""What `zoo train` has settled on when it builds the model."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.recipe import Recipe
from zoo.registry import Entry

if TYPE_CHECKING:
    import tensorflow as tf

    from zoo.data.splits import Data
    from zoo.training.source import Source


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """The values of the flags, and what they stand for on this machine and for these data.

    Attributes:
        entry: The model's entry in the registry.
        hparams: The hyperparameters that differ from its defaults.
        recipe: How it is trained.
        source: The trained model that it starts from.
        data: The dataset, prepared and split.
        strategy: How the work is spread over devices.
        devices: The devices, as they are printed.
        export_dir: Folder of the versions of the exported model.
    """

    entry: Entry
    hparams: dict[str, Any]
    recipe: Recipe
    source: "Source | None"
    data: "Data"
    strategy: "tf.distribute.Strategy"
    devices: str
    export_dir: Path
