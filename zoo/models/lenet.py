"""LeNet-5, the convolutional network that read cheques."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Shape

with epy.lazy_imports():
    import keras
    from keras import layers

    from zoo.layers import ends


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

    It departs from the paper as later implementations do: C3 sees all the maps of S2, the pools
    have no coefficients of their own, and the output is linear instead of Gaussian. The paper's
    padding of 28x28 to 32x32 is the padding of C1 here, and its pixel values of -0.1 for the
    background and 1.175 for the ink are those of the rescaling.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Width of the logits; None predicts one number.
    """
    inputs, x = ends.image_input("lenet5", input_shape, smallest=12, scale=1.275 / 255, offset=-0.1)
    x = layers.Conv2D(6, 5, padding="same", activation="tanh", name="c1")(x)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = layers.AveragePooling2D(2, name="s4")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="tanh", name="c5")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(x)
    return ends.with_logits("lenet5", inputs, x, num_classes)
