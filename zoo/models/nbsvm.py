"""NBSVM: a linear model over words and pairs of words, scaled by naive Bayes."""

from etils import epy

from zoo.recipe import Recipe
from zoo.registry import register
from zoo.schema import Classes, Count, Shape

with epy.lazy_imports():
    import keras

    from zoo.layers import inputs, log_count_ratios, outputs


@register(
    kinds=("text", "text_pair"),
    dataset="imdb_reviews",
    source="Wang and Manning 2012, 'Baselines and Bigrams: Simple, Good Sentiment and Topic "
    "Classification' (ACL 2012)",
    recipe=Recipe(epochs=4, batch_size=64),
    tokenizer="bigrams",
)
def nbsvm(
    input_shape: Shape = (1200,),
    num_classes: Classes = 2,
    *,
    vocabulary_size: Count = 150_000,
) -> "keras.Model":
    """The sum of a weight for each word and pair of words, scaled by its log-count ratio.

    The ratios come from the training texts. The paper trains the weights by a support vector
    machine; here they are trained by cross-entropy, as in Mesnil et al. 2014 (arXiv 1412.5335).

    Args:
        input_shape: (maximum number of tokens,) of a text.
        num_classes: Number of classes; None for a regression.
        vocabulary_size: Number of token ids, determined by the data.
    """
    tokens, _ = inputs.text_input("nbsvm", input_shape)
    x = log_count_ratios.LogCountRatios(vocabulary_size, num_classes or 1, name="ratios")(tokens)
    return outputs.classifier_head("nbsvm", tokens, x, num_classes, kernel_initializer="identity")
