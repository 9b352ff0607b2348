"""The flags of a log of requests."""

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import print_warning
from zoo.serving.request_log import RequestLog


def define_log_flags(values: flags.FlagValues) -> None:
    """Defines the flags that `open_log` reads."""
    log = under_heading(values, "Log")
    # fmt: off
    flags.DEFINE_string("log", None, "File of the log of requests, for zoo monitor.", **log)
    flags.DEFINE_float("share", 1.0, "Share of the requests that are logged.", 0, 1, **log)
    flags.DEFINE_list("hashed", [], "Inputs whose values are replaced by a hash.", **log)
    flags.DEFINE_list("dropped", [], "Inputs that are left out.", **log)
    flags.DEFINE_integer("max_mib", 64, "Size in MiB at which the file is renamed to FILE.1, and "
                         "that to FILE.2 and so on.", 1, **log)
    flags.DEFINE_integer("kept", 4, "Number of these older files.", 0, **log)
    # fmt: on


def open_log(values: flags.FlagValues) -> RequestLog | None:
    """Opens the log of --log, if there is one; lines on requests that are lost go to stderr.

    Raises:
        UserError: if it cannot be written, or a number is out of range.
    """
    if not values.log:
        return None
    return RequestLog(
        values.log,
        share=values.share,
        hashed=values.hashed,
        dropped=values.dropped,
        max_mib=values.max_mib,
        kept=values.kept,
        report=print_warning,
    )
