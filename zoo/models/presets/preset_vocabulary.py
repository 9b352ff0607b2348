"""The tokens of a pretrained text encoder."""

import dataclasses

from zoo.errors import UserError

_FRAMES = (("[CLS]", "[SEP]"), ("<s>", "</s>"))  # around a text
_PADDING = ("[PAD]", "<pad>")


@dataclasses.dataclass(frozen=True)
class PresetVocabulary:
    """The tokens of a pretrained encoder, and how texts are normalised before they are split.

    Attributes:
        tokens: The tokens in the order of their ids.
        lowercase: Whether texts are lowercased.
        strip_accents: Whether accents are removed; None for the value of `lowercase`.
        split_chinese: Whether each Chinese character is a word.
        note: What was decided because the preset does not say it; otherwise empty.
        kind: "wordpiece", "byte_pair" or "sentencepiece".
        is_normalized: Whether texts are normalised as Hugging Face does for this kind of tokenizer,
            besides what the model of sentencepieces does.
        merges: Pairs of byte pairs, "left right", in the order in which they are merged.
        model: Content of the model file of sentencepieces.
        prefix_space: Whether byte pairs have a space before the first word.
    """

    tokens: tuple[str, ...]
    lowercase: bool
    strip_accents: bool | None = None
    split_chinese: bool = True
    note: str = ""
    kind: str = "wordpiece"
    is_normalized: bool = True
    merges: tuple[str, ...] = ()
    model: bytes = b""
    prefix_space: bool = False

    @property
    def pad_id(self) -> int:
        """The id of padding."""
        return next(i for i, token in enumerate(self.tokens) if token in _PADDING)

    @property
    def separator(self) -> str:
        """The token between two texts."""
        return next(end for start, end in _FRAMES if start in self.tokens)


def check_vocabulary(vocabulary: PresetVocabulary) -> None:
    """Checks that the reserved tokens are there, and that no token is twice.

    Raises:
        UserError: if they are not.
    """
    tokens = vocabulary.tokens
    frame = next((frame for frame in _FRAMES if frame[0] in tokens), _FRAMES[0])
    reserved = ["[PAD]", "[UNK]", *frame, "[MASK]"]
    if vocabulary.kind != "wordpiece":
        reserved = [next((x for x in _PADDING if x in tokens), _PADDING[1]), *frame]
    missing = [token for token in reserved if token not in tokens]
    if missing:
        raise UserError(f"its vocabulary has no {', '.join(missing)}")
    if len(set(tokens)) < len(tokens):
        seen: set[str] = set()
        twice = next(x for x in tokens if x in seen or seen.add(x))  # type: ignore[func-returns-value]
        raise UserError(f"its vocabulary has the token {twice!r:.50} twice")
