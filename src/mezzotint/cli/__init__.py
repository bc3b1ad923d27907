"""The command line: one file a group of verbs. Nothing heavy is imported before a verb needs it."""

import io
import sys
import time

BEGAN = time.monotonic()
"""When the program began: budgets of minutes count from here."""


def main() -> None:
    """The `mezzotint` command: errors a user can mend are one sentence and exit code 2."""
    from mezzotint.cli.verbs import app
    from mezzotint.errors import UserError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and classes need not be printable
    try:
        app(sys.argv[1:])
    except UserError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
        sys.exit(141)
    except OSError as error:
        _fail(_disk(error), 2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        _fail("there is not enough memory: ask for fewer or smaller pictures, or train with a smaller --set batch", 2)


def _fail(sentence: str, code: int) -> None:
    print(f"mezzotint: {sentence}", file=sys.stderr)
    sys.exit(code)


def _out_of_memory(error: Exception) -> bool:
    """Numpy, torch on a GPU and torch on a CPU each say it in a way of their own."""
    return (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    )


def _disk(error: OSError) -> str:
    """A sentence for what the operating system refused."""
    import errno

    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return (
            f"the disk is full{where}: free some space and go on with `mezzotint train --resume RUN`; "
            "the last checkpoint is whole"
        )
    return f"{error.strerror or error}{where}: nothing was half-written; mend that and try again"
