"""`Tokenizer`: the settings and the vocabulary that turn texts into token ids."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from zoo.errors import UserError
from zoo.schema import Count, check_value

RESERVED_TOKENS = ("", "[UNK]", "[SEP]")  # first tokens of word and character vocabularies
SUBWORD_KINDS = ("wordpiece", "byte_pair", "sentencepiece")  # of pretrained encoders
NORMALIZATIONS = {
    "words": "nfkc",
    "bigrams": "nfkc",
    "characters": "nfkc",
    "wordpiece": "bert",
    "byte_pair": "",
    "sentencepiece": "albert",
}
_SMALLEST_WINDOW = 3  # a token in its frame
UNKNOWN = ("[UNK]", "<unk>")  # names of the unknown token

_FIELDS = {
    "kind": Literal["words", "bigrams", "characters", "wordpiece", "byte_pair", "sentencepiece"],
    "vocabulary": tuple[str, ...],
    "length": Count,
    "lowercase": bool,
}
# in files since version 0.2; the default values of `Tokenizer` are the behaviour of 0.1
_NEW_FIELDS = {
    "normalization": Literal["", "nfkc", "bert", "albert"],
    "punctuation": bool,
    "strip_accents": bool | None,
    "split_chinese": bool,
}
# in files of pretrained tokenizers alone
_PRETRAINED_FIELDS = {
    "merges": tuple[str, ...],
    "model": str,
    "prefix_space": bool,
    "window": Count,
}


@dataclasses.dataclass(frozen=True)
class Framing:
    """The ids that frame the tokens of a text or a pair.

    Attributes:
        start: Before the first text.
        separator: Between two texts.
        end: After the last text.
    """

    start: tuple[int, ...] = ()
    separator: tuple[int, ...] = ()
    end: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of tokens around a single text."""
        return len(self.start) + len(self.end)


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Settings that turn texts into token ids; `zoo.data.texts.text_encoding` applies them.

    Attributes:
        kind: "words", "bigrams" (words, and pairs of words that follow each other), "characters",
            "wordpiece" (as in BERT), "byte_pair" (as in RoBERTa) or "sentencepiece" (as in ALBERT).
        vocabulary: The tokens in the order of their ids; id 0 is padding. A pretrained encoder
            whose padding has another id has the two exchanged.
        length: Maximum number of tokens per example; longer examples are truncated.
        lowercase: Whether texts are lowercased.
        normalization: "nfkc" for words and characters (Unicode NFKC, without HTML and invisible
            characters), "bert" for wordpieces as those of Hugging Face, "albert" for quotation
            marks, accents and capital letters as ALBERT's of Hugging Face. Empty for byte pairs,
            for sentencepieces whose model has all, and for tokenizers of version 0.1, which only
            replace what is no letter by spaces.
        punctuation: Whether punctuation marks are words too.
        strip_accents: Whether wordpieces have no accents; None for the value of `lowercase`.
        split_chinese: Whether each Chinese character is a word of its own before wordpieces.
        merges: Pairs of byte pairs, "left right", in the order in which they are merged.
        model: Base64 of the model file of sentencepieces.
        prefix_space: Whether byte pairs have a space before the first word.
        window: Number of tokens, with their frame, of the windows that longer texts are divided
            into; `length` is a multiple of it. 0 for texts in one piece.
    """

    kind: str
    vocabulary: tuple[str, ...]
    length: int
    lowercase: bool = True
    normalization: str = ""
    punctuation: bool = False
    strip_accents: bool | None = None
    split_chinese: bool = True
    merges: tuple[str, ...] = ()
    model: str = ""
    prefix_space: bool = False
    window: int = 0

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the exported graph has operations of `tensorflow_text`."""
        return self.kind in SUBWORD_KINDS or bool(self.normalization)

    @property
    def unknown_id(self) -> int:
        """The id of unknown tokens; -1 if there is none."""
        return next((i for i, token in enumerate(self.vocabulary) if token in UNKNOWN), -1)

    @property
    def framing(self) -> Framing:
        """The ids around texts and between the two of a pair.

        Words and characters have [SEP] between two texts. Subwords are framed as the encoder was
        trained: [CLS] a [SEP] b [SEP] (Devlin et al. 2018, figure 2), or <s> a </s> </s> b </s>
        (Liu et al. 2019, arXiv 1907.11692).
        """
        find = self.vocabulary.index
        if self.kind not in SUBWORD_KINDS:
            return Framing(separator=(find("[SEP]"),))
        if "[CLS]" in self.vocabulary:
            return Framing((find("[CLS]"),), (find("[SEP]"),), (find("[SEP]"),))
        return Framing((find("<s>"),), (find("</s>"),) * 2, (find("</s>"),))


