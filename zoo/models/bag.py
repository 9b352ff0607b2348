"""Texts without order, or nearly so: quick baselines that are hard to beat."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Counts, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import ends, noise, sequence

_PRIME = 116_049_371  # spreads the first word of a pair over the buckets


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    source="Joulin et al. 2016, 'Bag of tricks for efficient text classification' (arXiv "
    "1607.01759)",
    recipe=Recipe(epochs=5, batch_size=64, learning_rate=3e-3),
)
def fasttext(
    input_shape: Shape = (600,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 20_000,
    width: Count = 32,
    buckets: Count = 200_000,
    dropout: Rate = 0.3,
) -> "keras.Model":
    """The mean of the embeddings of a text's words and word pairs, and a linear head.

    Args:
        input_shape: (most tokens,) of a text.
        num_classes: Width of the logits; None predicts one number.
        vocabulary_size: Number of token ids; from the data.
        width: Width of the embeddings.
        buckets: Embeddings that all pairs of neighbouring words share, by their hash.
        dropout: Share of the head's inputs that is dropped in training.
    """
    tokens, mask = sequence.text_input("fasttext", input_shape)
    words = layers.Embedding(vocabulary_size, width, name="words")(tokens)
    # unsigned products wrap around alike on every device
    hashed = ops.cast(tokens[:, :-1], "uint32") * _PRIME + ops.cast(tokens[:, 1:], "uint32")
    pairs = layers.Embedding(buckets, width, name="pairs")(
        ops.cast(ops.mod(hashed, buckets), "int32")
    )
    x = ops.concatenate([words, pairs], axis=1)
    x = sequence.mean(x, ops.concatenate([mask, mask[:, 1:]], axis=1))
    x = noise.dropout(x, dropout, "head_dropout")
    return ends.with_logits("fasttext", tokens, x, num_classes)


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    source="Kim 2014, 'Convolutional neural networks for sentence classification' (arXiv "
    "1408.5882), CNN-rand",
    recipe=Recipe(epochs=4, batch_size=64, learning_rate=1e-3),
)
def textcnn(
    input_shape: Shape = (600,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 20_000,
    embedding: Count = 128,
    windows: Counts = (3, 4, 5),
    filters: Count = 100,
    dropout: Rate = 0.5,
) -> "keras.Model":
    """Convolutions over windows of words, the largest value of each filter, and a linear head.

    Args:
        input_shape: (most tokens,) of a text.
        num_classes: Width of the logits; None predicts one number.
        vocabulary_size: Number of token ids; from the data.
        embedding: Width of the vector of each token.
        windows: Words in the windows of each convolution.
        filters: Channels of each convolution.
        dropout: Share of the head's inputs that is dropped in training.
    """
    tokens, mask = sequence.text_input("textcnn", input_shape)
    x = layers.Embedding(vocabulary_size, embedding, name="embedding")(tokens)
    # beyond its end a text goes on in zeros, however far it is padded
    x = x * ops.cast(mask, x.dtype)[:, :, None]
    largest = []
    for window in windows:
        convolution = layers.Conv1D(
            filters, window, padding="same", activation="relu", name=f"conv_{window}"
        )
        largest.append(sequence.maximum(convolution(x), mask))
    x = ops.concatenate(largest, axis=-1) if len(largest) > 1 else largest[0]
    x = noise.dropout(x, dropout, "head_dropout")
    return ends.with_logits("textcnn", tokens, x, num_classes)
