"""What all tests share: no property is held to a deadline, since machines differ and are busy; 40 examples of each."""

from hypothesis import settings

settings.register_profile("book", deadline=None, max_examples=40)
settings.load_profile("book")
