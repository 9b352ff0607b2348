"""fastText: bags of words and word pairs, a fast and strong baseline for texts."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import inputs, masking, outputs, regularization


_PRIME = 116_049_371  # multiplier of the hash of word pairs


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
        input_shape: (maximum number of tokens,) of a text.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data.
        width: Width of the embeddings.
        buckets: Number of embeddings for word pairs; pairs with the same hash share one.
        dropout: Dropout rate before the head.
    """
    tokens, mask = inputs.text_input("fasttext", input_shape)
    words = layers.Embedding(vocabulary_size, width, name="words")(tokens)
    # unsigned integers overflow in the same way on every device
    hashes = ops.cast(tokens[:, :-1], "uint32") * _PRIME + ops.cast(tokens[:, 1:], "uint32")
    pairs = layers.Embedding(buckets, width, name="pairs")(
        ops.cast(ops.mod(hashes, buckets), "int32")
    )
    x = ops.concatenate([words, pairs], axis=1)
    x = masking.masked_mean(x, ops.concatenate([mask, mask[:, 1:]], axis=1))
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head("fasttext", tokens, x, num_classes)
