"""Epochs of the zoo next to what a user would run instead, in turns.

    python -m benchmarks.compare --models=mlp,cnn,lstm,transformer --rounds=5

Each contender (`benchmarks/contenders.py`) trains in a process of its own that is started once; the
processes take turns epoch by epoch (A B C D A B C D ...), so that the figures of a round belong
together. A time is that of a whole epoch, from the first batch to the return of `fit`; the first
round, which traces and compiles, does not count. Contenders whose packages are not installed are
left out: `pip install -e '.[bench]'` installs them, and `torch.compile` needs a compiler of C++.

With --out it writes RESULTS.md and results.png there.
"""

import importlib.util
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from benchmarks import contenders
from zoo.commands.flags import under_heading
from zoo.commands.runner import exit_with_error, import_tensorflow, print_warning, run_command
from zoo.errors import UserError

# what a contender needs, and its column
NEEDS = {
    "zoo": ((), ""),
    "step_only": ((), "of the step-only upper bound"),
    "keras": ((), "over Keras"),
    "torch": (("torch",), "over PyTorch"),
    "torch_compile": (("torch",), "over torch.compile"),
    "keras_jax": (("jax",), "over Keras on JAX"),
    "flax": (("jax", "flax", "optax"), "over Flax"),
}
WITHOUT_TENSORFLOW = ("torch", "torch_compile", "keras_jax", "flax")
FAMILIES = {"flax": ("mlp", "lstm")}  # of contenders that are not of all families

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
# fmt: off
flags.DEFINE_string("models", "mlp,cnn,lstm,transformer", "Of mlp,cnn,lstm,transformer.",
                    **BENCHMARK)
flags.DEFINE_string("contenders", ",".join(NEEDS), "What is compared.", **BENCHMARK)
flags.DEFINE_integer("rounds", 5, "Epochs of each contender that count.", 1, **BENCHMARK)
flags.DEFINE_integer("examples", None, "Examples in an epoch, in place of each model's own.", 100,
                     **BENCHMARK)
flags.DEFINE_enum("precision", "float32", ("float32", "mixed_bfloat16"), "Of the zoo, Keras and "
                  "PyTorch.", **BENCHMARK)
flags.DEFINE_string("out", None, "Folder for RESULTS.md and results.png.", **BENCHMARK)
# fmt: on


def serve(pipe, name: str, model: str, examples: int | None, precision: str) -> None:
    """Process of a contender: trains an epoch whenever it is told to, and tells its peak memory."""
    if name not in WITHOUT_TENSORFLOW:
        import_tensorflow()
    contenders.PRECISION = precision
    if examples:
        contenders.EXAMPLES[model] = examples
    try:
        epoch = getattr(contenders, name)(model)
    except UserError as error:
        exit_with_error(str(error))
    pipe.send("ready")
    while pipe.recv() == "train":
        epoch()
        pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def answer(pipe, name: str, model: str):
    """What a contender tells."""
    try:
        return pipe.recv()
    except EOFError:
        raise UserError(f"{name} of {model} died: what it said stands above") from None


def measure(
    model: str,
    names: Sequence[str],
    rounds: int,
    examples: int | None = None,
    precision: str = "float32",
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of each counted epoch, and peak MiB at the end of each of all, by contender."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        pipes[name], theirs = context.Pipe()
        arguments = theirs, name, model, examples, precision
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        answer(pipes[name], name, model)
    seconds, memory = {name: [] for name in names}, {name: [] for name in names}
    for counted in range(-1, rounds):
        for name, pipe in pipes.items():
            started = time.perf_counter()
            pipe.send("train")
            memory[name].append(answer(pipe, name, model))
            if counted >= 0:
                seconds[name].append(time.perf_counter() - started)
    for pipe in pipes.values():
        pipe.send("end")
    for process in processes:
        process.join()
    return seconds, memory


def ratios(seconds: dict[str, list[float]], over: str) -> str:
    """Median, least and greatest throughput of the zoo over that of another in the same round."""
    found = [b / a for a, b in zip(seconds["zoo"], seconds[over], strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def row(
    model: str,
    names: Sequence[str],
    seconds: dict[str, list[float]],
    memory: dict[str, list[float]],
) -> str:
    """The model's line of the table."""
    rate = (FLAGS.examples or contenders.EXAMPLES[model]) / statistics.median(seconds["zoo"])
    cells = [model, str(contenders.BATCH[model]), f"{rate:,.0f}"]
    cells += [ratios(seconds, name) if name in seconds else "" for name in names[1:]]
    cells += [" / ".join(f"{memory[name][-1]:,.0f}" for name in ("zoo", "keras") if name in memory)]
    return f"| {' | '.join(cells)} |"


def draw(rates: dict[str, dict[str, float]], path: Path) -> None:
    """Bars of each contender's throughput over that of plain Keras."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for found in rates.values() for name in found))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        shift = (i - (len(names) - 1) / 2) * width
        heights = [found.get(name, 0) / found["keras"] for found in rates.values()]
        axes.bar([at + shift for at in range(len(rates))], heights, 0.9 * width, label=name)
    axes.set_xticks(range(len(rates)), rates)
    axes.set(ylabel="examples/s over plain Keras")
    axes.axhline(1, color="gray", linewidth=1)
    axes.legend()
    figure.savefig(path, dpi=100)


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def choose_contenders(wanted: Sequence[str]) -> list[str]:
    """The zoo, and of those that are wanted the ones whose packages are installed.

    Raises:
        UserError: if there is no such contender.
    """
    for name in wanted:
        if name not in NEEDS:
            raise UserError(f"--contenders: {name!r} is none of {','.join(NEEDS)}")
    names = ["zoo"]
    for name in NEEDS:
        missing = [package for package in NEEDS[name][0] if not importlib.util.find_spec(package)]
        if name in wanted and missing:
            print_warning(
                f"{name} is left out, {missing[0]} is not installed: pip install -e '.[bench]'"
            )
        elif name in (*wanted, "keras") and name != "zoo":  # the chart is over Keras
            names.append(name)
    return names


def main() -> None:
    """Times all contenders of each model; prints a table and writes it with a chart."""
    models = FLAGS.models.split(",")
    for model in models:
        if model not in contenders.BATCH:
            raise UserError(
                f"--models={FLAGS.models}: {model!r} is none of {','.join(contenders.BATCH)}"
            )
    names = choose_contenders(FLAGS.contenders.split(","))
    titles = ["model", "batch", "zoo, examples/s", *(NEEDS[name][1] for name in names[1:])]
    lines = [
        f"| {' | '.join([*titles, 'peak MiB, zoo / Keras'])} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    print(*lines, sep="\n", flush=True)
    rates = {}
    for model in models:
        running = [name for name in names if model in FAMILIES.get(name, models)]
        seconds, memory = measure(model, running, FLAGS.rounds, FLAGS.examples, FLAGS.precision)
        rates[model] = {name: 1 / statistics.median(seconds[name]) for name in running}
        lines.append(row(model, names, seconds, memory))
        print(lines[-1], flush=True)
    if FLAGS.out:
        out = Path(FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
        command = f"python -m benchmarks.compare --models={FLAGS.models} --rounds={FLAGS.rounds}"
        title = f"`{command}`, {len(os.sched_getaffinity(0))} cores of {processor()}"
        note = "Throughput ratios: median of the rounds, least and greatest in brackets."
        text = "\n".join(["# Training speed", "", f"{title}.", note, "", *lines, ""])
        (out / "RESULTS.md").write_text(f"{text}\n![throughput over plain Keras](results.png)\n")
        draw(rates, out / "results.png")


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
