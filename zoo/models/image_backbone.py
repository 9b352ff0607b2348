"""A pretrained image model, fine-tuned for other classes."""

from etils import epy

from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Counts, Rate, Shape

with epy.lazy_imports():
    import keras
    import keras_hub
    from keras import ops

    from zoo.layers import inputs, outputs, regularization, resizing
    from zoo.models.presets import image_preset

_NAME = "image_backbone"
_COLOURS = 3  # channels of a preset


@register(
    source="He, Zhang, Ren and Sun 2015, 'Deep residual learning for image recognition', table 1 "
    "(arXiv 1512.03385), for the model without a preset",
    recipe=Recipe(
        epochs=4,
        batch_size=32,
        learning_rate=1e-4,
        head_learning_rate=2e-3,
        schedule="cosine",
        head_epochs=20,
    ),
)
def image_backbone(
    input_shape: Shape = (28, 28, 1),
    num_classes: Classes = 10,
    *,
    preset: str = "",
    preset_weights: str = "",
    pretrained: bool = True,
    resolution: Counts | None = None,
    dropout: Rate = 0.2,
) -> "keras.Model":
    """Pretrained image model of KerasHub, timm, Hugging Face or Keras with a new linear head.

    Args:
        input_shape: (rows, columns, channels) of an image.
        num_classes: Number of classes; None for a regression.
        preset: The pretrained model: the name of a KerasHub preset, a folder of KerasHub, timm or
            Hugging Face, or keras:NAME for a model of keras.applications such as keras:MobileNetV2.
            Without it the model is the first half of a ResNet-18 with random weights.
        preset_weights: File of the weights of keras:NAME; empty to download those of ImageNet.
        pretrained: Whether the weights of the preset are loaded; otherwise they are random.
        resolution: Rows and columns that the model computes at, after it has resized the images.
            None for those of the preset.
        dropout: Dropout rate before the head.
    """
    image, x = inputs.image_input(_NAME, input_shape, scale=1.0)
    if preset:
        size = (resolution[0], resolution[-1]) if resolution else None
        loaded = image_preset.load_preset(preset, preset_weights, size, pretrained=pretrained)
        x = _compute_features(x, loaded)
    else:
        x = _build_small_resnet(input_shape)(x)
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head(_NAME, image, x, num_classes)


def load_classifier(
    preset: str, preset_weights: str = ""
) -> "tuple[keras.Model, tuple[str, ...], str]":
    """Loads a preset as the classifier that it was pretrained as, with its own head.

    Args:
        preset: As in `image_backbone`.
        preset_weights: As in `image_backbone`.

    Returns:
        The model from {"image": uint8 pixels of the size of the preset} to {"logits": ...}, the
        names of its classes, and a note on them; the note may be empty.

    Raises:
        UserError: if the preset cannot be loaded, or has no head.
    """
    loaded = image_preset.load_preset(preset, preset_weights)
    if loaded.head is None:
        raise UserError(
            f"preset={preset!r}: it has no head, so it cannot name classes: train one with zoo "
            f"train --model={_NAME} --preset={preset}"
        )
    image, x = inputs.image_input(_NAME, (*loaded.settings.size, _COLOURS), scale=1.0)
    x = _compute_features(x, loaded)
    model = outputs.classifier_head(_NAME, image, x, len(loaded.class_names))
    model.get_layer(outputs.HEAD).set_weights(loaded.head)
    return model, loaded.class_names, loaded.note


def _compute_features(
    x: "keras.KerasTensor", loaded: "image_preset.ImagePreset"
) -> "keras.KerasTensor":
    """Converts pixels of 0 to 255 to the colours and the size of a preset, and returns features."""
    x = _convert_channels(x, x.shape[-1])
    x = resizing.Resize(
        loaded.features.input.shape[1:3],
        loaded.settings.interpolation,
        dtype="float32",
        name=image_preset.RESIZE,
    )(x)
    return loaded.features(x)


def _convert_channels(x: "keras.KerasTensor", channels: int) -> "keras.KerasTensor":
    """Returns images of three channels: grey ones are repeated, and opacity is left out."""
    if channels == 1:
        return ops.concatenate([x] * _COLOURS, axis=-1)
    if channels not in (_COLOURS, _COLOURS + 1):
        raise UserError(
            f"image_backbone: images have {channels} channels, but a preset reads 1 (grey), 3 "
            "(RGB) or 4 (RGB and opacity)"
        )
    return x if channels == _COLOURS else x[..., :_COLOURS]


def _build_small_resnet(input_shape: tuple[int, ...]) -> "keras.Model":
    """Returns the first two of four stages of a ResNet-18, for any size and channels."""
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[2, 2],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, input_shape[-1]),
    )
    pooled = keras.layers.GlobalAveragePooling2D(name="pooler")(backbone.output)
    return keras.Model(backbone.input, pooled, name=image_preset.BACKBONE)
