"""Dense networks for images and feature vectors."""

from typing import Literal

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Cardinalities, Classes, Count, Counts, Rate, Shape, TextSizes

with epy.lazy_imports():
    import keras
    from keras import layers

    from zoo.layers import inputs, outputs, regularization


@register(
    kinds=("image", "features"),
    source="Rosenblatt 1958, 'The perceptron', Psychological Review 65(6)",
    recipe=Recipe(learning_rate=1e-2, jit_compile=True, steps_per_execution=32),
)
def perceptron(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    text_width: Count = 32,
    cardinalities: Cardinalities = (),
    texts: TextSizes = (),
) -> "keras.Model":
    """One dense layer: softmax regression, or linear regression.

    Images above 64x64 are averaged to at most that size.

    Args:
        input_shape: (rows, columns, channels) of an image, or (n,) of a feature vector.
        num_classes: Number of classes; None for a regression.
        text_width: Width of the embeddings of the words in columns of texts.
        cardinalities: Codes of each feature that is a category, 0 for numbers; set by the data.
        texts: Vocabulary size and tokens of each column of texts; set by the data.
    """
    raw, x = inputs.vector_input(
        "perceptron", input_shape, cardinalities, texts, text_width, embeds=False
    )
    return outputs.classifier_head("perceptron", raw, x, num_classes)


@register(
    kinds=("image", "features"),
    source="Rumelhart, Hinton and Williams 1986, Nature 323; dropout: Srivastava et al. 2014, JMLR",
    recipe=Recipe(epochs=20, jit_compile=True, steps_per_execution=32),
)
def mlp(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    hidden: Counts = (512, 512),
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = "relu",
    dropout: Rate = 0.2,
    batch_norm: bool = False,
    text_width: Count = 32,
    cardinalities: Cardinalities = (),
    texts: TextSizes = (),
) -> "keras.Model":
    """Dense layers with dropout between them.

    Images above 64x64 are averaged to at most that size.

    Args:
        input_shape: (rows, columns, channels) of an image, or (n,) of a feature vector.
        num_classes: Number of classes; None for a regression.
        hidden: Units of each hidden layer.
        activation: Activation of the hidden layers.
        dropout: Dropout rate after each hidden layer.
        batch_norm: Adds batch normalisation between each hidden layer and its activation.
        text_width: Width of the embeddings of the words in columns of texts.
        cardinalities: Codes of each feature that is a category, 0 for numbers; set by the data.
        texts: Vocabulary size and tokens of each column of texts; set by the data.
    """
    raw, x = inputs.vector_input("mlp", input_shape, cardinalities, texts, text_width)
    for i, width in enumerate(hidden, 1):
        x = layers.Dense(width, use_bias=not batch_norm, name=f"dense_{i}")(x)
        if batch_norm:
            x = regularization.BatchNormalization(momentum=0.9, name=f"norm_{i}")(x)
        x = layers.Activation(activation, name=f"{activation}_{i}")(x)
        x = regularization.apply_dropout(x, dropout, f"dropout_{i}")
    return outputs.classifier_head("mlp", raw, x, num_classes)
