"""Attributions beside those of Captum and SHAP, where these are installed.

    pip install captum shap
    python -m pytest -n0 -s tests/attributions/test_other_packages.py

prints the largest differences. The same networks are built in PyTorch, from the weights of Keras.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.attributions.grad_cam import make_grad_cam
from zoo.attributions.integrated_gradients import IntegratedGradients
from zoo.attributions.occlusion import occlude_row
from zoo.data.spec import Spec

torch = pytest.importorskip("torch", exc_type=ImportError)
attr = pytest.importorskip("captum.attr", exc_type=ImportError)
shap = pytest.importorskip("shap", exc_type=ImportError)

NAMES = ("a", "b", "c")
STEPS = 1500


def draw_weights(model, seed):
    random = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(2 * weight + 0.1 * random.normal(size=weight.shape))


def copy_dense(model, name):
    kernel, bias = model.get_layer(name).get_weights()
    layer = torch.nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = torch.tensor(kernel.T), torch.tensor(bias)
    return layer


def copy_convolution(model, name):
    kernel, bias = model.get_layer(name).get_weights()
    layer = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[:2])
    layer.weight.data = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous()
    layer.bias.data = torch.tensor(bias)
    return layer


class Network(torch.nn.Module):
    """The model `cnn`, on images of 14 x 14 pixels."""

    def __init__(self, model):
        super().__init__()
        self.first, self.second = (copy_convolution(model, f"conv_{i}") for i in (1, 2))
        self.dense, self.head = (copy_dense(model, name) for name in ("dense", "head"))
        self.relu = torch.nn.ReLU()

    def forward(self, images):
        x = torch.nn.functional.max_pool2d(torch.relu(self.first(images)), 2)
        x = self.relu(self.second(x)).permute(0, 2, 3, 1).flatten(1)
        return self.head(torch.relu(self.dense(x)))


def check(title, found, expected, tolerance):
    difference, largest = np.abs(found - expected).max(), np.abs(expected).max()
    print(f"{title}: the largest difference is {difference:.1e}, the largest value {largest:.2f}")
    assert difference < tolerance * largest


@pytest.fixture(scope="module")
def images():
    """The model, its copy, the images and the predicted classes."""
    keras.utils.set_random_seed(0)
    model = zoo.get("cnn", input_shape=(14, 14, 1), num_classes=3, filters=(4, 6), dense=8)
    draw_weights(model, 1)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 14, 14, 1), "uint8")
    scaled = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    copy = Network(model)
    logits = model({"image": pixels})["logits"].numpy()
    np.testing.assert_allclose(copy(scaled).detach(), logits, atol=1e-4)
    return model, copy, pixels, scaled, logits.argmax(axis=-1)


def test_integrated_gradients_of_a_table_are_those_of_captum():
    keras.utils.set_random_seed(0)
    model = zoo.get("mlp", input_shape=(6,), num_classes=3, hidden=(16, 8), activation="relu")
    draw_weights(model, 1)
    x = 2 * np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    class_ids = model(x)["logits"].numpy().argmax(axis=-1)
    gradients = IntegratedGradients(model, Spec("features", (6,), NAMES))
    found = [
        gradients.attribute({"features": row[None]}, int(class_id)).attributions
        for row, class_id in zip(x, class_ids, strict=True)
    ]
    layers = [copy_dense(model, name) for name in ("dense_1", "dense_2", "head")]
    relu = torch.nn.ReLU()
    copy = torch.nn.Sequential(layers[0], relu, layers[1], torch.nn.ReLU(), layers[2])
    expected = attr.IntegratedGradients(copy).attribute(
        torch.tensor(x), target=torch.tensor(class_ids), n_steps=STEPS, method="riemann_middle"
    )
    check("integrated gradients of mlp", found, expected.detach().numpy(), 0.01)


def test_integrated_gradients_of_images_are_those_of_captum(images):
    model, copy, pixels, scaled, class_ids = images
    gradients = IntegratedGradients(model, Spec("image", (14, 14, 1), NAMES))
    found = [
        gradients.attribute({"image": image[None]}, int(class_id)).attributions
        for image, class_id in zip(pixels, class_ids, strict=True)
    ]
    expected = attr.IntegratedGradients(copy).attribute(
        scaled,
        target=torch.tensor(class_ids),
        n_steps=STEPS,
        method="riemann_middle",
        internal_batch_size=64,
    )
    check("integrated gradients of cnn", found, expected.detach().numpy()[:, 0], 0.01)


def test_grad_cam_is_that_of_captum(images):
    model, copy, pixels, scaled, class_ids = images
    compute = make_grad_cam(model)
    found = [
        compute({"image": tf.constant(image[None])}, int(class_id))
        for image, class_id in zip(pixels, class_ids, strict=True)
    ]
    cam = attr.LayerGradCam(copy, copy.relu)
    maps = cam.attribute(scaled, target=torch.tensor(class_ids), relu_attributions=True)
    expected = attr.LayerGradCam.interpolate(maps, (14, 14), interpolate_mode="bilinear")
    check("Grad-CAM of cnn", found, expected.detach().numpy()[:, 0], 1e-4)


def test_a_linear_model_has_the_values_of_shap():
    keras.utils.set_random_seed(0)
    model = zoo.get("perceptron", input_shape=(5,), num_classes=3)
    draw_weights(model, 1)
    x = np.random.default_rng(0).normal(size=(1, 5)).astype("float32")
    zeros = np.zeros((1, 5), "float32")

    def predict(rows):
        return model(np.asarray(rows, "float32"))["logits"].numpy()[:, 1]

    expected = shap.Explainer(predict, zeros, algorithm="exact")(x).values[0]
    integral = IntegratedGradients(model, Spec("features", (5,), NAMES)).attribute(
        {"features": x}, 1
    )
    check("integrated gradients of perceptron", integral.attributions, expected, 1e-4)
    row, typical = {"features": x}, {"features": zeros}
    found = occlude_row(lambda raw: predict(raw["features"]), row, typical)
    check("occlusion of perceptron", found, expected, 1e-4)
