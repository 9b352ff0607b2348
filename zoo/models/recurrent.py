"""Recurrent networks for texts: three builders that differ only in the cell.

The layers get no mask, which is slow on a CPU and rules out cuDNN on a GPU. None is needed:
forwards, the output at a token does not depend on the padding after it; backwards, each text is
reversed within its own length.
"""

from collections.abc import Callable
from typing import Literal

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import inputs, masking, outputs, regularization


_ARGUMENTS = """
    Args:
        input_shape: (maximum number of tokens,) of a text.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data.
        embedding: Width of the token embeddings.
        width: Units of each layer, per direction.
        depth: Number of stacked layers.
        bidirectional: Adds a second layer per level that reads the text backwards.
        pooling: How the outputs at all tokens become one vector per text: the last output of each
            direction, or the mean or the maximum over all tokens.
        dropout: Dropout rate before each layer and before the head.
        token_dropout: Fraction of the tokens whose whole embedding is dropped in training.
"""


def _register_recurrent(
    name: str, cell: str, summary: str, source: str
) -> Callable[..., "keras.Model"]:
    """Registers a builder of recurrent networks.

    Args:
        name: Name of the model.
        cell: Name of the layer in `keras.layers`.
        summary: First line of the builder's docstring.
        source: The paper that the model follows.
    """

    def builder(
        input_shape: Shape = (600,),
        num_classes: Classes = 2,
        *,
        vocabulary_size: Count = 20_000,
        embedding: Count = 128,
        width: Count = 128,
        depth: Count = 1,
        bidirectional: bool = True,
        pooling: Literal["last", "mean", "max"] = "max",
        dropout: Rate = 0.3,
        token_dropout: Rate = 0.0,
    ) -> "keras.Model":
        layer = getattr(layers, cell)
        tokens, mask = inputs.text_input(name, input_shape)
        x = layers.Embedding(vocabulary_size, embedding, name="embedding")(tokens)
        x = regularization.apply_token_dropout(x, token_dropout, "token_dropout")
        for i in range(1, depth + 1):
            x = regularization.apply_dropout(x, dropout, f"dropout_{i}")
            directions = [layer(width, return_sequences=True, name=f"{name}_{i}")(x)]
            if bidirectional:
                backward = layer(width, return_sequences=True, name=f"{name}_{i}_backward")
                reversed_outputs = backward(masking.reverse_tokens(x, mask))
                directions.append(masking.reverse_tokens(reversed_outputs, mask))
            x = ops.concatenate(directions, axis=-1) if bidirectional else directions[0]
        if pooling == "last":
            last = masking.gather_at(directions[0], masking.count_tokens(mask) - 1)
            x = ops.concatenate([last, directions[1][:, 0]], axis=-1) if bidirectional else last
        else:
            x = (masking.masked_mean if pooling == "mean" else masking.masked_max)(x, mask)
        x = regularization.apply_dropout(x, dropout, "head_dropout")
        return outputs.classifier_head(name, tokens, x, num_classes)

    builder.__name__ = builder.__qualname__ = name
    builder.__doc__ = f"{summary}\n{_ARGUMENTS}"
    recipe = Recipe(epochs=3, batch_size=64, optimizer="rmsprop", learning_rate=2e-3)
    kinds = ("text", "text_pair")
    return register(kinds=kinds, dataset="imdb_reviews", source=source, recipe=recipe)(builder)


rnn = _register_recurrent(
    "rnn",
    "SimpleRNN",
    "A plain recurrent network (tanh) over the tokens of a text.",
    "Elman 1990, 'Finding structure in time', Cognitive Science 14(2)",
)
lstm = _register_recurrent(
    "lstm",
    "LSTM",
    "Long short-term memory over the tokens of a text.",
    "Hochreiter and Schmidhuber 1997, 'Long short-term memory', Neural Computation 9(8); forget "
    "gate: Gers, Schmidhuber and Cummins 2000",
)
gru = _register_recurrent(
    "gru",
    "GRU",
    "Gated recurrent units over the tokens of a text.",
    "Cho et al. 2014, 'Learning phrase representations using RNN encoder-decoder' (arXiv "
    "1406.1078), with the reset gate after the matrix product as in its first version",
)
