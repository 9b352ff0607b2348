"""Formats the text of --help, and the list of models."""

import dataclasses
import textwrap

from absl import flags

from zoo.commands.flags import TRAINING
from zoo.pretrained.store import list_weights
from zoo.recipe import Recipe
from zoo.registry import Entry, describe_hyperparameters, find_entry, list_names

_INDENT = 24


def format_help(
    introduction: str | None, values: flags.FlagValues, entry: Entry | None = None
) -> str:
    """Formats the help of a command: its introduction, and its flags with meaning and default.

    Args:
        introduction: Docstring of the command's module.
        values: The command's flags.
        entry: A model, for the defaults of its recipe and the list of its hyperparameters.
    """
    defaults = dataclasses.asdict(entry.recipe if entry else Recipe())
    lines = [(introduction or "").strip()]
    headings = values.flags_by_module_dict()
    for heading, members in headings.items():
        lines += ["", f"{heading}:"]
        for flag in members:
            lines += _format_term(f"--{flag.name}", _describe_flag(flag, defaults))
    if TRAINING not in headings:
        return "\n".join(lines)
    if entry is None:
        return "\n".join([*lines, "", "With --model=NAME: its defaults and hyperparameters"])
    lines += ["", f"Hyperparameters of {entry.name}, by --hparam=NAME=VALUE:"]
    for line in describe_hyperparameters(entry.hyperparameters) or ["none"]:
        term, _, meaning = line.partition("  ")
        lines += _format_term(term, meaning)
    return "\n".join(lines)


def format_model_table() -> str:
    """Formats a table of the registered models, one per line."""
    rows = [("model", "reads", "trained on", "weights", "what it is")]
    for entry in map(find_entry, list_names()):
        weights = ", ".join(list_weights(entry.name)) or "-"
        rows.append((entry.name, ", ".join(entry.kinds), entry.dataset, weights, entry.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def _describe_flag(flag: flags.Flag, defaults: dict) -> str:
    meaning = (flag.help or "").replace(
        ";\n    repeat this option to specify a list of values", " Can be repeated."
    )
    default = flag.default if flag.default is not None else defaults.get(flag.name)
    return meaning if default in (None, "", []) else f"{meaning} [{default}]"


def _format_term(term: str, meaning: str) -> list[str]:
    indent = " " * _INDENT
    lines = textwrap.wrap(meaning, 76) or [""]
    if len(term) + 2 >= _INDENT:
        return [f"  {term}", *(indent + line for line in lines)]
    return [f"  {term}".ljust(_INDENT) + lines[0], *(indent + line for line in lines[1:])]
