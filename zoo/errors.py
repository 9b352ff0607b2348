"""The one exception for what a user can mend."""


class UserError(ValueError):
    """A mistake of the user's, told in one line: what was given, what was expected, what to do.

    The command-line programs print it without a traceback and exit with code 2.
    """