def format_tokenizer(tokenizer: Tokenizer) -> str:
    """Describes a tokenizer in one line."""
    names = dict(zip(SUBWORD_KINDS, ("wordpieces", "byte pairs", "sentencepieces"), strict=True))
    kind = names.get(tokenizer.kind, tokenizer.kind)
    return (
        f"{kind}{' and punctuation marks' * tokenizer.punctuation}"
        f"{', lowercased' * tokenizer.lowercase}, a vocabulary of {len(tokenizer.vocabulary):,}, "
        f"at most {tokenizer.length:,} tokens in a text"
        + (f", in windows of {tokenizer.window:,}" if tokenizer.window else "")
    )


def divide_into_windows(tokenizer: Tokenizer, window: int, length: int) -> Tokenizer:
    """Returns a tokenizer that divides texts into windows.

    Args:
        tokenizer: The tokenizer of a pretrained encoder.
        window: Number of tokens of a window, with their frame.
        length: Number of tokens of the longest text, with its frame, that is read to its end.

    Raises:
        UserError: if the tokenizer has no frame, or a window has no place for a token in it.
    """
    frame = tokenizer.framing.size
    if not frame or window <= frame:
        raise UserError(
            f"windows of {window} {tokenizer.kind}: expected tokens of a pretrained encoder, and "
            f"more than {frame} of them: choose --long_texts=truncate"
        )
    count = max(1, -(-(length - frame) // (window - frame)))
    return dataclasses.replace(tokenizer, window=window, length=count * window)


def count_window_tokens(tokenizer: Tokenizer, window: int, count: int) -> int:
    """Returns the number of tokens, with one frame, of the longest text in `count` windows."""
    return count * (window - tokenizer.framing.size) + tokenizer.framing.size


def describe_windows(tokenizer: Tokenizer) -> str:
    """Describes the windows of a tokenizer in one line."""
    return (
        f"texts of more than {tokenizer.window:,} tokens are read in up to "
        f"{tokenizer.length // tokenizer.window} windows of {tokenizer.window:,}, whose logits are "
        "averaged"
    )


def tokenizer_to_record(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the content of a JSON file, without the fields that only other kinds have."""
    record = dataclasses.asdict(tokenizer)
    return {name: x for name, x in record.items() if x or name not in _PRETRAINED_FIELDS}


def tokenizer_from_record(record: Mapping[str, Any]) -> Tokenizer:
    """Returns the tokenizer in an object of a JSON file, as `tokenizer_to_record` makes it.

    Raises:
        UserError: if the record is invalid.
    """
    if missing := _FIELDS.keys() - record.keys():
        raise UserError(f"{min(missing)!r} is missing")
    optional = _NEW_FIELDS | _PRETRAINED_FIELDS
    known = _FIELDS | {name: kind for name, kind in optional.items() if name in record}
    tokenizer = Tokenizer(
        **{name: check_value(name, record[name], kind) for name, kind in known.items()}
    )
    if tokenizer.normalization not in ("", NORMALIZATIONS[tokenizer.kind]):
        raise UserError(f"normalization={tokenizer.normalization!r} of {tokenizer.kind}")
    if tokenizer.window and (
        tokenizer.kind not in SUBWORD_KINDS
        or tokenizer.window < _SMALLEST_WINDOW
        or tokenizer.length % tokenizer.window
    ):
        raise UserError(f"window={tokenizer.window} of {tokenizer.kind}: length={tokenizer.length}")
    reserved = tokenizer.vocabulary[: len(RESERVED_TOKENS)]
    if tokenizer.kind not in SUBWORD_KINDS and reserved != RESERVED_TOKENS:
        raise UserError(f"vocabulary: expected {', '.join(map(repr, RESERVED_TOKENS))} first")
    if len(set(tokenizer.vocabulary)) < len(tokenizer.vocabulary):
        raise UserError("vocabulary: a token occurs twice")
    try:
        "".join(tokenizer.vocabulary).encode()
    except UnicodeEncodeError as error:  # lone surrogates
        raise UserError(f"vocabulary: {error}") from error
    return tokenizer
