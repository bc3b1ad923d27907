"""The one exception for what a user can cause and mend."""


class UserError(Exception):
    """Say in one sentence what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """
