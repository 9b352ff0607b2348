"""The weights of --weights that a command scores, and the settings of its data."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.pretrained.store import resolve_weights

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.training.finetuning import Source

NO_DATA = "no dataset: choose one with --dataset, such as --dataset=mnist"


def open_scored_weights(weights: str, name: str | None) -> "Source":
    """Opens trained weights.

    Args:
        weights: Path of a run, an export or a .keras file, or a name that ships with the package.
        name: Name of the model; None for that of the weights.

    Raises:
        UserError: if there are no such weights, they are those of another model, they come from a
            pretraining, or the words of a model of texts are not known.
    """
    from zoo.exporting.loading import open_source
    from zoo.training.finetuning import check_predicts

    if not name and not Path(os.path.expanduser(weights)).exists():
        raise UserError(
            f"weights={weights}: there is no such run, export or .keras file; weights that ship "
            "with the package also need --model"
        )
    source = open_source(resolve_weights(name or "", weights))
    model = source.record.get("model", name)
    if name and model != name:
        raise UserError(f"weights={weights}: the model is {model!s:.50}, not {name}: omit --model")
    check_predicts(source)
    if source.spec.is_text and source.tokenizer is None:
        raise UserError(
            f"weights={weights}: this model reads texts, but there is no tokenizer.json next to "
            "it: pass a run or an export instead"
        )
    return source


def complete_config(config: "DataConfig", source: "Source", seed: int | None) -> "DataConfig":
    """Returns the config with defaults from the source: dataset, columns, image size and seed.

    Raises:
        UserError: if neither has a dataset.
    """
    from zoo.evaluation.datasets import adopt_data_settings

    config = adopt_data_settings(config, source.record, source.spec)
    if config.name is None:
        raise UserError(NO_DATA)
    recorded = source.record.get("seed") if seed is None else seed
    return dataclasses.replace(config, seed=recorded if isinstance(recorded, int) else 0)
