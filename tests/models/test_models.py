"""One suite for every registered model."""

import functools

import keras
import numpy as np
import pytest
from support.small_models import build_small

import zoo
from zoo.registry import find_entry

# with its defaults, trainable and not; every model has its line
PARAMETERS = {
    "bert": 4_369_666,
    "cnn": 93_322,
    "fasttext": 7_040_066,
    "ft_transformer": 68_307,
    "gru": 2_758_658,
    "image_backbone": 680_010,
    "lenet5": 61_706,
    "lstm": 2_823_682,
    "mlp": 669_706,
    "nbsvm": 600_006,
    "perceptron": 7_850,
    "resnet20": 270_810,
    "rnn": 2_626_306,
    "text_encoder": 4_369_410,
    "textcnn": 2_714_502,
    "transformer": 1_352_130,
    "vgg11": 9_232_714,
}
SMALLEST = {
    "cnn": 18,
    "image_backbone": 1,
    "lenet5": 12,
    "mlp": 1,
    "perceptron": 1,
    "resnet20": 1,
    "vgg11": 1,
}
# hyperparameters that matter to padding, beside the defaults
VARIANTS = [
    ("lstm", {"pooling": "last", "depth": 2}),
    ("gru", {"pooling": "mean", "bidirectional": False}),
    ("rnn", {"pooling": "last", "bidirectional": False}),
    ("transformer", {"positions": "sinusoidal", "norm": "post", "pooling": "max", "depth": 2}),
    ("textcnn", {"windows": (1, 2, 7)}),
    ("bert", {"pooling": "first"}),
    ("text_encoder", {"pooling": "first"}),
]
MODELS = zoo.list_models()


def models_of(kind):
    return [name for name in MODELS if kind in find_entry(name).kinds]


IMAGE_MODELS, FEATURE_MODELS, TEXT_MODELS = map(models_of, ("image", "features", "text"))


def pixels(shape, count=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), "uint8")


def texts(lengths, width=None, seed=0, vocabulary_size=50):
    """Token ids of texts of these lengths, padded to a width."""
    random = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), width or max(lengths)), "int32")
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = random.integers(1, vocabulary_size, length)
    return ids


def build(name, **arguments):
    """A model of its default sizes, but for a vocabulary that takes no time to draw and save.

    VGG-11 has a 16th of its channels.
    """
    if name == "vgg11":
        return build_small(name, **arguments)
    hparams = {"vocabulary_size": 50} if name in TEXT_MODELS else {}
    return zoo.get(name, **hparams, **({"buckets": 500} if name == "fasttext" else {}), **arguments)


@functools.cache
def untrained(name):
    """The same for all tests that leave its weights as they are."""
    return build(name)


def examples(name, count):
    """Inputs of what `build` returns."""
    if name in TEXT_MODELS:
        return {"tokens": texts([8] * count)}
    if name not in IMAGE_MODELS:
        return {"features": np.random.default_rng(0).normal(size=(count, 8)).astype("float32")}
    return {"image": pixels((28, 28, 1), count)}


def logits_of(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs)["logits"])


def test_no_model_is_left_out():
    assert sorted(PARAMETERS) == MODELS
    assert sorted(SMALLEST) == IMAGE_MODELS
    assert sorted({*IMAGE_MODELS, *FEATURE_MODELS, *TEXT_MODELS}) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_parameter_count(name):
    assert zoo.get(name).count_params() == PARAMETERS[name]


def test_published_parameter_counts():
    """0.27 M for ResNet-20 on CIFAR-10 (He et al. 2015, table 6); 9,225,610 for VGG-11's layers."""
    resnet = zoo.get("resnet20", input_shape=(32, 32, 3))
    assert sum(int(np.prod(w.shape)) for w in resnet.trainable_weights) == 269_722
    assert zoo.get("vgg11", input_shape=(32, 32, 3), batch_norm=False).count_params() == 9_225_610


