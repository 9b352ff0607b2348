"""The same networks in each framework, for those that `benchmarks/compare.py` compares.

The families are `mlp`, `cnn`, `lstm` and `transformer`; the zoo has its own models.
"""

import numpy as np

WORDS, LENGTH = 20_000, 200
_WIDTH, _HEADS = 128, 4


def build_keras_model(family: str, x: np.ndarray):
    """Returns Keras' own layers for the inputs x."""
    import keras
    from keras import layers

    if family == "mlp":
        body = [layers.Rescaling(1 / 255), layers.Flatten()]
        for _ in range(2):
            body += [layers.Dense(512, activation="relu"), layers.Dropout(0.2)]
    elif family == "cnn":
        body = [layers.Rescaling(1 / 255)]
        for i, filters in enumerate((32, 64, 64)):
            body += [layers.MaxPooling2D()] if i else []
            body += [layers.Conv2D(filters, 3, activation="relu")]
        body += [layers.Flatten(), layers.Dropout(0.3)]
        body += [layers.Dense(64, activation="relu"), layers.Dropout(0.3)]
    elif family == "lstm":
        body = [layers.Embedding(WORDS, _WIDTH), layers.Dropout(0.3), layers.LSTM(_WIDTH)]
        body += [layers.Dropout(0.3)]
    else:
        body = [_keras_transformer()]
    classes = 10 if family in ("mlp", "cnn") else 2
    inputs = keras.Input(x.shape[1:], dtype=x.dtype)
    return keras.Model(inputs, keras.Sequential([*body, layers.Dense(classes)])(inputs))


def _keras_transformer():
    """The blocks of keras.io's 'Text classification with Transformer', two of them."""
    import keras
    import keras_hub
    from keras import layers

    tokens = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(WORDS, _WIDTH)(tokens)
    x = layers.Dropout(0.1)(x + keras_hub.layers.PositionEmbedding(LENGTH)(x))
    for _ in range(2):
        read = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dropout(0.1)(read))
        y = layers.Dense(_WIDTH)(layers.Dense(_WIDTH, activation="relu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dropout(0.1)(y))
    return keras.Model(tokens, layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x)))


def build_flax_model(family: str):
    """The layers of the others as modules of Flax NNX."""
    from flax import nnx

    rngs = nnx.Rngs(0)
    if family == "mlp":
        hidden = []
        for inputs in (784, 512):
            hidden += [nnx.Linear(inputs, 512, rngs=rngs), nnx.relu, nnx.Dropout(0.2, rngs=rngs)]
        body = [lambda x: x.reshape(len(x), -1) / 255.0, *hidden]
        return nnx.Sequential(*body, nnx.Linear(512, 10, rngs=rngs))
    lstm = nnx.RNN(nnx.OptimizedLSTMCell(_WIDTH, _WIDTH, rngs=rngs))
    body = [nnx.Embed(WORDS, _WIDTH, rngs=rngs), nnx.Dropout(0.3, rngs=rngs), lstm]
    body += [lambda x: x[:, -1], nnx.Dropout(0.3, rngs=rngs)]
    return nnx.Sequential(*body, nnx.Linear(_WIDTH, 2, rngs=rngs))


def build_torch_model(family: str):
    """The layers of the others as modules of PyTorch."""
    import torch
    from torch import nn

    class Pixels(nn.Module):
        def forward(self, x):
            return x.float() / 255

    class Last(nn.Module):
        def forward(self, x):
            return x[0][:, -1]

    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(WORDS, _WIDTH), nn.Embedding(LENGTH, _WIDTH)

        def forward(self, x):
            return self.words(x) + self.places(torch.arange(x.shape[1], device=x.device))

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(1)

    if family == "mlp":
        hidden = []
        for inputs in (784, 512):
            hidden += [nn.Linear(inputs, 512), nn.ReLU(), nn.Dropout(0.2)]
        return nn.Sequential(Pixels(), nn.Flatten(), *hidden, nn.Linear(512, 10))
    if family == "cnn":
        body, before = [Pixels()], 1
        for i, filters in enumerate((32, 64, 64)):
            body += [nn.MaxPool2d(2)] if i else []
            body += [nn.Conv2d(before, filters, 3), nn.ReLU()]
            before = filters
        body += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(576, 64), nn.ReLU(), nn.Dropout(0.3)]
        return nn.Sequential(*body, nn.Linear(64, 10))
    if family == "lstm":
        lstm = nn.LSTM(_WIDTH, _WIDTH, batch_first=True)
        body = [nn.Embedding(WORDS, _WIDTH), nn.Dropout(0.3), lstm, Last(), nn.Dropout(0.3)]
        return nn.Sequential(*body, nn.Linear(_WIDTH, 2))
    blocks = []
    for _ in range(2):
        block = nn.TransformerEncoderLayer(_WIDTH, _HEADS, _WIDTH, 0.1, batch_first=True)
        block.self_attn.dropout = 0.0  # as in the others
        block.dropout = nn.Identity()  # of the inner units, which the others do not have
        blocks.append(block)
    body = [Embedded(), nn.Dropout(0.1), *blocks, Mean(), nn.Dropout(0.1)]
    return nn.Sequential(*body, nn.Linear(_WIDTH, 2))
