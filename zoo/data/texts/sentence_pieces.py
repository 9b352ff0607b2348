"""SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226) in training and in exports alike."""

import base64

import tensorflow as tf

from zoo.data.texts.text_normalization import normalize_for_albert
from zoo.data.texts.tokenizer_settings import Tokenizer


class SentencePieces(tf.Module):
    """Looks up the ids of sentencepieces."""

    def __init__(self, tokenizer: Tokenizer):
        import tensorflow_text

        super().__init__(name="sentence_pieces")
        self._settings = tokenizer
        self._model = base64.b64decode(tokenizer.model)
        ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
        with tf.init_scope():
            pieces = tensorflow_text.SentencepieceTokenizer(self._model)
            names = pieces.id_to_string(tf.range(pieces.vocab_size())).numpy()
            self._ids = tf.constant([ids.get(x.decode(), tokenizer.unknown_id) for x in names])

    def look_up_ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids, ragged (batch, tokens), of strings of shape (batch,), in a graph.

        Bytes that are not UTF-8 become U+FFFD.
        """
        import tensorflow_text

        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        texts = tf.strings.regex_replace(texts, r"\x{85}", " ")  # a line break
        if self._settings.normalization == "albert":
            texts = normalize_for_albert(
                texts, self._settings.lowercase, bool(self._settings.strip_accents)
            )
        # within the graph: a model outside ends when TensorFlow empties its cache of operations
        pieces = tensorflow_text.SentencepieceTokenizer(self._model, out_type=tf.int32)
        split = pieces.tokenize(texts)
        return split.with_values(tf.gather(self._ids, split.values))
