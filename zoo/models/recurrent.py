"""Recurrent networks for texts: one builder for each kind of cell, alike in all else."""

from collections.abc import Callable
from typing import Literal

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import ends, noise, sequence

_ARGUMENTS = """
    Args:
        input_shape: (most tokens,) of a text.
        num_classes: Width of the logits; None predicts one number.
        vocabulary_size: Number of token ids; from the data.
        embedding: Width of the vector of each token.
        width: Units of each layer, in each direction.
        depth: Layers on top of each other.
        bidirectional: Reads the text backwards too, with units of their own.
        pooling: From a vector a token to one for the text: that at the end of the reading, or the
            mean or the largest value over all tokens.
        dropout: Share of each layer's inputs, and of the head's, that is dropped in training.
        token_dropout: Share of the tokens whose embeddings are dropped whole in training.
"""


def _recurrent(name: str, cell: str, summary: str, source: str) -> Callable[..., "keras.Model"]:
    """Registers the builder `name` of a recurrent network of Keras' layer `cell`.

    No layer gets a mask, which is slow on a CPU and rules out cuDNN on a GPU: what is read
    forwards up to a token does not depend on the padding after it, and for the way back each text
    is reversed within its own length.
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
        tokens, mask = sequence.text_input(name, input_shape)
        x = layers.Embedding(vocabulary_size, embedding, name="embedding")(tokens)
        x = noise.token_dropout(x, token_dropout, "token_dropout")
        for i in range(1, depth + 1):
            x = noise.dropout(x, dropout, f"dropout_{i}")
            read = [layer(width, return_sequences=True, name=f"{name}_{i}")(x)]
            if bidirectional:
                back = layer(width, return_sequences=True, name=f"{name}_{i}_backward")
                read.append(sequence.reverse(back(sequence.reverse(x, mask)), mask))
            x = ops.concatenate(read, axis=-1) if bidirectional else read[0]
        if pooling == "last":
            last = sequence.at(read[0], sequence.lengths(mask) - 1)
            x = ops.concatenate([last, read[1][:, 0]], axis=-1) if bidirectional else last
        else:
            x = (sequence.mean if pooling == "mean" else sequence.maximum)(x, mask)
        x = noise.dropout(x, dropout, "head_dropout")
        return ends.with_logits(name, tokens, x, num_classes)

    builder.__name__ = builder.__qualname__ = name
    builder.__doc__ = f"{summary}\n{_ARGUMENTS}"
    recipe = Recipe(epochs=3, batch_size=64, optimizer="rmsprop", learning_rate=2e-3)
    kinds = ("text", "text_pair")
    return register(kinds=kinds, dataset="imdb_reviews", source=source, recipe=recipe)(builder)


rnn = _recurrent(
    "rnn",
    "SimpleRNN",
    "A plain recurrent network, in tanh, over the tokens of a text.",
    "Elman 1990, 'Finding structure in time', Cognitive Science 14(2)",
)
lstm = _recurrent(
    "lstm",
    "LSTM",
    "Long short-term memory over the tokens of a text.",
    "Hochreiter and Schmidhuber 1997, 'Long short-term memory', Neural Computation 9(8); forget "
    "gate: Gers, Schmidhuber and Cummins 2000",
)
gru = _recurrent(
    "gru",
    "GRU",
    "Gated recurrent units over the tokens of a text.",
    "Cho et al. 2014, 'Learning phrase representations using RNN encoder-decoder' (arXiv "
    "1406.1078), with the reset gate applied after the matrix as in its first version",
)
