"""Chooses how the texts of a dataset are tokenized, and describes the choice to the user."""

import collections
import dataclasses
import math

import numpy as np
import tensorflow as tf

from zoo.data.config import DataConfig
from zoo.data.spec import Tokenizer
from zoo.data.splits import Split, take_inputs
from zoo.data.texts.batch_encoding import add_frame, count_tokens, make_batch_encoder
from zoo.data.texts.chunk_encoding import ChunkCounter
from zoo.data.texts.text_encoding import iterate_texts, split_columns
from zoo.data.texts.text_length import limit_length
from zoo.data.texts.text_normalization import UNSPACED_LETTER
from zoo.data.texts.tokenizers import learn_tokenizer, make_preset_tokenizer
from zoo.errors import UserError
from zoo.models.presets.text_preset import read_vocabulary

_SAMPLE = 5_120  # texts that are looked at
_MOST = 0.5
_FEW_WORDS = 2  # in texts such as names, addresses of pages and sequences of letters
_WORDLESS = 0.05  # share of texts without a word that makes punctuation marks tokens


@dataclasses.dataclass(frozen=True)
class WordSurvey:
    """What texts look like when they are split into words.

    Attributes:
        wordless: Share of the texts, without blank ones, that have no word.
        unspaced: Share of the words that are single letters of scripts without spaces.
        unseen: Share of the words in every second text that no other text has.
        words: Median number of words in a text, without blank ones.
    """

    wordless: float
    unspaced: float
    unseen: float
    words: float


def make_tokenizer(
    train: Split, validation: Split, config: DataConfig
) -> tuple[Tokenizer, tuple[str, ...]]:
    """Returns the tokenizer of a preset, the given one, or one learned from the training texts.

    Args:
        train: Split of texts, not tokenized yet.
        validation: Split whose unknown tokens are counted.
        config: Settings of the tokenizer.

    Returns:
        The tokenizer; and sentences for the user on what was chosen, on texts that are cut, and on
        tokens that are unknown.

    Raises:
        UserError: if the preset cannot be read, or the training texts are empty.
    """
    notes, advice = [], ""
    lengths = None
    if config.preset:
        preset = read_vocabulary(config.preset)
        if config.tokenizer == "wordpiece" != preset.kind:
            raise UserError(
                f"tokenizer='wordpiece': preset={config.preset!r} has {preset.kind} tokens, which "
                "its embeddings belong to: omit --tokenizer, or choose a preset of a BERT"
            )
        tokenizer, note = make_preset_tokenizer(preset), preset.note
    elif isinstance(config.tokenizer, Tokenizer):
        tokenizer, note = config.tokenizer, ""
        advice = "train without --weights, or from a model of the same language"
    else:
        tokenizer, note, lengths = _learn(train, config.tokenizer, config)
    notes.append(note)
    lengths = _count_tokens(tokenizer, train) if lengths is None else lengths
    tokenizer, length_notes = limit_length(tokenizer, lengths, config)
    notes += length_notes
    notes.append(describe_unknown_tokens(tokenizer, validation, "validation texts", advice))
    return tokenizer, tuple(note for note in notes if note)


def _learn(train: Split, kind: str, config: DataConfig) -> tuple[Tokenizer, str, np.ndarray | None]:
    """Learns a tokenizer of a kind, or of the one that fits the texts for "auto".

    Returns:
        The tokenizer, a note, and the number of tokens of each text if it is known.
    """
    note, punctuation = "", kind == "bigrams"
    kind = "wordpiece" if kind == "subword" else kind
    if kind in ("auto", "words"):
        survey = survey_words(train)
        if kind == "auto":
            kind, reason = choose_kind(survey)
            if reason:
                note = f"tokens are characters, since {reason}: --tokenizer=words for words"
        if kind == "words" and survey.wordless >= _WORDLESS:
            punctuation = True
            note = (
                f"punctuation marks are tokens too, since {survey.wordless:.0%} of the training "
                "texts have no words: --tokenizer=characters for characters"
            )
    tokenizer, lengths = learn_tokenizer(
        train,
        kind,
        vocabulary_size=config.vocabulary_size,
        lowercase=config.lowercase is not False,
        punctuation=punctuation,
    )
    if lengths is not None:
        lengths = add_frame(lengths, tokenizer, columns=np.ndim(take_inputs(train, 1)))
    return tokenizer, note, lengths


