"""The built-in models, one module per family. Importing the package registers them."""

from zoo.models import (
    bert,
    cnn,
    fasttext,
    ft_transformer,
    image_backbone,
    lenet,
    mlp,
    nbsvm,
    recurrent,
    resnet,
    text_encoder,
    textcnn,
    transformer,
    vgg,
)

__all__ = [
    "bert",
    "cnn",
    "fasttext",
    "ft_transformer",
    "image_backbone",
    "lenet",
    "mlp",
    "nbsvm",
    "recurrent",
    "resnet",
    "text_encoder",
    "textcnn",
    "transformer",
    "vgg",
]
