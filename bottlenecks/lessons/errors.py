"""Mistakes of the reader's in a notebook: one line instead of the way through the package.

A `ValueError` that this package raises is a message to the reader: the name, the value, what is allowed. Where the package
found it does not help her. Any other exception keeps its traceback, and BOTTLENECKS_TRACEBACK=1 keeps them all.
"""

import os
import sys

ALL = "BOTTLENECKS_TRACEBACK"


def install():
    """Show the ValueErrors of this package on one line, in the notebook that imports us; elsewhere nothing happens."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if shell and not shell.custom_exceptions:  # somebody else's handler stays
        shell.set_custom_exc((ValueError,), told)


def told(shell, kind, problem, trace, tb_offset=None):
    """The handler: IPython calls it with a ValueError that a cell has left."""
    if is_ours(trace) and os.environ.get(ALL) != "1":
        lines = [f"{kind.__name__}: {problem}"]
        shell._showtraceback(kind, problem, lines)
        return lines
    return shell.showtraceback((kind, problem, trace), tb_offset=tb_offset)


def is_ours(trace):
    """Whether what raised an exception is code of this package."""
    while trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]
