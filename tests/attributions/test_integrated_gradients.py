"""Integrated gradients: they add up, are those of NumPy, and depend on the weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy import stats
from sklearn.datasets import load_digits
from support.small_models import build_small

import zoo
from zoo.attributions.baselines import make_typical_record
from zoo.attributions.grad_cam import make_grad_cam
from zoo.attributions.integrated_gradients import TOLERANCE, IntegratedGradients
from zoo.attributions.occlusion import occlude_image
from zoo.compressing.quantization import quantize_model
from zoo.data.spec import Spec, Tokenizer
from zoo.data.tables.columns import Column, count_features
from zoo.data.tables.table_encoding import encode_records
from zoo.errors import UserError
from zoo.layers.logits_model import LogitsModel

NAMES = ("a", "b", "c")
COLUMNS = (
    Column("age", "number", center=40.0, scale=10.0, has_missing=True),
    Column("town", "category", values=("Bonn", "Rom", "Ulm")),
    Column("day", "date", center=15_000.0, scale=300.0, date_format="%Y-%m-%d"),
    Column("job", "category", values=tuple("abcdefghijkl"), has_rare=True),
)
ROWS = {  # one of each kind of cell: as usual, missing and never seen
    "age": [55.0, np.nan, 20.0],
    "town": ["Rom", "", "Berlin"],
    "day": ["2020-05-17", "", "2011-01-26"],
    "job": ["l", "a", "z"],
}
WORDS = Tokenizer("words", ("", "[UNK]", "[SEP]", "a", "fine", "dull", "flat"), 5)
NOTED = (COLUMNS[1], Column("note", "text", tokenizer=WORDS), COLUMNS[0])
SIZES = [len(column.cardinalities) for column in COLUMNS]
SPECS = {
    "image": Spec("image", (14, 14, 3), NAMES),
    "text": Spec("text", (9,), NAMES),
    "vector": Spec("features", (4,), NAMES),
    "table": Spec("features", (sum(SIZES),), NAMES, tuple(ROWS), columns=COLUMNS),
    "noted": Spec("features", (count_features(NOTED),), NAMES, columns=NOTED),
    "price": Spec("features", (4,), None),
}


def records(columns=COLUMNS):
    rows = ROWS | {"note": ["a fine, fine flat", "", "dull"]}
    types = [(c.name, "f8" if c.kind == "number" else "O") for c in columns]
    return np.array(list(zip(*(rows[name] for name, _ in types), strict=True)), types)


def draw_model(name, spec, seed=0):
    """A small model whose weights, biases too, are drawn."""
    keras.utils.set_random_seed(seed)
    hparams = {"cardinalities": spec.cardinalities} if spec.columns else {}
    hparams |= {"texts": spec.texts} if spec.texts else {}
    model = build_small(name, input_shape=spec.shape, num_classes=spec.num_classes, **hparams)
    random = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * random.normal(size=weight.shape))
    return model


def draw_inputs(spec):
    random = np.random.default_rng(1)
    if spec.kind == "image":
        return random.integers(0, 256, (1, *spec.shape), "uint8")
    if spec.is_text:
        return np.array([[3, 7, 1, 5, 5, 29, 2, 0, 0]], "int32")
    if spec.columns:
        return encode_records(records(spec.columns)[:1], spec.columns)
    return random.normal(size=(1, *spec.shape)).astype("float32")


def call(model, spec, x):
    return model({spec.input_name: tf.constant(x)}, training=False)["logits"].numpy()


def call_at_baseline(model, spec):
    """The logits of the baseline, without the code of `zoo.attributions`."""
    if spec.is_text:  # vectors of zeros
        for layer in model.layers:
            if isinstance(layer, layers.Embedding):
                layer.embeddings.assign(0 * layer.embeddings)
            elif layer.name == "ratios":
                layer.kernel.assign(0 * layer.kernel)
        return call(model, spec, draw_inputs(spec))
    if spec.columns:
        return call(model, spec, encode_records(make_typical_record(spec.columns), spec.columns))
    return call(model, spec, np.zeros((1, *spec.shape), spec.dtype))


CASES = [
    ("cnn", "image"), ("lenet5", "image"), ("fasttext", "text"), ("nbsvm", "text"),
    ("textcnn", "text"), ("transformer", "text"), ("mlp", "table"), ("ft_transformer", "table"),
    ("mlp", "vector"), ("mlp", "price"), ("mlp", "noted"), ("ft_transformer", "noted"),
    ("perceptron", "noted"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_attributions_add_up_to_the_difference_of_outputs(name, kind):
    spec = SPECS[kind]
    model, x = draw_model(name, spec), draw_inputs(spec)
    logits = call(model, spec, x)[0]
    class_id = int(logits.argmax())
    gradients = IntegratedGradients(model, spec, traced=False)
    integral = gradients.attribute({spec.input_name: x}, class_id)
    assert integral.output == pytest.approx(logits[class_id], abs=1e-4)
    units = (len(spec.columns),) if spec.columns else spec.shape[:2]
    assert integral.attributions.shape == units and integral.attributions.dtype == np.float32
    baseline = call_at_baseline(model, spec)[0, class_id]
    assert integral.baseline_output == pytest.approx(baseline, abs=1e-4)
    difference = logits[class_id] - baseline
    assert abs(difference) > 0.01
    gap = abs(integral.attributions.sum() - difference)
    assert gap <= 1.05 * TOLERANCE * max(1, abs(difference)) + 1e-4
    if spec.is_text:
        assert not integral.attributions[7:].any()  # the padding


@pytest.mark.parametrize(("name", "kind"), [("fasttext", "text"), ("mlp", "noted")])
def test_a_quantised_model_has_nearly_the_same_attributions(name, kind):
    """Keras calls another method of layers that are quantised."""
    spec = SPECS[kind]
    model, x = draw_model(name, spec), draw_inputs(spec)
    before = IntegratedGradients(model, spec, traced=False).attribute({spec.input_name: x}, 1)
    quantize_model(model, "int8")
    after = IntegratedGradients(model, spec, traced=False).attribute({spec.input_name: x}, 1)
    largest = np.abs(before.attributions).max()
    np.testing.assert_allclose(after.attributions, before.attributions, atol=0.1 * largest)
    assert np.abs(after.attributions - before.attributions).max() > 0


def test_a_linear_model_of_images_has_its_weights_times_pixels():
    spec = SPECS["image"]
    model, x = draw_model("perceptron", spec), draw_inputs(spec)
    kernel, _ = model.get_layer("head").get_weights()
    products = (kernel[:, 2] * x.ravel() / 255).reshape(spec.shape).sum(axis=-1)
    integral = IntegratedGradients(model, spec).attribute({"image": x}, 2)
    np.testing.assert_allclose(integral.attributions, products, atol=1e-5)
    assert integral.points == 27  # enough of a straight line


def test_a_linear_model_of_a_table_has_its_weights_times_what_is_not_typical():
    spec = SPECS["table"]
    model = draw_model("perceptron", spec)
    kernel, _ = model.get_layer("head").get_weights()
    typical = encode_records(make_typical_record(COLUMNS), COLUMNS)
    gradients = IntegratedGradients(model, spec, traced=False)
    for row in range(3):
        x = encode_records(records()[row : row + 1], COLUMNS)
        (integral,) = gradients.attribute_quickly({"features": x}, np.array([1]))
        expected = expand(x, kernel[:, 1]) - expand(typical, kernel[:, 1])
        np.testing.assert_allclose(integral.attributions, expected, atol=1e-5)


def expand(features, weights):
    """What each column adds to a linear model: numbers first, then the one-hot codes."""
    sums, ends = np.zeros(len(COLUMNS)), np.cumsum([0, *SIZES])
    cardinalities = SPECS["table"].cardinalities
    numbers = [i for i, size in enumerate(cardinalities) if not size]
    places = {i: [place] for place, i in enumerate(numbers)}
    start = len(numbers)
    for i, size in enumerate(cardinalities):
        if size:
            places[i] = [start + code for code in range(size - 1)]
            start += size - 1
    for column, (first, last) in enumerate(itertools.pairwise(ends)):
        for i in range(first, last):
            value = features[0, i]
            if cardinalities[i]:
                sums[column] += weights[places[i][int(value) - 1]] if value else 0
            else:
                sums[column] += weights[places[i][0]] * value
    return sums


def test_fasttext_divides_its_mean_among_words_and_pairs_of_words():
    spec = SPECS["text"]
    model = draw_model("fasttext", spec)
    words, pairs = (model.get_layer(name).get_weights()[0] for name in ("words", "pairs"))
    weights = model.get_layer("head").get_weights()[0][:, 0]
    ids = [3, 7, 9]
    hashes = [(a * 116_049_371 + b) % 2**32 % len(pairs) for a, b in itertools.pairwise(ids)]
    of_words, of_pairs = words[ids] @ weights / 5, pairs[hashes] @ weights / 5
    expected = of_words + np.array([of_pairs[0], of_pairs.sum(), of_pairs[1]]) / 2
    x = np.array([[*ids, 0, 0]], "int32")
    integral = IntegratedGradients(model, spec, traced=False).attribute({"tokens": x}, 0)
    np.testing.assert_allclose(integral.attributions, [*expected, 0, 0], atol=1e-6)


def test_a_network_has_the_gradients_of_numpy():
    """Two dense layers with tanh, whose gradient is written by hand, in 10,000 steps."""
    spec = SPECS["vector"]
    keras.utils.set_random_seed(3)
    model = zoo.get("mlp", input_shape=(4,), num_classes=3, hidden=(6,), activation="tanh")
    for weight in model.trainable_weights:
        weight.assign(2 * weight + 0.1)
    first, bias = model.get_layer("dense_1").get_weights()
    second, _ = model.get_layer("head").get_weights()
    x = np.array([[1.5, -2.0, 0.3, 0.7]], "float32")
    alphas = (np.arange(10_000)[:, None] + 0.5) / 10_000
    slopes = 1 - np.tanh(alphas * x @ first + bias) ** 2
    expected = x[0] * ((slopes * second[:, 1]) @ first.T).mean(axis=0)
    integral = IntegratedGradients(model, spec).attribute({"features": x}, 1)
    np.testing.assert_allclose(integral.attributions, expected, atol=1e-3)
    # features are compared with their means
    model.get_layer("normalization").adapt(np.array([[1.0, -1, 0, 0], [3, 1, 2, 4]]))
    mean = np.array([[2.0, 0, 1, 2]], "float32")
    integral = IntegratedGradients(model, spec).attribute({"features": x}, 1)
    assert integral.baseline_output == pytest.approx(call(model, spec, mean)[0, 1], abs=1e-5)


def test_a_network_has_the_attributions_of_captum():
    """Those of captum 0.9.0, with n_steps=20_000 and method="riemann_middle"."""
    model = zoo.get("mlp", input_shape=(3,), num_classes=2, hidden=(2,))
    first = np.array([[1, -2], [0.5, 1], [-1, 0.25]])
    model.get_layer("dense_1").set_weights([first, np.array([0.4, -0.5])])
    model.get_layer("head").set_weights([np.array([[1, -1], [2, 0.5]]), np.array([0, 0.1])])
    x = np.array([[1.5, 2, 0.75], [-2, 0.5, 1]], "float32")
    gradients = IntegratedGradients(model, Spec("features", (3,), ("a", "b")), traced=False)
    found = [
        gradients.attribute({"features": row[None]}, class_id).attributions
        for row in x
        for class_id in (0, 1)
    ]
    expected = [
        [1.5, 1.0, -0.75],
        [-1.5, -1.0, 0.75],
        [6.8671, 0.93111, 0.30192],
        [2.0804, 0.18732, 0.25729],
    ]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_graph_integrates_batches_as_the_library_does():
    spec = SPECS["table"]
    model = draw_model("mlp", spec)
    gradients = IntegratedGradients(model, spec, traced=False)
    inputs = {"features": tf.constant(encode_records(records(), COLUMNS))}
    class_ids = np.array([2, 0, 1])
    graph = tf.function(lambda x, y: gradients.integrate(x, y, 27))
    attributions, baseline_outputs = graph(inputs, tf.constant(class_ids))
    for row, integral in enumerate(gradients.attribute_quickly(inputs, class_ids)):
        np.testing.assert_allclose(attributions[row], integral.attributions, atol=1e-5)
        assert integral.baseline_output == pytest.approx(float(baseline_outputs[row]), abs=1e-5)


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam", "occlusion"])
def test_random_weights_have_other_attributions(method):
    """The sanity check of Adebayo et al. 2018 (arXiv 1810.03292), section 3."""
    source = zoo.load_pretrained("lenet5", "mnist")
    model, spec = source.model, source.spec
    digits = load_digits()
    small = digits.images[:4].repeat(3, axis=1).repeat(3, axis=2) * 15
    images = np.pad(small, ((0, 0), (2, 2), (2, 2)))[..., None].astype("uint8")
    trained = [
        attribute(method, model, spec, image, y) for image, y in zip(images, range(4), strict=True)
    ]
    again = attribute(method, model, spec, images[0], 0)
    assert correlate(trained[0], again, images[0]) > 0.999
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.permutation(weight.numpy().ravel()).reshape(weight.shape))
    correlations = [
        correlate(trained[y], attribute(method, model, spec, images[y], y), images[y])
        for y in range(4)
    ]
    assert abs(np.mean(correlations)) < 0.5, correlations


def attribute(method, model, spec, image, class_id):
    inputs = {"image": image[None]}
    if method == "occlusion":
        return occlude_image(lambda raw: call(model, spec, raw["image"])[:, class_id], image)
    if method == "grad_cam":
        return make_grad_cam(model)({"image": tf.constant(image[None])}, class_id)
    (integral,) = IntegratedGradients(model, spec, traced=False).attribute_quickly(
        inputs, np.array([class_id])
    )
    return integral.attributions


def correlate(one, other, image):
    """The rank correlation where there is ink: elsewhere most attributions are 0."""
    ink = image[..., 0] > 0
    correlation = stats.spearmanr(one[ink], other[ink]).statistic
    return 0.0 if np.isnan(correlation) else float(correlation)


def test_a_model_without_vectors_of_tokens_is_refused():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = ops.mean(ops.cast(tokens, "float32"), axis=1, keepdims=True)
    model = LogitsModel({"tokens": tokens}, {"logits": layers.Dense(3, name="head")(x)}, name="bag")
    with pytest.raises(UserError, match=r"bag has no place where each token is .* --method=occl"):
        IntegratedGradients(model, SPECS["text"])
