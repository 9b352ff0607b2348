"""Models that lose whole filters and units."""

import keras
import numpy as np
import pytest
from support.small_models import build_small

import zoo
from zoo.compressing.structured_pruning import shrink_model
from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.data.texts.tokenizer_settings import Tokenizer
from zoo.errors import UserError
from zoo.registry import find_entry
from zoo.training.building import build_model

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


def test_the_layers_after_columns_of_categories_and_texts():
    """The embeddings stay as they are; only the dense layers become smaller."""
    tokenizer = Tokenizer("words", ("", "[UNK]", "good", "bad"), 3)
    columns = (
        Column("a", "number"),
        Column("b", "category", values=tuple("abcdefghijkl")),
        Column("c", "text", tokenizer=tokenizer),
    )
    spec = Spec("features", (5,), ("0", "1", "2"), columns=columns)
    entry, hparams = find_entry("mlp"), {"hidden": (8, 6), "text_width": 4}
    keras.utils.set_random_seed(0)
    model = build_model(entry, spec, hparams)
    for name, dead in (("dense_1", [0, 2, 3, 5]), ("dense_2", [1, 2, 5])):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[:, dead] = 0
        model.get_layer(name).set_weights([kernel, bias])
    shrunk, found = shrink_model(model, entry, hparams, spec, 0.5)
    assert found["hidden"] == (4, 3) and found["text_width"] == 4
    x = {"features": np.array([[0.5, 3, 2, 3, 0], [-2, 0, 1, 0, 0]], "float32")}
    np.testing.assert_allclose(shrunk(x)["logits"], model(x)["logits"], atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11"])
def test_models_with_branches_or_fixed_sizes(name):
    model = build_small(name, input_shape=(14, 14, 1), num_classes=3)
    with pytest.raises(UserError, match=f"structured: this {name} cannot lose whole filters"):
        shrink_model(model, find_entry(name), {}, IMAGES, 0.5)


def test_texts_are_refused():
    model = build_small("transformer", input_shape=(8,), num_classes=3)
    spec = Spec("text", (8,), ("0", "1", "2"))
    with pytest.raises(UserError, match="structured: this transformer cannot lose"):
        shrink_model(model, find_entry("transformer"), {}, spec, 0.5)
