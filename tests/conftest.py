"""What all tests share.

No property is held to a deadline, since machines differ and are busy; 40 examples of each. Whose machine this is
makes no difference: what its user has measured is not looked at, by no test and none of its processes.
"""

import os
import tempfile

from hypothesis import settings

settings.register_profile("book", deadline=None, max_examples=40)
settings.load_profile("book")

NOBODY = tempfile.TemporaryDirectory(prefix="bottlenecks-")  # goes with the process
os.environ["BOTTLENECKS_DATA"] = NOBODY.name


def pytest_addoption(parser):
    """`--fuzz N`: how many calls with nonsense `test_fuzz.py` tries."""
    parser.addoption(
        "--fuzz", type=int, default=1000, help="calls with nonsense (default: 1000); files and lines in proportion"
    )
