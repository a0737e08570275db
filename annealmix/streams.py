"""stdin, stdout and stderr as a command can use them, whatever it was started with.

closed           its number would be given to the next file that is opened, and what is printed
                 would end in that: so it is taken, by what can be neither read nor written
stderr is full   notes are lost; the command does what it was asked
stdout is full   the answer is lost: exit code 1, and stderr says so
LC_ALL=C         Python would take names of files for ASCII, and a mix would hold other names
                 than elsewhere: the command is started again in its UTF-8 mode
"""

from __future__ import annotations

import codecs
import os
import sys

STDOUT = "stdout"


def take_closed() -> None:
    """Open what is closed: reading ends at once, an answer fails as on a full disk, notes go
    nowhere.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def start_again_in_utf8() -> None:
    """Start the command again if this process would take names of files for ASCII."""
    ascii_names = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    if ascii_names and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def flush_answer() -> None:
    """Print what waits for stdout.

    Raises:
        OSError: of the file `stdout`: it cannot be printed.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, STDOUT) from None


def give_up_stdout() -> None:
    """Let what still waits for stdout go nowhere: the interpreter prints it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
