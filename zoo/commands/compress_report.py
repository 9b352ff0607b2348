"""What `zoo compress` prints, and writes while it goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.compressing.methods import Method
from zoo.compressing.results import CHART, RECORD, TABLE, format_table, plot_results, write_results
from zoo.compressing.scores import format_score
from zoo.compressing.workflow import Compression
from zoo.evaluation.record import describe_machine


def announce_compression(work: Compression, source: Path, methods: Sequence[Method]) -> None:
    """Prints the model, the data and the methods."""
    data, count = work.data, len(methods)
    print(
        f"{work.original.entry.name} of {source} on {data.name}: {len(data.train):,} examples to "
        f"train on, {len(data.validation):,} to choose by, {len(data.test):,} to test each model "
        "once"
    )
    print(f"{count} method{'s' * (count != 1)}: {', '.join(method.name for method in methods)}",
          flush=True)  # fmt: skip


def report_compression(
    work: Compression, source: Path, rows: Sequence[dict[str, Any]], *, is_last: bool
) -> None:
    """Prints the line of the newest row, and writes the table; at the end also prints it."""
    folder, row = work.directory, rows[-1]
    machine = describe_machine()
    facts = {
        "model": work.original.entry.name,
        "weights": str(source),
        "dataset": work.data.name,
        "seed": work.seed,
        "max_drop": work.max_drop,
        "machine": machine["machine"],
        "versions": machine["versions"],
        "command": work.command,
    }
    write_results(rows, facts, folder)
    part = row["bytes"] / rows[0]["bytes"]
    print(
        f"{row['method']}: {row['score']} {format_score(row)}, {row['bytes'] / 1e3:,.0f} kB "
        f"({part:.0%})" + (f"; {row['refused']}" if row["refused"] else ""),
        flush=True,
    )
    if not is_last:
        return
    plot_results(rows, folder / CHART)
    print("", *format_table(rows), sep="\n")
    for other in rows:
        if other["export"]:
            print(f"{other['method']}: {other['export']}")
    print(f"compression: {folder}  ({TABLE}, {RECORD}, {CHART}, a run for each method)")
