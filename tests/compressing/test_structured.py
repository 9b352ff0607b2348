"""Models that lose whole filters and units."""

import keras
import numpy as np
import pytest
from support.small_models import build_small

import zoo
from zoo.compressing.structured import shrink_model
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.registry import find_entry

IMAGES = Spec("image", (14, 14, 1), ("0", "1", "2"))
CASES = [
    ("cnn", {"filters": (4, 6), "dense": 8}, {"filters": (2, 3), "dense": 4}, IMAGES),
    (
        "cnn",
        {"filters": (4, 6), "dense": 8, "batch_norm": True},
        {"filters": (2, 3), "dense": 4},
        IMAGES,
    ),
    ("mlp", {"hidden": (8, 6)}, {"hidden": (4, 3)}, Spec("features", (5,), ("0", "1", "2"))),
]


@pytest.mark.parametrize(("name", "hparams", "smaller", "spec"), CASES)
def test_what_does_nothing_is_removed(name, hparams, smaller, spec):
    """Half of the channels of each layer are zero: without them the outputs are the same."""
    keras.utils.set_random_seed(0)
    model = zoo.get(name, input_shape=spec.shape, num_classes=3, **hparams)
    random = np.random.default_rng(0)
    dead = None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D) and layer.name != "head":
            kernel, *bias = layer.get_weights()
            dead = random.permutation(kernel.shape[-1])[: kernel.shape[-1] // 2]
            kernel[..., dead] = 0
            layer.set_weights(
                [kernel, *(np.where(np.isin(range(len(b)), dead), 0, b) for b in bias)]
            )
    entry = find_entry(name)
    shrunk, found = shrink_model(model, entry, entry.check(hparams, entry.arguments), spec, 0.5)
    assert {key: found[key] for key in smaller} == smaller
    assert shrunk.count_params() < 0.6 * model.count_params()
    x = {spec.input_name: random.integers(0, 9, (5, *spec.shape)).astype(spec.dtype)}
    # in a batch normalisation, the shift of a channel without input is 0 as built
    np.testing.assert_allclose(shrunk(x)["logits"], model(x)["logits"], atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11"])
def test_models_with_branches_or_fixed_sizes(name):
    model = build_small(name, input_shape=(14, 14, 1), num_classes=3)
    with pytest.raises(UserError, match=f"structured: {name} cannot lose whole filters or units"):
        shrink_model(model, find_entry(name), {}, IMAGES, 0.5)


def test_texts_are_refused():
    model = build_small("transformer", input_shape=(8,), num_classes=3)
    spec = Spec("text", (8,), ("0", "1", "2"))
    with pytest.raises(UserError, match="structured: transformer cannot lose"):
        shrink_model(model, find_entry("transformer"), {}, spec, 0.5)
