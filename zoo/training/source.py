"""`Source`: a trained model that is opened by its path, and what a training inherits from it."""

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from zoo.data.spec import Spec, Tokenizer, spec_from_model, spec_from_record
from zoo.data.splits import Data
from zoo.errors import UserError, shorten_names
from zoo.registry import Entry


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained model that was opened by its path (`zoo.exporting.loading.open_source`).

    Attributes:
        path: Path of a run, an export or a .keras file.
        load: Loads the Keras model.
        record: Content of metrics.json, zoo.json or record.json; empty for a single .keras file.
        tokenizer: The tokenizer that was saved with it, or None.
        file: The file of its weights.
    """

    path: Path
    load: Callable[[], keras.Model]
    record: dict[str, Any]
    tokenizer: Tokenizer | None
    file: Path | None = None

    @property
    def model(self) -> keras.Model:
        """The Keras model, uncompiled. It is loaded at each access, and not kept in memory."""
        return self.load()

    @property
    def spec(self) -> Spec:
        """The spec of its data, from the record or else from the model's inputs and outputs.

        Raises:
            UserError: if the record's spec is invalid, or the model is not one of the zoo.
        """
        if "spec" in self.record:
            return spec_from_record(self.record, self.path, self.tokenizer)
        return spec_from_model(self.model, None)


def inherit_settings(
    source: Source, entry: Entry, hparams: dict[str, Any]
) -> tuple[dict[str, Any], Tokenizer | None]:
    """Returns the hyperparameters and the tokenizer of a model that starts from trained weights.

    Args:
        source: The trained model.
        entry: The model to be built.
        hparams: The hyperparameters that the user set.

    Returns:
        The hyperparameters, with those of the source as defaults if it is the same model; and the
        source's tokenizer.

    Raises:
        UserError: if the source's hyperparameters or tokenizer don't fit the model, or the user
            set a preset, which has weights of its own.
    """
    if preset := hparams.get("preset"):
        raise UserError(
            f"weights={source.path} and preset={preset!r}: each has all weights of the model to "
            "start from: omit one of them"
        )
    inherited: dict[str, Any] = {}
    if source.record.get("model") == entry.name:
        inherited = source.record.get("hyperparameters", {})
        if not isinstance(inherited, dict):
            raise UserError(
                f"weights={source.path}: its record has invalid hyperparameters: "
                f"{inherited!r:.50}: expected a dictionary"
            )
        inherited = entry.check(inherited, entry.hyperparameters)
    if source.tokenizer:
        kind = source.tokenizer.kind
        subject = f"weights={source.path}: its tokens are {kind}"
        entry.check_tokens(subject, kind, f"choose a run of {entry.name}")
    return inherited | hparams, source.tokenizer


def replace_preset(hparams: dict[str, Any], source: Source) -> dict[str, Any]:
    """Returns the hyperparameters with the source's own file in place of its preset.

    The file has the sizes and the weights of the preset, which may have been moved since.
    """
    if not hparams.get("preset") or source.file is None or source.file.suffix != ".keras":
        return hparams
    return hparams | {"preset": str(source.file)}


def read_sizes(source: Source, tokenizer: Tokenizer | None, name: str) -> dict[str, Any]:
    """Returns the arguments of the builder that the data of the source determines."""
    sizes: dict[str, Any] = {}
    if source.record.get("model") == name and "spec" in source.record:
        sizes = {"input_shape": source.spec.shape}
        if not source.spec.is_masked:
            sizes["num_classes"] = source.spec.num_classes
        if source.spec.cardinalities:
            sizes["cardinalities"] = source.spec.cardinalities
        if source.spec.texts:
            sizes["texts"] = source.spec.texts
    if tokenizer:
        sizes["input_shape"] = (tokenizer.length,)
        sizes["vocabulary_size"] = len(tokenizer.vocabulary)
        if tokenizer.window and source.record.get("model") == name:
            sizes["window"] = tokenizer.window
    return sizes


def check_predicts(source: Source) -> None:
    """Checks that a model predicts classes or numbers, and not masked tokens.

    Raises:
        UserError: if it comes from a pretraining.
    """
    if "spec" in source.record and source.spec.is_masked:
        raise UserError(
            f"{source.path}: this model was pretrained and guesses hidden words only: fine-tune it "
            f"first, with zoo train --model={source.record.get('model')!s:.50} "
            f"--weights={shlex.quote(str(source.path))} and a dataset with labels"
        )


def check_source(source: Source, data: Data) -> None:
    """Checks that a model can be trained further on the data, before it is built.

    Raises:
        UserError: if the words of a text model are not known, or its columns are others than
            those of the data.
    """
    if data.spec.is_text and source.tokenizer is None and source.spec.is_text:
        raise UserError(
            f"weights={source.path}: there is no tokenizer.json next to it, so the words of its "
            "embeddings are not known: pass a run or an export instead"
        )
    if data.spec.kind != "features" or "spec" not in source.record:
        return
    names, others = source.spec.feature_names, data.spec.feature_names
    if source.spec.kind == "features" and names != others:
        raise UserError(
            f"weights={source.path}: its columns are {shorten_names(names)}, but {data.name} has "
            f"{shorten_names(others)}: choose data with the same columns in the same order, or "
            "omit --weights"
        )
