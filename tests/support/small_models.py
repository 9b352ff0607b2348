"""A small build of every model that has more than a head: the hyperparameters by its name."""

from unittest import mock

from keras import layers

import zoo
from zoo.models import bert

SMALL = {
    "bert": {"vocabulary_size": 30},
    "cnn": {"filters": (4, 8), "dense": 8},
    "fasttext": {"vocabulary_size": 30, "buckets": 50},
    "ft_transformer": {"width": 16, "depth": 1, "heads": 2, "feed_forward": 16},
    "gru": {"vocabulary_size": 30, "width": 6, "embedding": 5},
    "image_backbone": {},
    "lenet5": {},
    "lstm": {"vocabulary_size": 30, "width": 6, "embedding": 5},
    "mlp": {"hidden": (16, 8)},
    "nbsvm": {"vocabulary_size": 30},
    "resnet20": {"width": 2, "blocks": 1},
    "rnn": {"vocabulary_size": 30, "width": 6, "embedding": 5},
    "text_encoder": {"vocabulary_size": 30},
    "textcnn": {"vocabulary_size": 30, "embedding": 5, "filters": 3},
    "transformer": {"vocabulary_size": 30, "width": 8, "heads": 2, "feed_forward": 16},
    "vgg11": {},
}


def build_small(name, **arguments):
    """A small model, also of those that have no width.

    The layers of VGG-11 get a 16th of their channels, and a BERT has one layer of width 64.
    """

    def narrow(channels, *args, convolution=layers.Conv2D, **options):
        return convolution(channels // 16, *args, **options)

    with (
        mock.patch.object(layers, "Conv2D", narrow if name == "vgg11" else layers.Conv2D),
        mock.patch.dict(bert._SIZES, tiny=(1, 64)),
    ):
        return zoo.get(name, **{**SMALL.get(name, {}), **arguments})
