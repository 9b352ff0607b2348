"""SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226) in training and in exports alike."""

import base64

import tensorflow as tf

from zoo.data.text_normalization import normalize_for_albert
from zoo.data.tokenizer_settings import Tokenizer


class SentencePieces(tf.Module):
    """Looks up the ids of sentencepieces; holds the model for an export."""

    def __init__(self, tokenizer: Tokenizer):
        import tensorflow_text

        super().__init__(name="sentence_pieces")
        self._settings = tokenizer
        self._pieces = tensorflow_text.SentencepieceTokenizer(
            base64.b64decode(tokenizer.model), out_type=tf.int32
        )
        ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
        with tf.init_scope():
            size = int(self._pieces.vocab_size())
            pieces = self._pieces.id_to_string(tf.range(size)).numpy()
        self._ids = tf.constant([ids.get(x.decode(), tokenizer.unknown_id) for x in pieces])

    def look_up_ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids, ragged (batch, tokens), of strings of shape (batch,).

        Bytes that are not UTF-8 become U+FFFD.
        """
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        texts = tf.strings.regex_replace(texts, r"\x{85}", " ")  # a line break
        if self._settings.normalization == "albert":
            texts = normalize_for_albert(
                texts, self._settings.lowercase, bool(self._settings.strip_accents)
            )
        pieces = self._pieces.tokenize(texts)
        return pieces.with_values(tf.gather(self._ids, pieces.values))
