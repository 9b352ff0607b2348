"""VGG for small images."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers

    from zoo.layers import inputs, outputs, regularization


@register(
    source="Simonyan and Zisserman 2014, 'Very deep convolutional networks', configuration A "
    "(arXiv 1409.1556); small-image head and normalisation: Liu and Deng 2015, ACPR",
    recipe=Recipe(
        epochs=5, learning_rate=0.05, optimizer="nesterov", weight_decay=5e-4, warmup=0.2
    ),
)
def vgg11(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    dropout: Rate = 0.5,
    batch_norm: bool = True,
) -> "keras.Model":
    """VGG-11 for small images: eight 3x3 convolutions, five pools and one dense layer.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Number of classes; None for a regression.
        dropout: Dropout rate before the head.
        batch_norm: Adds batch normalisation between each convolution and its activation.
    """
    image, x = inputs.image_input("vgg11", input_shape)
    for stage, channels in enumerate([(64,), (128,), (256, 256), (512, 512), (512, 512)], 1):
        for i, width in enumerate(channels, 1):
            name = f"{stage}_{i}"
            x = layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer="he_normal",
                name=f"conv_{name}",
            )(x)
            if batch_norm:
                x = regularization.BatchNormalization(momentum=0.9, name=f"norm_{name}")(x)
            x = layers.Activation("relu", name=f"relu_{name}")(x)
        # "same" rounds up, so that a 28x28 image is large enough for five pools
        x = layers.MaxPooling2D(2, padding="same", name=f"pool_{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = regularization.apply_dropout(x, dropout, "dropout")
    return outputs.classifier_head("vgg11", image, x, num_classes)
