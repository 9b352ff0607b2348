"""Loads texts without labels as `Data` whose targets are masked tokens, for a pretraining."""

import dataclasses

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.fingerprint import compute_fingerprint
from zoo.data.holdout import draw_holdout_rows
from zoo.data.sources.unlabelled_texts import read_unlabelled_texts
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.data.texts.tokenizer_choice import make_tokenizer


def load_unlabelled(config: DataConfig) -> Data:
    """Reads texts, holds out a part of them, and encodes all as token ids.

    Args:
        config: `name`, `data_dir`, `train_split`, `text`, `separator`, `holdout`, `seed` and the
            settings of the tokenizer are used.

    Returns:
        Data with an empty test split, whose spec says that tokens are masked.

    Raises:
        UserError: if the dataset, a file or a setting is invalid.
    """
    name = config.name or config.default
    source = read_unlabelled_texts(name, config)
    texts = Arrays(source.texts, np.zeros(len(source.texts), "int64"))
    rows = draw_holdout_rows(len(texts), config.holdout, config.seed)
    train, validation = texts.select_rows(~rows), texts.select_rows(rows)
    test = texts.select_rows(np.zeros(len(texts), bool))
    origins = {
        "train": source.origin,
        "validation": f"a seeded {config.holdout:.0%} of {source.origin}",
        "test": "",
    }
    spec = Spec("text", (), None, is_masked=True)
    raw = Data(name, source.version, spec, train, validation, test, origins)
    tokenizer, notes = make_tokenizer(train, validation, config)
    encoded, spec = tokenize_splits({"train": train, "validation": validation}, spec, tokenizer)
    return Data(
        name,
        source.version,
        spec,
        encoded["train"],
        encoded["validation"],
        dataclasses.replace(test, x=np.zeros((0, tokenizer.length), "int32")),
        origins,
        notes=(*source.notes, *notes),
        settings=config.to_settings(),
        fingerprint=compute_fingerprint(raw, spec),
    )