@pytest.mark.parametrize(
    ("size", "places"),
    [((28, 28), (3, 3)), ((45, 45), (7, 7)), ((64, 45), (6, 7)), ((224, 224), (6, 6))],
)
def test_the_dense_layer_of_a_cnn_reads_at_most_7x7_places(size, places):
    model = zoo.get("cnn", input_shape=(*size, 3), num_classes=2)
    assert model.get_layer("dense").kernel.shape[0] == places[0] * places[1] * 64


def test_the_pixels_of_photographs_are_averaged_for_dense_layers():
    for name in ("perceptron", "mlp"):
        assert zoo.get(name, input_shape=(224, 64, 3)).get_layer("flatten").output.shape[1] == (
            56 * 64 * 3
        )


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("tiny", 4_385_920),
        ("mini", 11_170_560),
        ("small", 28_763_648),
        ("medium", 41_373_184),
        ("base", 109_482_240),
    ],
)
def test_published_parameter_counts_of_bert(size, parameters, monkeypatch):
    """Those of Google's uncased checkpoints (Turc et al. 2019 give 4.4 M to 110 M)."""
    # to draw the 110 M takes longer than all else
    zeros = keras.initializers.Zeros.__call__
    monkeypatch.setattr(keras.initializers.TruncatedNormal, "__call__", zeros)
    model = zoo.get("bert", size=size, pooling="first")
    assert model.get_layer("encoder").count_params() == parameters


def test_the_transformer_of_the_paper_builds_and_trains():
    """Encoder layers of width 512, 8 heads and 2048 have 3.15 M parameters each (table 3, base)."""
    keras.utils.set_random_seed(0)
    sizes = {"width": 512, "heads": 8, "depth": 6, "feed_forward": 2048}
    model = zoo.get("transformer", **sizes, dropout=0.0, vocabulary_size=50)
    encoders = [layer for layer in model.layers if layer.name.startswith("encoder_")]
    assert [layer.count_params() for layer in encoders] == [3_152_384] * 6
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # eagerly, since the graph of six layers takes longer than two steps
    model.compile(keras.optimizers.SGD(1e-3), {"logits": loss}, run_eagerly=True)
    inputs, labels = {"tokens": texts([6, 9, 4, 7])}, {"logits": np.array([0, 1, 0, 1])}
    losses = model.fit(inputs, labels, epochs=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "hparams"), [*((name, {}) for name in TEXT_MODELS), *VARIANTS], ids=str
)
def test_padding_does_not_matter(name, hparams):
    """The same text gives the same output however far it is padded, alone or in any batch."""
    keras.utils.set_random_seed(1)
    model = zoo.get(name, vocabulary_size=50, num_classes=3, **hparams)
    lengths = [1, 2, 12, 7, 0]
    ids = texts(lengths)
    together = logits_of(model, {"tokens": ids})
    padded = logits_of(model, {"tokens": np.pad(ids, [(0, 0), (0, 6)])})
    shuffled = logits_of(model, {"tokens": ids[[3, 2, 4, 1, 0]]})[[4, 3, 1, 0, 2]]
    alone = [
        logits_of(model, {"tokens": ids[i : i + 1, : max(n, 1)]}) for i, n in enumerate(lengths)
    ]
    assert np.isfinite(together).all()
    assert len(np.unique(together.round(4), axis=0)) > 1, "the texts make no difference"
    for other in (padded, shuffled, np.concatenate(alone)):
        np.testing.assert_allclose(other, together, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_MODELS)
