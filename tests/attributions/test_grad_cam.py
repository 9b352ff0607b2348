"""Grad-CAM: where the last feature map raises the logit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from support.small_models import build_small

import zoo
from zoo.attributions.grad_cam import find_feature_map, make_grad_cam
from zoo.errors import UserError
from zoo.layers.logits_model import LogitsModel

MAPS = {"cnn": "average", "lenet5": "s4", "resnet20": "stage3_block1_relu_2", "vgg11": "relu_5_2"}


@pytest.mark.parametrize(("name", "operation"), MAPS.items())
def test_the_last_feature_map_with_rows_and_columns_is_found(name, operation):
    assert find_feature_map(build_small(name, input_shape=(32, 32, 3))).name == operation


def test_the_last_feature_map_of_a_backbone_is_found(image_preset):
    """It is inside of a model in the model."""
    model = zoo.get("image_backbone", preset=image_preset, input_shape=(24, 24, 3))
    operation = find_feature_map(model)
    assert operation.name == "stack0_block0_out"
    pixels = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), "uint8")
    assert make_grad_cam(model)({"image": tf.constant(pixels)}, 0).shape == (24, 24)


def test_a_model_without_convolutions_has_none():
    model = build_small("mlp")
    assert find_feature_map(model) is None
    with pytest.raises(UserError, match=r"mlp has no convolution, .*: choose --method=integr"):
        make_grad_cam(model)


def test_a_map_is_the_sum_of_the_channels_that_raise_the_logit():
    """Two channels, each the image times a factor; their means are the features."""
    image = keras.Input((6, 4, 1), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(2, 1, use_bias=False, name="conv")(x)
    logits = layers.Dense(2, use_bias=False, name="head")(layers.GlobalAveragePooling2D()(x))
    model = LogitsModel({"image": image}, {"logits": logits}, name="two")
    model.get_layer("conv").set_weights([np.array([[[[2.0, 5.0]]]])])
    model.get_layer("head").set_weights([np.array([[3.0, -3.0], [-1.0, 1.0]])])
    model.trainable = False  # frozen layers have gradients too
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 4, 1), "uint8")
    compute = make_grad_cam(model)
    # the weight of a channel is its weight in the head by the number of pixels
    expected = pixels[0, :, :, 0] / 255 * (2 * 3 - 5 * 1) / 24
    cam = compute({"image": tf.constant(pixels)}, 0)
    np.testing.assert_allclose(cam, expected, rtol=1e-5, atol=1e-7)
    assert not compute({"image": tf.constant(pixels)}, 1).any()  # nothing raises this one
