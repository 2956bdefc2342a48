"""What all tests share: no property is held to a deadline, since machines differ and are busy; 40 examples of each."""

from hypothesis import settings

settings.register_profile("book", deadline=None, max_examples=40)
settings.load_profile("book")


def pytest_addoption(parser):
    """`--fuzz N`: how many calls with nonsense `test_fuzz.py` tries."""
    parser.addoption(
        "--fuzz", type=int, default=1000, help="calls with nonsense (default: 1000); files and lines in proportion"
    )
