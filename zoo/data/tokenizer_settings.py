"""`Tokenizer`: the settings and the vocabulary that turn texts into token ids."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from zoo.errors import UserError
from zoo.schema import Count, check_value

RESERVED_TOKENS = ("", "[UNK]", "[SEP]")  # first tokens of word and character vocabularies
NORMALIZATIONS = {"words": "nfkc", "bigrams": "nfkc", "characters": "nfkc", "wordpiece": "bert"}

_FIELDS = {
    "kind": Literal["words", "bigrams", "characters", "wordpiece"],
    "vocabulary": tuple[str, ...],
    "length": Count,
    "lowercase": bool,
}
# in files since version 0.2; the default values of `Tokenizer` are the behaviour of 0.1
_NEW_FIELDS = {
    "normalization": Literal["", "nfkc", "bert"],
    "punctuation": bool,
    "strip_accents": bool | None,
    "split_chinese": bool,
}


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Settings that turn texts into token ids; `zoo.data.text_encoding` applies them.

    Attributes:
        kind: "words", "bigrams" (words, and pairs of words that follow each other), "characters"
            or "wordpiece" (as in BERT).
        vocabulary: The tokens in the order of their ids; id 0 is padding.
        length: Maximum number of tokens per example; longer examples are truncated.
        lowercase: Whether texts are lowercased.
        normalization: "nfkc" for words and characters (Unicode NFKC, without HTML and invisible
            characters), "bert" for wordpieces as those of Hugging Face. Empty for tokenizers of
            version 0.1, which only replace what is no letter by spaces.
        punctuation: Whether punctuation marks are words too.
        strip_accents: Whether wordpieces have no accents; None for the value of `lowercase`.
        split_chinese: Whether each Chinese character is a word of its own before wordpieces.
    """

    kind: str
    vocabulary: tuple[str, ...]
    length: int
    lowercase: bool = True
    normalization: str = ""
    punctuation: bool = False
    strip_accents: bool | None = None
    split_chinese: bool = True

    @property
    def needs_tensorflow_text(self) -> bool:
        """Whether the exported graph has operations of `tensorflow_text`."""
        return self.kind == "wordpiece" or bool(self.normalization)


def format_tokenizer(tokenizer: Tokenizer) -> str:
    """Describes a tokenizer in one line."""
    kind = "wordpieces" if tokenizer.kind == "wordpiece" else tokenizer.kind
    return (
        f"{kind}{' and punctuation marks' * tokenizer.punctuation}"
        f"{', lowercased' * tokenizer.lowercase}, a vocabulary of {len(tokenizer.vocabulary):,}, "
        f"at most {tokenizer.length:,} tokens in a text"
    )


def tokenizer_from_record(record: Mapping[str, Any]) -> Tokenizer:
    """Returns the tokenizer in an object of a JSON file, as `dataclasses.asdict` makes it.

    Raises:
        UserError: if the record is invalid.
    """
    if missing := _FIELDS.keys() - record.keys():
        raise UserError(f"{min(missing)!r} is missing")
    known = _FIELDS | {name: kind for name, kind in _NEW_FIELDS.items() if name in record}
    tokenizer = Tokenizer(
        **{name: check_value(name, record[name], kind) for name, kind in known.items()}
    )
    if tokenizer.normalization not in ("", NORMALIZATIONS[tokenizer.kind]):
        raise UserError(f"normalization={tokenizer.normalization!r} of {tokenizer.kind}")
    reserved = tokenizer.vocabulary[: len(RESERVED_TOKENS)]
    if tokenizer.kind != "wordpiece" and reserved != RESERVED_TOKENS:
        raise UserError(f"vocabulary: expected {', '.join(map(repr, RESERVED_TOKENS))} first")
    if len(set(tokenizer.vocabulary)) < len(tokenizer.vocabulary):
        raise UserError("vocabulary: a token occurs twice")
    try:
        "".join(tokenizer.vocabulary).encode()
    except UnicodeEncodeError as error:  # lone surrogates
        raise UserError(f"vocabulary: {error}") from error
    return tokenizer
