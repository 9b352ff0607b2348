"""What the table says of a compressed model besides its numbers."""

from typing import Any

from zoo.compressing.methods import Method
from zoo.compressing.scores import format_drop, measure_drop

_FASTER = 0.9  # a smaller part of the original's latency counts as faster


def describe_drop(
    row: dict[str, Any], original: dict[str, Any], max_drop: float | None
) -> dict[str, Any]:
    """Returns "drop", the loss on the validation split, and "refused", why that is too much."""
    drop = measure_drop(row, original, "validation")
    refused = ""
    # float arithmetic: 0.9900 - 0.9850 is a little more than 0.005
    if max_drop is not None and drop > max_drop + 1e-9:
        refused = (
            f"refused, not exported: it loses {format_drop(row, drop)} of {row['score']} on the "
            f"validation split, and --max_drop={100 * max_drop:g}% allows less"
        )
    return {"drop": drop, "refused": refused}


def summarize_method(method: Method, facts: dict[str, Any]) -> str:
    """Returns what was done to a model, for its card.

    Args:
        method: The method.
        facts: "quantized", the share of the parameters that are; or "sparsity", that of the zeros
            among the kernels.
    """
    summary = f"{method.name} by zoo compress"
    if "quantized" in facts:
        return f"{summary}, {facts['quantized']:.0%} of the parameters are {method.kind}"
    if facts["sparsity"] > 0.01:  # single weights may be zero in any model
        return f"{summary}, {facts['sparsity']:.0%} of the kernels are zeros"
    return summary


def describe_method(method: Method, row: dict[str, Any], original: dict[str, Any]) -> str:
    """Describes what a method did, and whether it makes predictions faster here."""
    facts, notes = row["facts"], []
    if "quantized" in facts:
        notes.append(f"{facts['quantized']:.0%} of the parameters are {method.kind}")
    if method.kind == "int4":
        notes.append("4 bits are for storage: they are unpacked in each call")
    if method.kind == "prune":
        notes.append(
            f"{facts['sparsity']:.0%} of the kernels are zeros, which gzip stores in less; the "
            "kernels of TensorFlow multiply zeros too"
        )
    if method.kind == "litert_float16":
        notes.append("16 bits are for storage: a CPU computes in float32")
    ratios = [row[name] / original[name] for name in ("latency_ms_1", "latency_ms_32")]
    if min(ratios) > _FASTER:
        notes.append(f"no faster here ({ratios[0]:.2f} and {ratios[1]:.2f} times the latency)")
    return "; ".join(notes)
