"""Texts to token ids: vocabularies, splitting and packing, the same in training and in serving."""

import collections
import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from zoo import metadata
from zoo.data.spec import Arrays, Spec, Split, Stream, Tokenizer
from zoo.errors import UserError
from zoo.schema import Count, check

FILE = "tokenizer.json"

_RESERVED = ("", "[UNK]", "[SEP]")  # of words and characters
_BERT_RESERVED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_UNKNOWN = 1
_LONGEST_BERT = 512  # positions of the published models
_FIELDS = {
    "kind": Literal["words", "characters", "wordpiece"],
    "vocabulary": tuple[str, ...],
    "length": Count,
    "lowercase": bool,
}
_NO_TOKENIZER = "this is no tokenizer that the zoo has written"
_BATCH = 512
_WORDPIECE_SAMPLE = 5_120  # training texts that its vocabulary is made from, 30 s of work
_PARALLEL = 2


# tracing BERT's takes a second
@functools.lru_cache(maxsize=4)
def encoder(tokenizer: Tokenizer) -> tuple[Callable[..., tf.Tensor], keras.layers.Layer]:
    """The function from texts to token ids, and the layer that holds its vocabulary.

    The function takes one string tensor of shape (batch,) or, for pairs, two, and returns int32 ids
    of shape (batch, longest), padded with 0. Words and characters of a pair are joined by [SEP];
    BERT's are packed as [CLS] a [SEP] or [CLS] a [SEP] b [SEP] (Devlin et al. 2018, figure 2). Of
    a pair that is too long the longer text is cut first. An example without any token is one
    unknown token.
    """
    if tokenizer.kind == "wordpiece":
        import keras_hub

        table = keras_hub.models.BertTokenizer(
            vocabulary=list(tokenizer.vocabulary),
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.lowercase,  # as in the published uncased models
        )
        start, end = [table.cls_token_id], [table.sep_token_id]
        separator, ids = table.sep_token_id, table
    else:
        table = keras.layers.StringLookup(
            vocabulary=list(tokenizer.vocabulary[2:]), mask_token="", oov_token="[UNK]"
        )
        start, end, separator = [], [], _RESERVED.index("[SEP]")

        def ids(texts):
            tokens = split(texts, tokenizer.kind, tokenizer.lowercase)
            return tokens.with_values(tf.cast(table(tokens.values), tf.int32))

    def encode(*texts: tf.Tensor) -> tf.Tensor:
        room = tokenizer.length - len(start) - len(end) - (len(texts) - 1)
        rows = tf.shape(texts[0])[0]
        tokens = ids(tf.concat(texts, axis=0))
        parts = _cut([tokens[i * rows : (i + 1) * rows] for i in range(len(texts))], room)

        def column(token):
            return tf.fill([rows, 1], token)

        joined = [*map(column, start), parts[0]]
        for part in parts[1:]:
            joined += [column(separator), part]
        packed = tf.concat([*joined, *map(column, end)], axis=1)
        dense = packed.to_tensor() if isinstance(packed, tf.RaggedTensor) else packed
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]])
        return tf.concat([tf.maximum(dense[:, :1], _UNKNOWN), dense[:, 1:]], axis=1)

    # graphs, since KerasHub's tokenizer gives lists outside one
    string = tf.TensorSpec((None,), tf.string)
    graphs = {n: tf.function(encode, input_signature=[string] * n, autograph=False) for n in (1, 2)}
    return lambda *texts: graphs[len(texts)](*texts), table


