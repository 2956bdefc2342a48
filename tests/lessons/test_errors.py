"""A cell's mistake: one line for those that this package names, a traceback for all others."""

import os
import subprocess
import sys

import IPython  # noqa: F401  as a notebook has
import numpy as np
import pytest

from bottlenecks.facts.chips import chip
from bottlenecks.lessons import errors


def trace_of(call):
    with pytest.raises(ValueError) as caught:
        call()
    return caught.tb


def own():
    raise ValueError("the reader's own")


def test_whose_an_exception_is():
    assert errors.is_ours(trace_of(lambda: chip("H100 SMX5")))
    assert not errors.is_ours(trace_of(own))
    assert not errors.is_ours(trace_of(lambda: np.zeros(2) + np.zeros(3)))


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in ("from bottlenecks.lessons.show import show", "from bottlenecks.facts.chips import chip", {cell!r}):
    result = shell.run_cell(cell)
print("failed", not result.success, type(result.error_in_exec).__name__)
"""


def cell(text, **environment):
    """What a fresh shell prints for a cell."""
    code = NOTEBOOK.format(cell=text)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout


def test_a_mistake_is_one_line_and_the_cell_has_failed():
    printed = cell("chip('H100 SMX5')").strip().splitlines()
    assert len(printed) == 2 and printed[0].startswith("ValueError: chip 'H100 SMX5' is unknown; did you mean")
    assert printed[1] == "failed True ValueError"


@pytest.mark.parametrize(
    ("text", "environment"), [("raise ValueError('mine')", {}), ("1 / 0", {}), ("chip('H100 SMX5')", {errors.ALL: "1"})]
)
def test_every_other_exception_keeps_its_traceback(text, environment):
    printed = cell(text, **environment)
    assert "Traceback" in printed and "failed True" in printed


def test_another_handler_stays_and_without_a_notebook_nothing_happens(monkeypatch):
    class Shell:
        custom_exceptions, kept = (KeyError,), True

        def set_custom_exc(self, *_):
            self.kept = False

    shell = Shell()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    errors.install()
    assert shell.kept
    shell.custom_exceptions = ()
    errors.install()
    assert not shell.kept
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    errors.install()
    monkeypatch.delitem(sys.modules, "IPython")
    errors.install()