@pytest.mark.parametrize("num_classes", [5, None])
def test_reads_token_ids_of_any_length(name, num_classes):
    model = zoo.get(name, input_shape=(16,), num_classes=num_classes, vocabulary_size=50)
    assert list(model.input) == ["tokens"] and model.input["tokens"].dtype == "int32"
    for width in (1, 2, 16):
        logits = logits_of(model, {"tokens": texts([width, 1])})
        assert logits.shape == (2, num_classes or 1) and logits.dtype == np.float32


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize(
    ("shape", "num_classes"), [((28, 28, 1), 7), ((33, 47, 3), 7), ((18, 64, 2), None)]
)
def test_reads_uint8_images_of_any_size_and_channels(name, shape, num_classes):
    model = build_small(name, input_shape=shape, num_classes=num_classes)
    assert list(model.input) == ["image"] and model.input["image"].dtype == "uint8"
    outputs = model({"image": pixels(shape)})
    assert list(outputs) == ["logits"]
    logits = keras.ops.convert_to_numpy(outputs["logits"])
    assert (
        logits.shape == (4, num_classes or 1)
        and logits.dtype == np.float32
        and np.isfinite(logits).all()
    )


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_smallest_image(name):
    size = SMALLEST[name]
    model = zoo.get(name, input_shape=(size, size, 1))
    assert model({"image": pixels((size, size, 1))})["logits"].shape == (4, 10)
    if size > 1:
        with pytest.raises(ValueError, match=f"the smallest is {size}x{size}"):
            zoo.get(name, input_shape=(size - 1, size, 1))


@pytest.mark.parametrize("filters", [(8,), (8, 8), (4, 4, 4, 4)])
def test_smallest_image_of_other_depths_of_cnn(filters):
    with pytest.raises(ValueError, match="the smallest is") as error:
        zoo.get("cnn", input_shape=(1, 1, 1), filters=filters)
    size = int(str(error.value).partition("the smallest is ")[2].partition("x")[0])
    zoo.get("cnn", input_shape=(size, size, 1), filters=filters)
    with pytest.raises(ValueError, match="the smallest is"):
        zoo.get("cnn", input_shape=(size - 1, size - 1, 1), filters=filters)


@pytest.mark.parametrize("name", FEATURE_MODELS)
@pytest.mark.parametrize("num_classes", [3, None])
def test_reads_plain_features(name, num_classes):
    model = zoo.get(name, input_shape=(5,), num_classes=num_classes)
    outputs = model({"features": np.ones((4, 5), "float32")})
    assert outputs["logits"].shape == (4, num_classes or 1)


@pytest.mark.parametrize("name", MODELS)
def test_one_example_does_not_depend_on_its_batch(name):
    model, inputs = untrained(name), examples(name, 5)
    alone = logits_of(model, {key: x[2:3] for key, x in inputs.items()})
    np.testing.assert_allclose(logits_of(model, inputs)[2:3], alone, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_makes_the_weights(name):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return np.concatenate([w.ravel() for w in build_small(name).get_weights()])

    first = weights(1)
    assert (first == weights(1)).all()
    assert (first != weights(2)).any()


# warnings of Keras and TensorFlow about the model; not those about objects of other tests
without_warnings = pytest.mark.filterwarnings(
    "error",
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@without_warnings
@pytest.mark.parametrize("name", MODELS)
def test_keras_file_round_trip(name, tmp_path):
    model, inputs = untrained(name), examples(name, 4)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(logits_of(model, inputs), logits_of(loaded, inputs))


@without_warnings
@pytest.mark.parametrize("name", MODELS)
def test_learns_eight_examples_by_heart(name):
    """In a graph."""
    keras.utils.set_random_seed(0)
    smaller = {"blocks": 1, "width": 8} if name == "resnet20" else {}
    model, inputs = build(name, num_classes=8, **smaller), examples(name, 8)
    labels = np.arange(8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = 0.05 if name in ("fasttext", "nbsvm") else 3e-3
    model.compile(keras.optimizers.Adam(rate), {"logits": loss})
    # saves the second of two traces of the step
    model.optimizer.build(model.trainable_variables)
    losses = []
    for _ in range(60):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(inputs, {"logits": labels})))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.3 < losses[0]


def test_batch_norm_replaces_biases():
    plain, normed = zoo.get("cnn"), zoo.get("cnn", batch_norm=True)
    assert normed.count_params() - plain.count_params() == (4 - 1) * (32 + 64 + 64)
    assert zoo.get("mlp", batch_norm=True).count_params() == 669_706 + (4 - 1) * (512 + 512)
