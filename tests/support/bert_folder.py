"""A tiny BERT of random weights in a Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

RESERVED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENS = (
    *RESERVED,
    *"abdfglmoprsu",
    *(f"##{x}" for x in "abdfglmoprsu"),
    "film",
    "good",
    "gro",
    "##ß",
)
_WIDTH, _POSITIONS = 8, 64


def write_bert_folder(
    folder: Path,
    *,
    tokens: tuple[str, ...] = TOKENS,
    prefix: str = "",
    pooler: bool = True,
    config: dict[str, Any] | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    embeddings: int | None = None,
) -> Path:
    """Writes config.json, vocab.txt and model.safetensors.

    Args:
        folder: The folder, which is made.
        tokens: The lines of vocab.txt.
        prefix: Start of the names of the weights; "bert." for models with a head.
        pooler: Whether there are weights of the pooler.
        config: Changes of config.json.
        tokenizer_config: Content of tokenizer_config.json; None for no such file.
        embeddings: Number of token embeddings; None for one per token.
    """
    rows = embeddings or len(tokens)
    settings = {
        "model_type": "bert",
        "vocab_size": rows,
        "hidden_size": _WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 2 * _WIDTH,
        "max_position_embeddings": _POSITIONS,
        "hidden_act": "gelu",
    }
    folder.mkdir()
    weights = {prefix + name: weight for name, weight in _draw_weights(rows, pooler).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings | (config or {})))
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    if tokenizer_config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return folder


def _draw_weights(rows: int, pooler: bool) -> dict[str, np.ndarray]:
    """Random weights of one layer, by their names in a file of Hugging Face."""
    sizes = {
        "embeddings.word_embeddings": (rows, _WIDTH),
        "embeddings.position_embeddings": (_POSITIONS, _WIDTH),
        "embeddings.token_type_embeddings": (2, _WIDTH),
    }
    block = "encoder.layer.0"
    dense = {f"{block}.attention.self.{x}": (_WIDTH, _WIDTH) for x in ("query", "key", "value")}
    dense[f"{block}.attention.output.dense"] = (_WIDTH, _WIDTH)
    dense[f"{block}.intermediate.dense"] = (2 * _WIDTH, _WIDTH)
    dense[f"{block}.output.dense"] = (_WIDTH, 2 * _WIDTH)
    if pooler:
        dense["pooler.dense"] = (_WIDTH, _WIDTH)
    norms = ("embeddings", f"{block}.attention.output", f"{block}.output")
    shapes = {f"{name}.weight": shape for name, shape in (sizes | dense).items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in dense.items()}
    shapes |= {f"{name}.LayerNorm.{x}": (_WIDTH,) for name in norms for x in ("weight", "bias")}
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}
