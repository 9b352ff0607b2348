"""Tiny text encoders of random weights in Hugging Face folders, each with its own tokenizer."""

import io
import json
import random
from pathlib import Path

import numpy as np
import sentencepiece
from safetensors.numpy import save_file
from sentencepiece import sentencepiece_model_pb2 as proto

from support.paths import ROOT
from zoo.data.texts.byte_pairs import BYTE_SYMBOLS

# what transformers and PyTorch compute of these pairs and other texts, see test_text_preset.py
ANSWERS = ROOT / "tests/golden/text_presets.json"
FIRST, SECOND = ("the film was good", "it's bad"), ("a good film", "!")
KINDS = ("albert", "distilbert", "roberta", "xlm-roberta")
LAYERS, WIDTH, INNER, POSITIONS = 2, 8, 16, 40
_WORDS = ("the", "film", "was", "good", "bad", "stra", "gro")
_LETTERS = "abcdefghijklmnopqrstuvwxyzßæéあ中文日本語국어한😀.,!?'\"-1234567890"


def write_text_folder(
    folder: Path, kind: str, *, prefix: bool = True, labels: tuple[str, ...] = ()
) -> Path:
    """Writes the folder of an encoder.

    Args:
        folder: The folder, which is made.
        kind: The model_type in config.json, one of `KINDS`.
        prefix: Whether the names of the weights begin as those of a model with a head do.
        labels: Names of the classes of a head; none for no head.
    """
    folder.mkdir(parents=True)
    tokens = {"albert": _write_albert, "distilbert": _write_wordpieces}
    tokens |= {"roberta": _write_byte_pairs, "xlm-roberta": _write_xlm_roberta}
    config = _make_config(kind, tokens[kind](folder))
    if labels:
        name = {"albert": "Albert", "distilbert": "DistilBert", "roberta": "Roberta"}.get(
            kind, "XLMRoberta"
        )
        config["architectures"] = [f"{name}ForSequenceClassification"]
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = _list_shapes(kind, config["vocab_size"])
    draw = np.random.default_rng(0)
    start = {"xlm-roberta": "roberta."}.get(kind, f"{kind}.") if prefix else ""
    weights = {start + name: draw.normal(0, 0.4, shape) for name, shape in shapes.items()}
    for name, shape in _list_head_shapes(kind, len(labels)).items():
        weights[name] = draw.normal(0, 0.4, shape)
    weights = {name: array.astype("float32") for name, array in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _make_config(kind: str, tokens: int) -> dict:
    if kind == "distilbert":
        return {
            "model_type": kind,
            "vocab_size": tokens,
            "dim": WIDTH,
            "n_layers": LAYERS,
            "n_heads": 2,
            "hidden_dim": INNER,
            "max_position_embeddings": POSITIONS,
            "dropout": 0.1,
            "activation": "gelu",
        }
    config = {
        "model_type": kind,
        "vocab_size": tokens,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-3,  # not what KerasHub takes
        "type_vocab_size": 2 if kind == "albert" else 1,
        "hidden_act": "gelu_new" if kind == "albert" else "gelu",
    }
    if kind == "albert":
        return config | {"embedding_size": 4, "num_hidden_groups": 2, "inner_group_num": 1}
    return config | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def _list_head_shapes(kind: str, classes: int) -> dict[str, tuple[int, ...]]:
    if not classes:
        return {}
    dense = {"albert": "", "distilbert": "pre_classifier"}.get(kind, "classifier.dense")
    last = "classifier" if kind in ("albert", "distilbert") else "classifier.out_proj"
    shapes: dict[str, tuple[int, ...]] = {}
    for name, rows in ((dense, WIDTH), (last, classes)):
        if name:
            shapes |= {f"{name}.weight": (rows, WIDTH), f"{name}.bias": (rows,)}
    return shapes


def _write_wordpieces(folder: Path) -> int:
    letters = [x for x in _LETTERS if x.isalpha()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS]
    tokens += [f"##{x}" for x in letters] + ["the", "film", "was", "good", "bad"]
    (folder / "vocab.txt").write_text("".join(f"{x}\n" for x in tokens), encoding="utf-8")
    settings = {"do_lower_case": True, "tokenizer_class": "DistilBertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(tokens)


def _write_byte_pairs(folder: Path) -> int:
    merges = ["t h", "th e", "Ġ the", "Ġ f", "i l", "il m", "Ġf ilm", "o o", "g oo", "goo d"]
    merges += ["Ġ good", "Ġ Ġ", ". .", "Ã ©", "a a"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(BYTE_SYMBOLS)]
    tokens += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    text = "#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges)
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    return len(tokens)


def _write_albert(folder: Path) -> int:
    special = [("<pad>", 3), ("<unk>", 2), ("[CLS]", 3), ("[SEP]", 3), ("[MASK]", 4)]
    return _write_pieces(folder / "spiece.model", special)


def _write_xlm_roberta(folder: Path) -> int:
    special = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
    # one more of padding, one of <mask>
    return _write_pieces(folder / "sentencepiece.bpe.model", special) + 2


def _write_pieces(file: Path, special: list[tuple[str, int]]) -> int:
    """Writes a model of SentencePiece with its own Unicode rules, and returns how many pieces."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ab"] * 9), model_writer=trained, vocab_size=6, minloglevel=2
    )
    model = proto.ModelProto.FromString(trained.getvalue())
    del model.pieces[:]
    for piece, kind in special:
        model.pieces.add(piece=piece, score=0.0, type=kind)
    draw = random.Random(0)
    known = ["▁", *_LETTERS, *(f"▁{word}" for word in _WORDS), *_WORDS, "oo", "ilm"]
    for piece in known:
        score = -9.0 + len(piece) if len(piece) > 1 else -12.0
        model.pieces.add(piece=piece, score=score - draw.random(), type=1)
    file.write_bytes(model.SerializeToString())
    return len(model.pieces)


def _list_shapes(kind: str, tokens: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights by their names in a file of Hugging Face."""
    embedded = 4 if kind == "albert" else WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (tokens, embedded),
        "embeddings.position_embeddings.weight": (POSITIONS, embedded),
    }
    norms = {"embeddings.LayerNorm": embedded}
    if kind != "distilbert":
        types = 2 if kind == "albert" else 1
        shapes["embeddings.token_type_embeddings.weight"] = (types, embedded)
    dense = {}
    if kind == "albert":
        dense["encoder.embedding_hidden_mapping_in"] = (WIDTH, embedded)
        dense["pooler"] = (WIDTH, WIDTH)
        starts = [f"encoder.albert_layer_groups.{i}.albert_layers.0" for i in range(2)]
        names = ["attention.query", "attention.key", "attention.value", "attention.dense"]
        names += ["ffn", "ffn_output", "attention.LayerNorm", "full_layer_layer_norm"]
    elif kind == "distilbert":
        starts = [f"transformer.layer.{i}" for i in range(LAYERS)]
        names = ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"]
        names += ["ffn.lin1", "ffn.lin2", "sa_layer_norm", "output_layer_norm"]
    else:
        starts = [f"encoder.layer.{i}" for i in range(LAYERS)]
        names = ["attention.self.query", "attention.self.key", "attention.self.value"]
        names += ["attention.output.dense", "intermediate.dense", "output.dense"]
        names += ["attention.output.LayerNorm", "output.LayerNorm"]
    for start in starts:
        dense |= {f"{start}.{name}": (WIDTH, WIDTH) for name in names[:4]}
        dense |= {f"{start}.{names[4]}": (INNER, WIDTH), f"{start}.{names[5]}": (WIDTH, INNER)}
        norms |= {f"{start}.{name}": WIDTH for name in names[6:]}
    shapes |= {f"{name}.weight": shape for name, shape in dense.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in dense.items()}
    return shapes | {
        f"{x}.{end}": (size,) for x, size in norms.items() for end in ("weight", "bias")
    }
