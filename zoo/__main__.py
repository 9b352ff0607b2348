"""The command `zoo`, which `python -m zoo` runs as well."""

import contextlib
import importlib
import sys

from zoo.schema import suggest_closest

COMMANDS = {
    "train": "Trains a model on a dataset, scores it, and exports it for TF Serving.",
    "pretrain": "Pretrains a text model on texts without labels.",
    "tune": "Searches for settings and hyperparameters with the best validation score.",
    "compress": "Makes a trained model smaller in several ways, and compares them.",
    "evaluate": "Scores a run, an export or a server on any dataset, or cross-validates a recipe.",
    "predict": "Predicts with an exported model, in this process or by asking TF Serving.",
    "export": "Exports a trained or a pretrained model for TF Serving, without a training.",
    "explain": "Shows which pixels, words or columns speak for a prediction.",
    "check": "Verifies an export, or a server that serves it.",
    "serve": "Serves exported models on this machine, for trying.",
    "demo": "Shows a page to try a model.",
    "serve-log": "Logs the requests to a server, as a proxy before it.",
    "monitor": "Compares logged requests with the data of an exported model.",
    "retrain": "Trains the served version of a model further, and promotes it if it is better.",
    "label": "Labels a version of an exported model, such as stable or canary.",
    "tune-batching": "Measures TF Serving with and without batching, and writes batching.config.",
    "onnx": "Lays out ONNX files for Triton and OpenVINO Model Server.",
    "launch": "Starts several workers on this machine that train one model together.",
    "results": "Compares finished runs in a table and a plot.",
    "publish": "Adds the weights of a finished run to the package.",
}


def main() -> None:
    """Runs the command that the first word names."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help"):
        with contextlib.suppress(BrokenPipeError):  # `zoo | head` closes the pipe
            print(format_commands(), flush=True)
        return
    if name not in COMMANDS:
        closest = suggest_closest(name, COMMANDS)
        print(
            f"zoo: no command is named {name!r}.{closest} Commands: {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    from zoo.commands.runner import run_command

    run_command(importlib.import_module(f"zoo.commands.{name.replace('-', '_')}"), argv)


def format_commands() -> str:
    """Returns the text of `zoo --help`: the commands, one per line."""
    lines = [f"  {name:13} {summary}" for name, summary in COMMANDS.items()]
    usage = "usage: zoo COMMAND [FLAGS]\n\nKeras models from a name to a served SavedModel.\n"
    return "\n".join([usage, *lines, "", "zoo COMMAND --help shows the flags of a command."])


if __name__ == "__main__":
    main()
