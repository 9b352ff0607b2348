"""What fits the data: weights, and hyperparameters."""

from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.commands.starting_weights import fit_weights_to_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.registry import find_entry
from zoo.training.source import Source


@pytest.mark.parametrize(
    ("hparams", "notes"),
    [
        ({"text_width": 8}, ("text_width=8 changes nothing: no column of texts is read",)),
        ({"dropout": 0.1}, ()),
    ],
)
def test_a_hyperparameter_without_effect_is_told(hparams, notes):
    examples = Arrays(np.zeros((2, 1), "float32"), np.zeros(2, "int64"))
    spec = Spec("features", (1,), ("x", "y"))
    data = Data("csv:a.csv", "", spec, examples, examples, examples, {})
    kept, told = fit_weights_to_data(None, find_entry("mlp"), hparams, data)
    assert kept == hparams and told.notes == notes
    # what the weights of a run come with is nothing that was asked for
    model = zoo.get("mlp", input_shape=(1,), num_classes=2, hidden=(2,))
    record = {"model": "mlp", "hyperparameters": hparams}
    source = Source(Path("run"), lambda: model, record, None)
    assert not fit_weights_to_data(source, find_entry("mlp"), hparams, data)[1].notes