def split(texts: tf.Tensor, kind: str, lowercase: bool) -> tf.RaggedTensor:
    """Strings of shape (batch,) to their words or characters, ragged (batch, tokens).

    Words are runs of letters, digits and inner apostrophes. Bytes that are not UTF-8 become U+FFFD,
    HTML line breaks and all other white space a space.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    texts = tf.strings.regex_replace(texts, r"<br ?/?>", " ")
    if kind == "words":
        texts = tf.strings.regex_replace(texts, "\u2019", "'")
        texts = tf.strings.regex_replace(texts, r"[^\p{L}\p{M}\p{N}']+", " ")
        texts = tf.strings.regex_replace(texts, r"(^| )'+", " ")
        texts = tf.strings.regex_replace(texts, r"'+( |$)", " ")
    else:
        texts = tf.strings.regex_replace(texts, r"[\s\x00]+", " ")
    if lowercase:
        # after the NULs are gone: it would end a text there
        texts = tf.strings.lower(texts, "utf-8")
    if kind == "words":
        return tf.strings.split(texts)
    return tf.strings.unicode_split(tf.strings.strip(texts), "UTF-8")


def adapt(train: Split, kind: str, *, vocabulary_size: int, length: int | None) -> Tokenizer:
    """The tokenizer of these training texts.

    Args:
        train: Texts, not yet tokenized.
        kind: As of `Tokenizer`.
        vocabulary_size: Most tokens, the reserved ones among them; the most frequent are kept.
            That of "wordpiece" is made from the first 5,120 texts.
        length: Most tokens of an example; None for the 95th percentile of the training texts.
    """
    if not any(len(split(batch.ravel(), "words", False).values) for batch in _texts(train)):
        raise UserError("the training texts are empty: there is nothing to learn from")
    if kind == "wordpiece":
        import keras_hub

        some = itertools.islice(_texts(train), _WORDPIECE_SAMPLE // _BATCH)
        vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
            tf.data.Dataset.from_tensor_slices(np.concatenate([batch.ravel() for batch in some])),
            vocabulary_size,
            lowercase=True,
            strip_accents=True,
            reserved_tokens=list(_BERT_RESERVED),
        )
        return with_length(Tokenizer(kind, tuple(vocabulary), 0), train, length)
    counts = collections.Counter()
    for batch in _texts(train):
        counts.update(split(batch.ravel(), kind, lowercase=True).values.numpy().tolist())
    # ties in alphabetical order, whatever the order of the examples
    frequent = sorted(counts, key=lambda token: (-counts[token], token))
    kept = [token.decode() for token in frequent[: vocabulary_size - len(_RESERVED)]]
    return with_length(Tokenizer(kind, (*_RESERVED, *kept), 0), train, length)


def from_preset(preset: str, train: Split, length: int | None) -> Tokenizer:
    """The tokenizer of a pretrained BERT.

    Args:
        preset: As of `zoo.get("bert", preset=...)`.
        train: Texts, not yet tokenized.
        length: As of `adapt`.

    Raises:
        UserError: if the preset cannot be loaded, or is not BERT's.
    """
    import keras_hub

    from zoo.models.bert import loading

    with loading(preset):
        layer = keras_hub.models.BertTokenizer.from_preset(preset)
    tokenizer = Tokenizer("wordpiece", tuple(layer.get_vocabulary()), 0, layer.lowercase)
    return with_length(tokenizer, train, length)


def with_length(tokenizer: Tokenizer, train: Split, length: int | None) -> Tokenizer:
    """The tokenizer with a length or, for None, the 95th percentile, rounded up to a multiple of 8.

    BERT's has at most the 512 positions of the published models.
    """
    if length is None:
        encode, _ = encoder(dataclasses.replace(tokenizer, length=2**30))
        lengths = [
            np.count_nonzero(encode(*_columns(batch)), axis=1)
            for batch in _texts(train, "counting tokens")
        ]
        length = 8 * math.ceil(np.percentile(np.concatenate(lengths), 95) / 8)
        if tokenizer.kind == "wordpiece":
            length = min(length, _LONGEST_BERT)
    return dataclasses.replace(tokenizer, length=length)


def tokenized(
    splits: dict[str, Split], spec: Spec, tokenizer: Tokenizer
) -> tuple[dict[str, Split], Spec]:
    """The splits with token ids of shape (tokenizer.length,) for texts, and their spec."""
    encode, _ = encoder(tokenizer)
    spec = dataclasses.replace(spec, shape=(tokenizer.length,), tokenizer=tokenizer)

    def ids_of(texts):
        ids = encode(*_columns(texts))
        ids = tf.pad(ids, [[0, 0], [0, tokenizer.length - tf.shape(ids)[1]]])
        return tf.ensure_shape(ids, [None, tokenizer.length])

    def of(split):
        if isinstance(split, Arrays):
            batches = [ids_of(tf.constant(batch)).numpy() for batch in _texts(split)]
            return Arrays(np.concatenate(batches), split.y)

        def read(seed, rows):
            texts = split.reader(seed, rows).batch(_BATCH)
            tokens = tf.autograph.experimental.do_not_convert(lambda x, y: (ids_of(x), y))
            ids = texts.map(tokens, num_parallel_calls=_PARALLEL, deterministic=True)
            return ids.unbatch()

        return dataclasses.replace(split, reader=read)

    return {part: of(split) for part, split in splits.items()}, spec


def save(spec: Spec, directory: Path) -> None:
    """Writes `directory`/tokenizer.json, if there are texts."""
    if spec.tokenizer is None:
        return
    content = json.dumps(
        dataclasses.asdict(spec.tokenizer), ensure_ascii=False, separators=(",", ":")
    )
    (directory / FILE).write_text(content + "\n", encoding="utf-8")


def load(file: Path) -> Tokenizer:
    """Reads what `save` wrote.

    Raises:
        UserError: if the file holds something else.
    """
    try:
        fields = metadata.read(file)
        made = {name: check(name, fields[name], kind) for name, kind in _FIELDS.items()}
        tokenizer = Tokenizer(**made)
        if tokenizer.kind != "wordpiece" and tokenizer.vocabulary[: len(_RESERVED)] != _RESERVED:
            raise UserError(f"vocabulary: expected {', '.join(map(repr, _RESERVED))} first")
        if len(set(tokenizer.vocabulary)) < len(tokenizer.vocabulary):
            raise UserError("vocabulary: a token is there twice")
        "".join(tokenizer.vocabulary).encode()
    except KeyError as error:
        raise UserError(f"{file}: {_NO_TOKENIZER}: there is no {error}") from error
    except ValueError as error:
        raise UserError(f"{file}: {_NO_TOKENIZER}: {error}") from error
    return tokenizer


def _cut(parts: list[tf.RaggedTensor], room: int) -> list[tf.RaggedTensor]:
    """One text, or two of which the longer is cut first, in `room` tokens together."""
    if len(parts) == 1:
        return [parts[0][:, :room]]
    first, second = (tf.cast(part.row_lengths(), tf.int32) for part in parts)
    kept = tf.minimum(first, tf.maximum(room - second, (room + 1) // 2))
    return [_first(parts[0], kept), _first(parts[1], room - kept)]


def _first(part: tf.RaggedTensor, counts: tf.Tensor) -> tf.RaggedTensor:
    """The first `counts` tokens of each row."""
    positions = tf.ragged.range(part.row_lengths())
    within = tf.cast(positions.values, tf.int32) < tf.gather(counts, part.value_rowids())
    return tf.ragged.boolean_mask(part, part.with_values(within))


def _columns(texts: tf.Tensor | np.ndarray) -> tuple:
    """Texts of shape (batch,) as one column, pairs of shape (batch, 2) as two."""
    return (texts,) if len(texts.shape) == 1 else (texts[:, 0], texts[:, 1])


def _texts(split: Split, title: str = "reading texts") -> Iterable[np.ndarray]:
    """Batches of the split's raw texts, (batch,) or (batch, 2), with a bar if it takes a while."""
    if isinstance(split, Arrays):
        batches = (split.x[i : i + _BATCH] for i in range(0, len(split), _BATCH))
    else:
        assert isinstance(split, Stream)
        batches = (x for x, _ in split.read(None).batch(_BATCH).as_numpy_iterator())
    with tqdm(total=len(split), desc=title, disable=None, delay=2, leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
