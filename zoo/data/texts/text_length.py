"""Chooses how many tokens of a text are read, and describes the choice to the user."""

import dataclasses
import math

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.texts.tokenizer_settings import (
    SUBWORD_KINDS,
    Tokenizer,
    count_window_tokens,
    describe_windows,
    divide_into_windows,
)
from zoo.models.presets.text_preset import read_positions

MOST_WINDOWS = 16  # of a text, unless a length is asked for
POSITIONS = 512  # of the published text encoders, and of those without a limit of their own


def limit_length(
    tokenizer: Tokenizer, lengths: np.ndarray, config: DataConfig
) -> tuple[Tokenizer, list[str]]:
    """Sets the most tokens of a text.

    Args:
        tokenizer: A tokenizer, whose length is 0 unless it comes with trained weights.
        lengths: Number of tokens of each training text, uncut.
        config: `length`, `long_texts` and `preset` are used.

    Returns:
        The tokenizer, and sentences for the user on texts that are cut or divided into windows.

    Raises:
        UserError: if the preset cannot be read, or the tokens cannot be divided into windows.
    """
    if config.long_texts == "truncate" and tokenizer.window:  # of trained weights
        tokenizer = dataclasses.replace(tokenizer, length=tokenizer.window, window=0)
    if config.long_texts == "windows" or tokenizer.window:
        return _divide_texts(tokenizer, lengths, config)
    positions = _find_positions(tokenizer, config)
    length, notes = config.length or tokenizer.length, []
    if not length:
        length = 8 * math.ceil(np.percentile(lengths, 95) / 8)
        length = min(length, positions) if positions else length
    elif config.long_texts and positions and length > positions:
        notes.append(f"--length={length}: the encoder has positions for {positions:,} tokens")
        length = positions
    advice = "--length sets another limit"
    if tokenizer.kind in SUBWORD_KINDS and length == positions:
        advice = "--long_texts=windows reads them to their end"
    notes.append(describe_cut_texts(lengths, length, advice))
    return dataclasses.replace(tokenizer, length=length), notes


def _divide_texts(
    tokenizer: Tokenizer, lengths: np.ndarray, config: DataConfig
) -> tuple[Tokenizer, list[str]]:
    """Does what `limit_length` does, for windows."""
    # those of trained weights are as long as their texts were
    window = tokenizer.window or tokenizer.length or _find_positions(tokenizer, config) or POSITIONS
    most = count_window_tokens(tokenizer, window, MOST_WINDOWS)
    if config.length or not tokenizer.window:
        length = config.length or min(int(lengths.max()), most)
        tokenizer = divide_into_windows(tokenizer, window, length)
    read = count_window_tokens(tokenizer, window, tokenizer.length // window)
    longer = int((lengths > window).sum())
    note = (
        f"{describe_windows(tokenizer)}: {longer:,} of {len(lengths):,} training texts are longer"
    )
    return tokenizer, [note, describe_cut_texts(lengths, read, "--length sets another limit")]


def _find_positions(tokenizer: Tokenizer, config: DataConfig) -> int | None:
    """Returns how many tokens the encoder has positions for; None where that is not known."""
    if config.preset:
        return read_positions(config.preset)
    return POSITIONS if tokenizer.kind in SUBWORD_KINDS else None


def describe_cut_texts(lengths: np.ndarray, length: int, advice: str) -> str:
    """Describes how many training texts are longer than `length` tokens; "" for none."""
    cut = int((lengths > length).sum())
    if not cut:
        return ""
    return (
        f"{cut:,} of {len(lengths):,} training texts are longer than {length:,} tokens and lose "
        f"their end: {advice}, the longest has {lengths.max():,}"
    )
