"""What all tests share: no property is held to a deadline, since machines differ and are busy."""

from hypothesis import settings

settings.register_profile("book", deadline=None)
settings.load_profile("book")
