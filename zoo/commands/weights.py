"""The weights that a training starts from, and the settings that come with them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.tokenizer_flags import check_tokenizer_flags
from zoo.data.config import DataConfig
from zoo.models.image_preset import read_preset_size
from zoo.registry import Entry

if TYPE_CHECKING:
    from zoo.training.finetuning import Source


def open_weights(
    values: flags.FlagValues,
    weights: str | Path | None,
    entry: Entry,
    hparams: dict[str, Any],
    config: DataConfig,
) -> "tuple[Source | None, dict[str, Any], DataConfig]":
    """Opens the weights of --weights, if any.

    Args:
        values: The flags.
        weights: Path of the weights, or None.
        entry: The model to be trained.
        hparams: The hyperparameters that the flags set.
        config: The settings of the data that the flags set.

    Returns:
        The weights, and the hyperparameters and settings of the data with theirs.

    Raises:
        UserError: if there are no such weights, or the flags contradict them.
    """
    from zoo.exporting.loading import open_source
    from zoo.training.finetuning import inherit_settings, replace_preset

    if not weights:
        check_tokenizer_flags(values, None, hparams.get("preset", ""))
        return None, hparams, adopt_preset(config, entry, hparams)
    source = open_source(weights)
    hparams, tokenizer = inherit_settings(source, entry, hparams)
    check_tokenizer_flags(values, tokenizer, "")
    # the columns of a table are found by name, and encoded as in the source
    columns = source.spec.columns if "spec" in source.record else ()
    config = dataclasses.replace(
        config, tokenizer=tokenizer or config.tokenizer, known_columns=columns
    )
    if "resolution" in entry.hyperparameters and hparams.get("preset"):
        config = adopt_preset(config, entry, replace_preset(hparams, source))
    return source, hparams, config


def adopt_preset(config: DataConfig, entry: Entry, hparams: dict[str, Any]) -> DataConfig:
    """Returns the settings of the data with those of the preset: its tokenizer, or its image size.

    Raises:
        UserError: if the size of the images of a preset cannot be read.
    """
    preset = hparams.get("preset", "")
    if not preset or "image" not in entry.kinds:
        return dataclasses.replace(config, preset=preset)
    resolution = hparams.get("resolution")
    size = (resolution[0], resolution[-1]) if resolution else read_preset_size(preset)
    return dataclasses.replace(config, preset_size=size)
