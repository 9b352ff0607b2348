"""Convolutions over the words of a text."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Counts, Rate, Shape

with epy.lazy_imports():
    import keras
    from keras import layers, ops

    from zoo.layers import inputs, masking, outputs, regularization


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
    """Convolutions over windows of words, max pooling over the text, and a linear head.

    Args:
        input_shape: (maximum number of tokens,) of a text.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data.
        embedding: Width of the token embeddings.
        windows: Window size of each convolution, in tokens.
        filters: Channels of each convolution.
        dropout: Dropout rate before the head.
    """
    tokens, mask = inputs.text_input("textcnn", input_shape)
    x = layers.Embedding(vocabulary_size, embedding, name="embedding")(tokens)
    # zeros for padding, as at the border of a convolution: the amount of padding has no effect
    x = x * ops.cast(mask, x.dtype)[:, :, None]
    maxima = []
    for window in windows:
        convolution = layers.Conv1D(
            filters, window, padding="same", activation="relu", name=f"conv_{window}"
        )
        maxima.append(masking.masked_max(convolution(x), mask))
    x = ops.concatenate(maxima, axis=-1) if len(maxima) > 1 else maxima[0]
    x = regularization.apply_dropout(x, dropout, "head_dropout")
    return outputs.classifier_head("textcnn", tokens, x, num_classes)
