"""The weights of --weights that a command scores, and the settings of its data."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.errors import UserError
from zoo.pretrained.store import resolve_weights

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.data.spec import Spec
    from zoo.data.splits import Data
    from zoo.training.source import Source

_SHOWN_NAMES = 5
NO_DATA = "no dataset: choose one with --dataset, such as --dataset=mnist"


def check_long_texts(values: flags.FlagValues) -> None:
    """Checks that --long_texts is for a preset: other models read texts as in their training.

    Raises:
        UserError: if it is not.
    """
    if values.long_texts and not ("preset" in values and values.preset):
        raise UserError(
            f"--long_texts={values.long_texts}: a trained model reads long texts as in its "
            "training: omit it, or train with it"
        )


def check_one_source(values: flags.FlagValues) -> None:
    """Checks that the flags name one model: an export, weights, or a server's.

    Raises:
        UserError: if they name none or several.
    """
    sources = [f"--{name}" for name in ("weights", "server", "grpc") if values[name].value]
    if len(sources) > 1:
        raise UserError(f"{' and '.join(sources)}: pass one of them")
    if values.model is None and not values.weights:
        raise UserError("no model: choose one with --model, such as --model=cnn")


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
    from zoo.training.source import check_predicts

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


def open_scored_preset(
    preset: str,
    preset_weights: str,
    name: str | None,
    long_texts: str | None,
    reads_pairs: bool = False,
) -> "Source":
    """Opens a preset with its own head.

    Args:
        preset: The preset.
        preset_weights: File with the weights of keras:NAME, or "".
        name: Name of the model; None for the one that reads the preset.
        long_texts: As in `DataConfig`.
        reads_pairs: Whether a classifier of texts reads pairs.

    Raises:
        UserError: if it cannot be read, has no head, or is read by another model.
    """
    from zoo.pretrained.presets import open_preset

    source = open_preset(preset, preset_weights, reads_pairs=reads_pairs, long_texts=long_texts)
    model = source.record["model"]
    if name not in (None, model):
        raise UserError(f"--preset={preset}: the model is {model}, not {name}: omit --model")
    return source


def fit_preset_to_data(
    preset: str, spec: "Spec", data: "Data", has_class_names: bool
) -> "tuple[Spec, Data]":
    """Returns the spec of a preset for a dataset, and the data with a note on its classes.

    A classifier of texts reads pairs as well. Classes without names are those of the data in the
    same order.
    """
    if spec.is_text and data.spec.is_text:
        spec = dataclasses.replace(spec, kind=data.spec.kind)
    names, others = spec.class_names or (), data.spec.class_names or ()
    if has_class_names or len(names) != len(others):
        return spec, data
    note = (
        f"the classes of {preset} have no names: {', '.join(names[:_SHOWN_NAMES])} are taken for "
        f"{', '.join(others[:_SHOWN_NAMES])}, in this order"
    )
    spec = dataclasses.replace(spec, class_names=data.spec.class_names)
    return spec, dataclasses.replace(data, notes=(*data.notes, note))


def complete_config(config: "DataConfig", source: "Source", seed: int | None) -> "DataConfig":
    """Returns the config with defaults from the source: dataset, columns, image size and seed.

    Raises:
        UserError: if neither has a dataset.
    """
    from zoo.evaluation.datasets import adopt_data_settings

    config = adopt_data_settings(config, source.record, source.spec)
    if not source.record.get("has_class_names", True):
        config = dataclasses.replace(config, known_classes=None)
    if config.name is None:
        raise UserError(NO_DATA)
    recorded = source.record.get("seed") if seed is None else seed
    return dataclasses.replace(config, seed=recorded if isinstance(recorded, int) else 0)
