"""Encodes texts as token ids, in training and in serving alike."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.splits import Arrays, Split
from zoo.data.texts.byte_pairs import BytePairs
from zoo.data.texts.sentence_pieces import SentencePieces
from zoo.data.texts.text_normalization import UNSPACED_LETTER, normalize_for_bert, normalize_text
from zoo.data.texts.tokenizer_settings import Tokenizer

BATCH_SIZE = 512
_JOINED_CHARACTERS = 1 << 22
NO_PAIRS = (
    "--long_texts=windows: only single texts are divided into windows, but these are pairs: choose "
    "--long_texts=truncate"
)

_FLAG = r"[\x{1F1E6}-\x{1F1FF}]{2}"  # two letters of a country
_EMOJI = r"[\p{So}\x{1F3FB}-\x{1F3FF}]"  # and other symbols; skin tones
_PUNCTUATION = r"\p{S}|[^\P{P}']"  # without the apostrophe, which belongs to words

_UNKNOWN_ID = 1


# cached, since tracing BERT's tokenizer takes a second
@functools.lru_cache(maxsize=32)
def make_encoder(tokenizer: Tokenizer) -> tuple[Callable[..., tf.Tensor], Any]:
    """Returns the function that encodes texts, and the object that holds its lookup tables.

    The function takes one string tensor of shape (batch,), or two for pairs, and returns int32 ids
    of shape (batch, longest), padded with 0, in the frame of the tokenizer. The longer text of a
    pair is truncated first. Empty examples without a frame become one unknown token. Windows of a
    text follow each other, each in a frame of its own.
    """
    tables, look_up_ids = make_lookup(tokenizer)

    def encode(*texts: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(texts[0])[0]
        all_ids = look_up_ids(tf.concat(texts, axis=0))
        split_ids = [all_ids[i * rows : (i + 1) * rows] for i in range(len(texts))]
        return frame_ids(split_ids, tokenizer)

    # tf.functions, since KerasHub's tokenizer returns lists in eager mode
    string = tf.TensorSpec((None,), tf.string)
    graphs = {n: tf.function(encode, input_signature=[string] * n, autograph=False) for n in (1, 2)}
    return lambda *texts: graphs[len(texts)](*texts), tables


def frame_ids(split_ids: Sequence[tf.RaggedTensor], tokenizer: Tokenizer) -> tf.Tensor:
    """Truncates the ids of the texts, or of both texts of pairs, and puts the frame around them.

    Args:
        split_ids: int32 (batch, tokens) of each text.
        tokenizer: The tokenizer.

    Returns:
        int32 (batch, longest), padded with 0, as from `make_encoder`.
    """
    if tokenizer.window:
        return _pack_windows(split_ids[0], tokenizer)
    frame, texts = tokenizer.framing, len(split_ids)
    framing = len(frame.start) + len(frame.end) + (texts - 1) * len(frame.separator)
    columns = _truncate(split_ids, tokenizer.length - framing)
    rows = split_ids[0].nrows(tf.int32)

    def repeat_token(token):
        return tf.fill([rows, 1], token)

    joined = [*map(repeat_token, frame.start), columns[0]]
    for column in columns[1:]:
        joined += [*map(repeat_token, frame.separator), column]
    packed = tf.concat([*joined, *map(repeat_token, frame.end)], axis=1)
    dense = packed.to_tensor() if isinstance(packed, tf.RaggedTensor) else packed
    dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]])
    return tf.concat([tf.maximum(dense[:, :1], _UNKNOWN_ID), dense[:, 1:]], axis=1)


def _pack_windows(ids: tf.RaggedTensor, tokenizer: Tokenizer) -> tf.Tensor:
    """Returns the ids of texts as windows one after the other, int32 (batch, n * window)."""
    frame = tokenizer.framing
    size = tokenizer.window - frame.size
    ids = ids[:, : size * (tokenizer.length // tokenizer.window)]
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    count = tf.maximum((tf.reduce_max(lengths) + size - 1) // size, 1)
    dense = ids.to_tensor()
    dense = tf.pad(dense, [[0, 0], [0, count * size - tf.shape(dense)[1]]])
    starts = tf.range(count) * size
    counts = tf.clip_by_value(lengths[:, None] - starts, 0, size)
    pieces = tf.RaggedTensor.from_tensor(tf.reshape(dense, [-1, size]), tf.reshape(counts, [-1]))
    rows = tf.shape(counts)[0] * count
    start, end = (tf.tile([tokens], [rows, 1]) for tokens in (frame.start, frame.end))
    framed = tf.concat([start, pieces, end], axis=1).to_tensor(shape=[None, tokenizer.window])
    is_used = tf.reshape((counts > 0) | (starts == 0), [-1, 1])
    return tf.reshape(tf.where(is_used, framed, 0), [-1, count * tokenizer.window])


def make_lookup(tokenizer: Tokenizer) -> tuple[Any, Callable[[tf.Tensor], tf.RaggedTensor]]:
    """Returns the object that holds the tables, and a function from texts to int32 ids, ragged."""
    if tokenizer.kind in ("byte_pair", "sentencepiece"):
        is_bytes = tokenizer.kind == "byte_pair"
        module = BytePairs(tokenizer) if is_bytes else SentencePieces(tokenizer)
        return module, module.look_up_ids
    if tokenizer.kind != "wordpiece":
        layer = keras.layers.StringLookup(
            vocabulary=list(tokenizer.vocabulary[2:]), mask_token="", oov_token="[UNK]"
        )
        layer.build(None)

        def look_up_tokens(texts):
            tokens = split_texts(texts, tokenizer)
            return tokens.with_values(tf.cast(layer(tokens.values), tf.int32))

        return layer, look_up_tokens
    import keras_hub

    strip_accents = tokenizer.lowercase  # as in the published uncased models
    if tokenizer.strip_accents is not None:
        strip_accents = tokenizer.strip_accents
    is_normalized = tokenizer.normalization == "bert"
    layer = keras_hub.models.BertTokenizer(
        vocabulary=list(tokenizer.vocabulary),
        lowercase=tokenizer.lowercase and not is_normalized,
        strip_accents=strip_accents and not is_normalized,
        split_on_cjk=tokenizer.split_chinese,
    )
    layer.build(None)

    def look_up_pieces(texts):
        if is_normalized:
            texts = normalize_for_bert(texts, tokenizer.lowercase, strip_accents)
        return layer(texts)

    return layer, look_up_pieces


def split_texts(texts: tf.Tensor, tokenizer: Tokenizer) -> tf.RaggedTensor:
    """Splits strings of shape (batch,) into tokens, ragged (batch, tokens).

    Words are runs of letters, digits and inner apostrophes. If the tokenizer normalises, so are
    emoji and other symbols, letters of scripts without spaces one by one, and punctuation marks if
    the tokenizer has them. Of bigrams, each word is followed by the pair "word next" that begins
    with it, so that a text can be cut anywhere. Bytes that are not UTF-8 become U+FFFD. HTML line
    breaks and other white space become a space.

    Args:
        texts: The texts.
        tokenizer: Tokenizer of kind "words", "bigrams" or "characters"; its vocabulary is not used.
    """
    if tokenizer.normalization:
        texts = normalize_text(texts)
    else:
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        texts = tf.strings.regex_replace(texts, r"<br ?/?>", " ")
    if tokenizer.kind == "characters":
        texts = tf.strings.regex_replace(texts, r"[\s\x00]+", " ")
    else:
        texts = _space_words(texts, tokenizer)
    if tokenizer.lowercase:
        # after NULs are replaced: `lower` truncates a text at the first one
        texts = tf.strings.lower(texts, "utf-8")
    if tokenizer.kind == "characters":
        return tf.strings.unicode_split(tf.strings.strip(texts), "UTF-8")
    words = tf.strings.split(texts)
    return _insert_pairs(words) if tokenizer.kind == "bigrams" else words


def _insert_pairs(words: tf.RaggedTensor) -> tf.RaggedTensor:
    """Puts "word next" after each word of a text but the last."""
    following = tf.concat([words.values, [""]], axis=0)[1:]
    both = tf.stack([words.values, words.values + " " + following], axis=1)
    rows = words.value_rowids()
    is_last = rows != tf.concat([rows, [-1]], axis=0)[1:]
    kept = tf.stack([tf.ones_like(is_last), ~is_last], axis=1)
    lengths = tf.maximum(2 * words.row_lengths() - 1, 0)
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(both, kept), lengths)


def _space_words(texts: tf.Tensor, tokenizer: Tokenizer) -> tf.Tensor:
    """Puts spaces between the words of texts, in place of what is no word."""
    kept = r"\p{L}\p{M}\p{N}'"
    if tokenizer.normalization:
        symbols = _PUNCTUATION if tokenizer.punctuation else _EMOJI
        alone = rf"{_FLAG}|{symbols}|{UNSPACED_LETTER}"
        texts = tf.strings.regex_replace(texts, alone, r" \0 ")
        kept += r"\p{P}\p{S}" if tokenizer.punctuation else _EMOJI.strip("[]")
    else:
        texts = tf.strings.regex_replace(texts, "\u2019", "'")
    texts = tf.strings.regex_replace(texts, rf"[^{kept}]+", " ")
    texts = tf.strings.regex_replace(texts, r"(^| )'+", " ")
    texts = tf.strings.regex_replace(texts, r"'+( |$)", " ")
    if tokenizer.normalization:
        texts = tf.strings.regex_replace(texts, r"(^| )\p{M}+", " ")  # of a letter that is missing
    return texts


def pad_tokens(ids: tf.Tensor, tokenizer: Tokenizer) -> tf.Tensor:
    """Pads token ids of shape (batch, longest) with 0 to the length of the tokenizer."""
    ids = tf.pad(ids, [[0, 0], [0, tokenizer.length - tf.shape(ids)[1]]])
    return tf.ensure_shape(ids, [None, tokenizer.length])


def _truncate(columns: Sequence[tf.RaggedTensor], max_tokens: int) -> list[tf.RaggedTensor]:
    """Truncates texts or pairs to `max_tokens` tokens; the longer text of a pair comes first."""
    if len(columns) == 1:
        return [columns[0][:, :max_tokens]]
    first_lengths, second_lengths = (tf.cast(c.row_lengths(), tf.int32) for c in columns)
    half = (max_tokens + 1) // 2
    first_counts = tf.minimum(first_lengths, tf.maximum(max_tokens - second_lengths, half))
    return [
        keep_first_tokens(columns[0], first_counts),
        keep_first_tokens(columns[1], max_tokens - first_counts),
    ]


def keep_first_tokens(tokens: tf.RaggedTensor, counts: tf.Tensor) -> tf.RaggedTensor:
    """Keeps the first `counts` tokens of each row."""
    # with tf.ragged.boolean_mask the encoder of pairs took 0.35 s of CPU to trace, not 0.30 s
    rows = tokens.value_rowids()
    positions = tf.range(tf.size(rows, tf.int64)) - tf.gather(tokens.row_starts(), rows)
    is_kept = positions < tf.gather(tf.cast(counts, tf.int64), rows)
    return tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(tokens.values, is_kept),
        tf.boolean_mask(rows, is_kept),
        nrows=tokens.nrows(),
        validate=False,
    )


def split_columns(texts: tf.Tensor | np.ndarray) -> tuple:
    """Returns texts of shape (batch,) as one column, pairs of shape (batch, 2) as two."""
    return (texts,) if len(texts.shape) == 1 else (texts[:, 0], texts[:, 1])


def iterate_texts(
    split: Split, title: str = "reading texts", size: int | None = BATCH_SIZE
) -> Iterator[np.ndarray]:
    """Yields batches of raw texts, (batch,) or (batch, 2), and shows a progress bar if slow.

    Args:
        split: Split of texts.
        title: What the progress bar says.
        size: Number of texts in a batch; None for more of them, some millions of characters.
    """
    step = size or BATCH_SIZE
    if isinstance(split, Arrays):
        batches = (split.x[i : i + step] for i in range(0, len(split), step))
    else:
        batches = (x for x, _ in split.read(None).batch(step).as_numpy_iterator())
    with progress_bar(len(split), title) as bar:
        for batch in batches if size else join_batches(batches):
            yield batch
            bar.update(len(batch))


def join_batches(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields several batches at a time, as long as their texts are short."""
    joined: list[np.ndarray] = []
    characters = 0
    for batch in batches:
        joined.append(batch)
        characters += sum(map(len, batch.ravel()))
        if characters > _JOINED_CHARACTERS:
            yield np.concatenate(joined)
            joined, characters = [], 0
    if joined:
        yield np.concatenate(joined)
