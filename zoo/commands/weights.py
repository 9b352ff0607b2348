"""The weights or word vectors that a training starts from, and the settings of them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.tokenizer_flags import check_column_flags, check_tokenizer_flags
from zoo.data.config import DataConfig
from zoo.errors import UserError
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
    from zoo.training.finetuning import inherit_settings
    from zoo.training.word_vectors import fit_width

    if values.vectors and weights:
        raise UserError(
            f"--vectors={values.vectors} and --weights={values.weights}: both have embeddings: "
            "omit one of them"
        )
    if not weights:
        preset = hparams.get("preset", "")
        if values.vectors:
            hparams = fit_width(entry, hparams, values.vectors)
        check_tokenizer_flags(values, None, preset)
        return None, hparams, dataclasses.replace(config, preset=preset)
    source = open_source(weights)
    hparams, tokenizer = inherit_settings(source, entry, hparams)
    check_tokenizer_flags(values, tokenizer, "")
    # the columns of a table are found by name, and encoded as in the source
    columns = source.spec.columns if "spec" in source.record else ()
    check_column_flags(values, columns, dict(config.columns))
    config = dataclasses.replace(
        config, tokenizer=tokenizer or config.tokenizer, known_columns=columns
    )
    return source, hparams, config
