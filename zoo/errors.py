"""What ends a program in one line: mistakes of the user's, and workers that are gone."""


class UserError(ValueError):
    """A mistake of the user's, told in one line: what was given, what was expected, what to do.

    The command-line programs print it without a traceback and exit with code 2.
    """


class WorkerLostError(RuntimeError):
    """Another worker of the cluster does not answer; the command-line programs exit with code 1."""
