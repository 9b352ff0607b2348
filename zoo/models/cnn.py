"""A small convolutional network, the one to try first on small images."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Counts, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers

    from zoo.layers import inputs, outputs, regularization

_LARGEST_MAP = 7  # rows and columns of the feature maps that the dense layer reads


@register(
    source="TensorFlow's tutorial 'Convolutional Neural Network (CNN)', and dropout",
    recipe=Recipe(epochs=10, batch_size=64, learning_rate=3e-3, steps_per_execution=8),
)
def cnn(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    filters: Counts = (32, 64, 64),
    dense: Count = 64,
    dropout: Rate = 0.3,
    batch_norm: bool = False,
) -> "keras.Model":
    """3x3 convolutions with 2x2 max-pools between them, then a dense layer.

    The last feature maps of images above 45x45 are averaged to at most 7x7.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Number of classes; None for a regression.
        filters: Channels of each convolution.
        dense: Units of the dense layer.
        dropout: Dropout rate before and after the dense layer.
        batch_norm: Adds batch normalisation between each convolution and its activation.
    """
    image, x = inputs.image_input("cnn", input_shape, smallest=_smallest_size(len(filters)))
    for i, channels in enumerate(filters, 1):
        if i > 1:
            x = layers.MaxPooling2D(2, name=f"pool_{i - 1}")(x)
        x = layers.Conv2D(channels, 3, use_bias=not batch_norm, name=f"conv_{i}")(x)
        if batch_norm:
            x = regularization.BatchNormalization(momentum=0.9, name=f"norm_{i}")(x)
        x = layers.Activation("relu", name=f"relu_{i}")(x)
    # over all 52x52 places of a photograph, the dense layer would have 11 million weights, which
    # ended in a constant answer, not 60.7% in folds of 243 photographs
    x = inputs.average_places(x, _LARGEST_MAP)
    x = layers.Flatten(name="flatten")(x)
    x = regularization.apply_dropout(x, dropout, "dropout_1")
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    x = regularization.apply_dropout(x, dropout, "dropout_2")
    return outputs.classifier_head("cnn", image, x, num_classes)


def _smallest_size(num_convolutions: int) -> int:
    """Returns the side of the smallest image of which the convolutions leave one pixel."""
    size = 3
    for _ in range(num_convolutions - 1):
        size = 2 * size + 2  # undoes a pool and a convolution without padding
    return size
