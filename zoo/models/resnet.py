"""Residual networks for small images."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import inputs, outputs, regularization


@register(
    source="He, Zhang, Ren and Sun 2015, 'Deep residual learning for image recognition', "
    "section 4.2 (arXiv 1512.03385)",
    recipe=Recipe(epochs=3, learning_rate=0.1, optimizer="nesterov", weight_decay=1e-4, warmup=0.2),
)
def resnet20(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    width: Count = 16,
    blocks: Count = 3,
) -> "keras.Model":
    """ResNet-20 of the CIFAR experiments: three stages of residual blocks, plain shortcuts.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Number of classes; None for a regression.
        width: Channels of the first stage; each following stage has twice as many.
        blocks: Residual blocks per stage; the network has 6 * blocks + 2 layers.
    """
    image, x = inputs.image_input("resnet20", input_shape)
    x = _convolution(x, width, 1, "stem")
    x = layers.Activation("relu", name="stem_relu")(x)
    for stage in range(3):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _residual_block(x, width * 2**stage, stride, f"stage{stage + 1}_block{block + 1}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return outputs.classifier_head("resnet20", image, x, num_classes)


def _convolution(x, channels: int, stride: int, name: str):
    """Applies a 3x3 convolution without bias and batch normalisation."""
    x = layers.Conv2D(
        channels,
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return regularization.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)


def _residual_block(x, channels: int, stride: int, name: str):
    """Applies relu(shortcut(x) + F(x)).

    If the shape changes, the shortcut is the paper's option A: it subsamples and pads with zeros.
    """
    residual = _convolution(x, channels, stride, f"{name}_1")
    residual = layers.Activation("relu", name=f"{name}_relu_1")(residual)
    residual = _convolution(residual, channels, 1, f"{name}_2")
    if stride > 1:
        x = x[:, ::stride, ::stride]
    if channels > x.shape[-1]:
        x = ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])])
    x = layers.Add(name=f"{name}_add")([x, residual])
    return layers.Activation("relu", name=f"{name}_relu_2")(x)
