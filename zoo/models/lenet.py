"""LeNet-5, a convolutional network for handwritten digits."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Shape

with epy.lazy_imports():
    import keras
    from keras import layers

    from zoo.layers import inputs, outputs


@register(
    source="LeCun, Bottou, Bengio and Haffner 1998, 'Gradient-based learning applied to document "
    "recognition', section II.B",
    recipe=Recipe(
        epochs=15,
        batch_size=64,
        optimizer="nesterov",
        learning_rate=0.05,
        weight_decay=5e-4,
        steps_per_execution=8,
    ),
)
def lenet5(input_shape: Shape = (28, 28, 1), num_classes: Classes = 10) -> "keras.Model":
    """LeNet-5 of 1998: two 5x5 convolutions with average pools, then dense 120 and 84, in tanh.

    It differs from the paper in the ways that are usual today: C3 is connected to all maps of S2,
    the pools have no trainable coefficients, and the output is linear instead of Gaussian. C1 pads
    28x28 images to the 32x32 of the paper. Pixels are rescaled to the paper's values, -0.1 for
    the background and 1.175 for the ink.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Number of classes; None for a regression.
    """
    image, x = inputs.image_input(
        "lenet5", input_shape, smallest=12, scale=1.275 / 255, offset=-0.1
    )
    x = layers.Conv2D(6, 5, padding="same", activation="tanh", name="c1")(x)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = layers.AveragePooling2D(2, name="s4")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="tanh", name="c5")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(x)
    return outputs.classifier_head("lenet5", image, x, num_classes)