def choose_kind(survey: WordSurvey) -> tuple[str, str]:
    """Returns "words"; or "characters" and the reason, where words do not carry the texts."""
    if survey.unspaced > _MOST:
        return "characters", (
            "most of the training texts are in a script without spaces between words"
        )
    if survey.unseen > _MOST and survey.words <= _FEW_WORDS:
        return "characters", (
            f"the training texts have few words, and {survey.unseen:.0%} of them are in one text "
            "alone"
        )
    return "words", ""


def survey_words(texts: Split) -> WordSurvey:
    """Splits a sample of texts into words, and measures them."""
    settings = Tokenizer("words", (), 0, normalization="nfkc")
    counters = (ChunkCounter(settings), ChunkCounter(settings))
    counts = [np.zeros(0, int)]
    blank = 0
    for batch in iterate_texts(_take_sample(texts), size=None):
        for column in split_columns(batch):
            counts += [counters[half].add(column[half::2]) for half in (0, 1)]
            blank += sum(not text.strip() for text in map(tf.compat.as_bytes, column))
    seen = [collections.Counter(counter.count_words()) for counter in counters]
    lengths = np.concatenate(counts)
    written = max(len(lengths) - blank, 1)
    total = sum(seen[0].values()) + sum(seen[1].values())
    both = seen[0] + seen[1]
    letters = tf.strings.regex_full_match(tf.constant([*both], tf.string), UNSPACED_LETTER).numpy()
    unspaced = int(np.array([*both.values()], int)[letters].sum())
    unseen = sum(count for word, count in seen[1].items() if word not in seen[0])
    with_words = lengths[lengths > 0]
    return WordSurvey(
        wordless=max(written - len(with_words), 0) / written,
        unspaced=unspaced / max(total, 1),
        unseen=unseen / max(sum(seen[1].values()), 1),
        words=float(np.median(with_words)) if len(with_words) else 0.0,
    )


def describe_unknown_tokens(tokenizer: Tokenizer, texts: Split, name: str, advice: str) -> str:
    """Describes the tokens of texts that are unknown, if most of them are.

    Args:
        tokenizer: The tokenizer.
        texts: Split of texts, not tokenized yet.
        name: What the texts are, for the note.
        advice: What to do; "" for how to train with another tokenizer.
    """
    kind = "words" if tokenizer.kind == "bigrams" else tokenizer.kind  # most pairs are rare
    encode = make_batch_encoder(dataclasses.replace(tokenizer, kind=kind, length=2**30, window=0))
    known = unknown = 0
    unknown_id = tokenizer.unknown_id
    framing = [*tokenizer.framing.start, *tokenizer.framing.separator]
    for batch in iterate_texts(_take_sample(texts), "counting tokens"):
        ids = encode(batch)
        ids = ids[(ids > 0) & ~np.isin(ids, framing)]
        unknown += int((ids == unknown_id).sum())
        known += int((ids != unknown_id).sum())
    if unknown <= _MOST * (known + unknown):
        return ""
    advice = advice or {
        "words": "--tokenizer=characters may fit these texts",
        "characters": "train on texts in the same script",
        "wordpiece": "choose a vocabulary of the same language",
    }.get(kind, "choose a preset of the same language")
    return (
        f"{unknown / (known + unknown):.0%} of the tokens of the {name} are not in the "
        f"vocabulary, and look the same to the model: {advice}"
    )


def _take_sample(texts: Split) -> Split:
    """Returns at most 5,120 examples, from all parts of a split."""
    step = math.ceil(len(texts) / _SAMPLE)
    return texts.select_rows(np.arange(len(texts)) % step == 0) if step > 1 else texts


def _count_tokens(tokenizer: Tokenizer, texts: Split) -> np.ndarray:
    """Returns the number of tokens of each text or pair, uncut."""
    batches = iterate_texts(texts, "counting tokens")
    return np.concatenate([count_tokens(batch, tokenizer) for batch in batches])
