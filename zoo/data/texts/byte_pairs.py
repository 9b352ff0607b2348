"""Byte-level byte-pair encoding with TensorFlow operations, in training and in exports alike.

Sennrich, Haddow and Birch 2016 (arXiv 1508.07909) on bytes, as in GPT-2 and RoBERTa (Liu et al.
2019, arXiv 1907.11692, section 4.4).
"""

import tensorflow as tf

from zoo.data.texts.tokenizer_settings import Tokenizer

_SPACE = r"[\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"
# the words of GPT-2, but that white space is a word as a whole: RE2 cannot look ahead
_WORD = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+"
    rf"| ?[^{_SPACE.strip('[]')}\p{{L}}\p{{N}}]+|{_SPACE}+"
)
_NUL = "\U0010ffff"  # in place of a NUL; no text has this noncharacter


def _list_symbols() -> tuple[str, ...]:
    """Returns 256 characters: printable Latin-1 bytes as they are, the others from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_SYMBOLS = _list_symbols()  # what stands for each byte in a vocabulary


class BytePairs(tf.Module):
    """Looks up the ids of byte pairs; holds the tables for an export."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__(name="byte_pairs")
        ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
        self._prefix_space = tokenizer.prefix_space
        self._size = len(ids)
        symbols = [ids.get(symbol, tokenizer.unknown_id) for symbol in BYTE_SYMBOLS]
        self._byte_ids = tf.constant(symbols, tf.int64)
        pairs = [merge.split(" ") for merge in tokenizer.merges]
        self._merged_ids = tf.constant([ids[a + b] for a, b in pairs] or [0], tf.int64)
        self._no_rank = max(len(pairs), 1)
        keys = [ids[a] * self._size + ids[b] for a, b in pairs]
        table = tf.lookup.KeyValueTensorInitializer(
            tf.constant(keys, tf.int64), tf.range(len(keys), dtype=tf.int64)
        )
        self._ranks = tf.lookup.StaticHashTable(table, self._no_rank)

    def look_up_ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns int32 ids, ragged (batch, tokens), of strings of shape (batch,).

        Bytes that are not UTF-8 become U+FFFD.
        """
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        if self._prefix_space:
            starts = tf.strings.regex_full_match(texts, r"(?s) .*|")
            texts = tf.where(starts, texts, " " + texts)
        words = split_byte_words(texts)
        unique, indices = tf.unique(words.values)
        ids = tf.gather(self._merge(unique), indices)
        return words.with_values(ids).merge_dims(1, 2)

    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each word, ragged (words, tokens)."""
        split = tf.strings.bytes_split(words)
        numbers = tf.squeeze(tf.io.decode_raw(split.values, tf.uint8), 1)
        symbols = tf.gather(self._byte_ids, tf.cast(numbers, tf.int32))
        count = tf.size(words)

        def merge_once(symbols, owners, _):
            chosen, ranks = self._choose_pairs(symbols, owners, count)
            ends = tf.zeros([tf.minimum(tf.size(symbols), 1)], tf.bool)
            merged = tf.gather(self._merged_ids, tf.where(chosen, ranks, 0))
            is_left, is_right = tf.concat([chosen, ends], 0), tf.concat([ends, chosen], 0)
            merged = tf.concat([merged, tf.zeros_like(ends, tf.int64)], 0)
            kept = ~is_right
            symbols = tf.boolean_mask(tf.where(is_left, merged, symbols), kept)
            return symbols, tf.boolean_mask(owners, kept), tf.reduce_any(chosen)

        any_shape = tf.TensorShape([None])
        symbols, owners, _ = tf.while_loop(
            lambda symbols, owners, goes_on: goes_on,
            merge_once,
            (symbols, split.value_rowids(), tf.constant(True)),
            shape_invariants=(any_shape, any_shape, tf.TensorShape([])),
        )
        return tf.RaggedTensor.from_value_rowids(
            tf.cast(symbols, tf.int32), owners, tf.cast(count, owners.dtype)
        )

    def _choose_pairs(
        self, symbols: tf.Tensor, owners: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns which neighbours are merged next, bool (symbols - 1,), and their ranks.

        They are those of the lowest rank in each word. Of pairs that overlap, as in "aaa", every
        second one is merged.
        """
        is_same_word = owners[1:] == owners[:-1]
        keys = tf.where(is_same_word, symbols[:-1] * self._size + symbols[1:], -1)
        ranks = self._ranks.lookup(keys)
        lowest = tf.math.unsorted_segment_min(ranks, owners[:-1], count)
        is_lowest = (ranks < self._no_rank) & (ranks == tf.gather(lowest, owners[:-1]))
        places = tf.range(tf.size(ranks))
        is_start = is_lowest & ~tf.concat([tf.zeros_like(is_lowest[:1]), is_lowest[:-1]], 0)
        starts = tf.concat([[0], tf.boolean_mask(places, is_start)], 0)
        start = tf.gather(starts, tf.cumsum(tf.cast(is_start, tf.int32)))
        return is_lowest & ((places - start) % 2 == 0), ranks


def split_byte_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits strings of shape (batch,) as GPT-2 does: ragged (batch, words), with their spaces.

    A word begins with the one space before it. Other white space is words of its own.
    """
    import tensorflow_text

    # `regex_split` ends a text at a NUL
    texts = tf.strings.regex_replace(texts, r"\x00", _NUL)
    words = tensorflow_text.regex_split(texts, _WORD, _WORD)
    values, rows = tf.strings.regex_replace(words.values, _NUL, "\x00"), words.value_rowids()
    is_space = tf.strings.regex_full_match(values, f"{_SPACE}+")
    is_followed = tf.concat([rows[1:] == rows[:-1], tf.zeros_like(rows[:1], tf.bool)], 0)
    # the last of several white spaces before a word is apart, and a space is part of the word
    is_cut = is_space & is_followed & tf.strings.regex_full_match(values, f"{_SPACE}{_SPACE}+")
    last = tf.strings.regex_replace(values, f"^{_SPACE}+({_SPACE})$", r"\1")
    gives_space = is_cut & (last == " ")
    takes_space = tf.concat([tf.zeros_like(gives_space[:1]), gives_space[:-1]], 0)
    first = tf.where(is_cut, tf.strings.regex_replace(values, f"{_SPACE}$", ""), values)
    first = tf.where(takes_space, " " + first, first)
    parts = tf.stack([first, last], 1)
    kept = tf.stack([tf.ones_like(is_cut), is_cut & ~gives_space], 1)
    counts = tf.reduce_sum(tf.cast(kept, tf.int64), 1)
    return tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(parts, kept), tf.repeat(rows, counts), words.nrows()
    )
