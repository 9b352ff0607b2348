"""Reads the files of Hugging Face's tokenizers: wordpieces, byte pairs and sentencepieces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epy

from zoo.errors import UserError
from zoo.models.presets.preset_vocabulary import PresetVocabulary
from zoo.models.presets.text_folder import FAMILIES
from zoo.schema import check_value
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras_hub

_WORDPIECES, _FAST, _SETTINGS = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
_BYTE_PAIRS = ("vocab.json", "merges.txt")
_ALBERT, _XLM_ROBERTA = "spiece.model", "sentencepiece.bpe.model"
# in the names of classes whose words are others
_OTHERS = ("Japanese", "MPNet", "Bertweet", "Camembert", "Phobert", "Barthez", "Herbert")


def read_tokenizer_files(folder: Path, config: Mapping[str, Any]) -> PresetVocabulary:
    """Reads the tokenizer of a Hugging Face folder, of the kind whose files it has.

    Args:
        folder: The folder.
        config: Its config.json.

    Raises:
        UserError: if there are no files of a tokenizer, or they are of another kind.
    """
    settings = _read_object(folder / _SETTINGS)
    tokenizer_class = str(settings.get("tokenizer_class"))
    if any(name in tokenizer_class for name in _OTHERS):
        raise UserError(
            f"its tokenizer is a {tokenizer_class:.50}, but only those of BERT, RoBERTa, ALBERT "
            "and XLM-RoBERTa can be read"
        )
    names = {path.name for path in folder.iterdir()}
    if names & {_ALBERT, _XLM_ROBERTA}:
        return _read_sentence_pieces(folder, settings, is_xlm_roberta=_XLM_ROBERTA in names)
    if names >= {*_BYTE_PAIRS}:
        return _read_byte_pairs(folder, settings)
    if _WORDPIECES in names:
        return _read_wordpieces(folder, settings)
    fast = _read_object(folder / _FAST)
    if fast:
        kind = (fast.get("model") or {}).get("type", "WordPiece")
        if kind == "BPE":
            return _read_fast_byte_pairs(fast, settings)
        if kind == "WordPiece":
            return _read_wordpieces(folder, settings)
    expected = FAMILIES[config["model_type"]].vocabulary
    found = f", and {_FAST} has none that can be read" if fast else ""
    raise UserError(
        f"the folder has no {expected}, the tokenizer of a {config['model_type']}{found}"
    )


def _read_object(file: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; empty if there is no such file."""
    content = read_json(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise UserError(f"{file.name} has no object")
    return content


def _read_wordpieces(folder: Path, settings: dict[str, Any]) -> PresetVocabulary:
    """Reads vocab.txt and the settings; tokenizer.json where one of them is missing."""
    file = folder / _WORDPIECES
    fast: dict[str, Any] = {}
    if not (file.is_file() and "do_lower_case" in settings):
        fast = _read_object(folder / _FAST)
    if file.is_file():
        lines = file.read_text(encoding="utf-8").rstrip("\r\n").split("\n")
        tokens = tuple(line.rstrip("\r") for line in lines)
    else:
        tokens = _sort_tokens((fast.get("model") or {}).get("vocab"), _FAST)
    normalizer = fast.get("normalizer") or {}
    values = {
        "lowercase": settings.get("do_lower_case", normalizer.get("lowercase")),
        "strip_accents": settings.get("strip_accents", normalizer.get("strip_accents")),
        "split_chinese": settings.get(
            "tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True)
        ),
    }
    note = ""
    if values["lowercase"] is None:
        capital = next((x for x in tokens if x != x.lower() and not x.startswith("[")), None)
        values["lowercase"] = capital is None
        reason = f"has {capital!r}" if capital else "has no capital letters"
        kept = "kept as they are" if capital else "lowercased"
        note = f"{folder} has no {_SETTINGS} with do_lower_case: texts are {kept}, since "
        note += f"the vocabulary {reason}"
    types = {"lowercase": bool, "strip_accents": bool | None, "split_chinese": bool}
    checked = {name: check_value(name, values[name], kind) for name, kind in types.items()}
    return PresetVocabulary(tokens, note=note, **checked)


def _sort_tokens(ids: Any, file: str) -> tuple[str, ...]:
    """Returns the tokens of a vocabulary, {token: id}, in the order of their ids."""
    if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
        raise UserError(f"{file} has no vocabulary with ids from 0 on")
    return tuple(sorted(ids, key=ids.__getitem__))


def _read_byte_pairs(folder: Path, settings: dict[str, Any]) -> PresetVocabulary:
    """Reads vocab.json and merges.txt."""
    file, merges_file = (folder / name for name in _BYTE_PAIRS)
    lines = merges_file.read_text(encoding="utf-8").split("\n")
    merges = [x.rstrip("\r") for x in lines if x.strip() and not x.startswith("#version")]
    return make_byte_pairs(read_json(file), merges, settings.get("add_prefix_space", False))


def _read_fast_byte_pairs(fast: dict[str, Any], settings: dict[str, Any]) -> PresetVocabulary:
    """Reads the byte pairs in a tokenizer.json."""
    before = fast.get("pre_tokenizer") or {}
    if before.get("type") != "ByteLevel" or fast.get("normalizer"):
        raise UserError(f"{_FAST} has byte pairs of other words than those of RoBERTa")
    model = fast["model"]
    # a pair is two items in newer files
    merges = [x if isinstance(x, str) else " ".join(x) for x in model.get("merges", ())]
    space = settings.get("add_prefix_space", before.get("add_prefix_space", False))
    return make_byte_pairs(model.get("vocab"), merges, space)


def make_byte_pairs(ids: Any, merges: list[str], space: Any) -> PresetVocabulary:
    """Returns checked byte pairs.

    Args:
        ids: {token: id}.
        merges: Pairs "left right", in the order in which they are merged.
        space: Whether there is a space before the first word.

    Raises:
        UserError: if a token of a merge has no id, or an id is missing.
    """
    tokens, known = _sort_tokens(ids, "the tokenizer"), {*ids}
    for merge in merges:
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= known:
            raise UserError(f"its vocabulary lacks a token of the merge {merge!r:.50}")
    return PresetVocabulary(
        tokens,
        lowercase=False,
        kind="byte_pair",
        is_normalized=False,
        merges=tuple(merges),
        prefix_space=check_value("add_prefix_space", space, bool),
    )


def _read_sentence_pieces(
    folder: Path, settings: dict[str, Any], is_xlm_roberta: bool
) -> PresetVocabulary:
    """Reads spiece.model of ALBERT, or sentencepiece.bpe.model of XLM-RoBERTa."""
    model = (folder / (_XLM_ROBERTA if is_xlm_roberta else _ALBERT)).read_bytes()
    if is_xlm_roberta:
        layer = keras_hub.models.XLMRobertaTokenizer(model)
        return PresetVocabulary(
            tuple(layer.get_vocabulary()),
            False,
            kind="sentencepiece",
            is_normalized=False,
            model=model,
        )
    layer = keras_hub.models.AlbertTokenizer(model)
    lowercase, keeps = settings.get("do_lower_case", True), settings.get("keep_accents", False)
    return PresetVocabulary(
        tuple(layer.get_vocabulary()),
        check_value("do_lower_case", lowercase, bool),
        strip_accents=not check_value("keep_accents", keeps, bool),
        kind="sentencepiece",
        model=model,
    )
