"""A small table of classes that are easy to part, and models that are trained on it."""

import numpy as np

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.loop import fit_model


def blobs(classes=3, count=300, seed=0, spread=0.5, kinds=(0, 1, 2)):
    """Points about the corners of a simplex, in units that need normalising."""
    random = np.random.default_rng(seed)
    labels = random.choice(kinds, count)
    x = (np.eye(classes, 4)[labels] + random.normal(0, spread, (count, 4))) * [1, 10, 100, 1] + 50
    return Arrays(x.astype("float32"), labels.astype("int64"))


def dataset(train=None, **changes):
    """Blobs to train on, to validate and to test."""
    spec = Spec("features", (4,), ("a", "b", "c"), tuple("wxyz"))
    splits = {"train": train or blobs(), "validation": blobs(seed=1), "test": blobs(seed=2)}
    return Data("blobs", "", **{"spec": spec, "splits": {}, **splits, **changes})


def trained(tmp_path, recipe, data=None, name="mlp", seed=0, **hparams):
    """A model that was trained on blobs, and what `fit_model` returns."""
    data = data or dataset()
    hparams = {"dropout": 0.0, **hparams}
    model, _ = prepare_model(find_entry(name), hparams, recipe, data, seed)
    tmp_path.mkdir(exist_ok=True)
    return model, fit_model(model, data, recipe, seed=seed, run_dir=tmp_path)
