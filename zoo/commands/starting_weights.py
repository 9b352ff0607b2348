"""The weights or word vectors that a training starts from, and the settings of them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.tokenizer_flags import check_column_flags, check_tokenizer_flags
from zoo.data.config import DataConfig
from zoo.errors import UserError
from zoo.models.presets.image_preset import read_preset_size
from zoo.registry import Entry
from zoo.training.run_folder import lacks_flag

if TYPE_CHECKING:
    from zoo.data.splits import Data
    from zoo.training.source import Source


def open_weights(
    values: flags.FlagValues,
    weights: str | Path | None,
    entry: Entry,
    hparams: dict[str, Any],
    config: DataConfig,
) -> "tuple[Source | None, dict[str, Any], DataConfig]":
    """Opens the weights of --weights, if any, and looks at the word vectors of --vectors.

    Args:
        values: The flags.
        weights: Path of the weights, or None.
        entry: The model to be trained.
        hparams: The hyperparameters that the flags set.
        config: The settings of the data that the flags set.

    Returns:
        The weights, and the hyperparameters and settings of the data with theirs.

    Raises:
        UserError: if there are no such weights or vectors, or the flags contradict them.
    """
    from zoo.exporting.loading import open_source
    from zoo.training.source import inherit_settings, replace_preset
    from zoo.training.word_vectors import fit_width

    vectors = values.vectors if "vectors" in values else None
    if vectors and weights:
        raise UserError(
            f"--vectors={vectors} and --weights={values.weights}: both have embeddings: "
            "omit one of them"
        )
    if not weights:
        if vectors:
            hparams = fit_width(entry, hparams, vectors)
        check_tokenizer_flags(values, None, hparams.get("preset", ""))
        return None, hparams, adopt_preset(config, entry, hparams)
    source = open_source(weights)
    hparams, tokenizer = inherit_settings(source, entry, hparams)
    check_tokenizer_flags(values, tokenizer, "")
    # the columns of a table are found by name, and encoded as in the source
    columns = source.spec.columns if "spec" in source.record else ()
    check_column_flags(values, columns, dict(config.columns))
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


def fit_weights_to_data(
    source: "Source | None", entry: Entry, hparams: dict[str, Any], data: "Data"
) -> "tuple[dict[str, Any], Data]":
    """Checks weights and hyperparameters against the data; decides on the head of a preset.

    Args:
        source: The weights of --weights, or None.
        entry: The model to be trained.
        hparams: Its hyperparameters.
        data: The data.

    Returns:
        The hyperparameters, and the data with notes: on the head, on scored examples that the
        weights may have been trained on, and on a hyperparameter without effect.

    Raises:
        UserError: if the weights do not suit the data.
    """
    from zoo.evaluation.compatibility import describe_leak
    from zoo.training.preset_head import adopt_preset_head
    from zoo.training.source import check_source

    inherited = source.record.get("hyperparameters", {}) if source else {}
    is_asked = hparams.get("text_width") != inherited.get("text_width")
    if is_asked and not data.spec.texts:
        note = f"text_width={hparams['text_width']} changes nothing: no column of texts is read"
        data = dataclasses.replace(data, notes=(*data.notes, note))
    if source is None:
        return adopt_preset_head(entry, hparams, data)
    check_source(source, data)
    leak = describe_leak(source.record, data, "test")
    return hparams, dataclasses.replace(data, notes=(*data.notes, *filter(None, [leak])))


def choose_stratify(
    values: flags.FlagValues, source: "Source | None", config: DataConfig
) -> bool | None:
    """Returns whether rows are held out by class: as they were, where that is known.

    Returns None for a run of a version before 0.2, which did not, and has no such flag.
    """
    from zoo.data.loading import dataset_slug
    from zoo.evaluation.datasets import adopt_data_settings

    if source and source.record.get("dataset") == config.name:
        return adopt_data_settings(config, source.record, source.spec).stratify
    default = Path("runs", f"{values.model}-{dataset_slug(config.name or config.default)}")
    return None if lacks_flag(values.run_dir or default, "stratify") else True
