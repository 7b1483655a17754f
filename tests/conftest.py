"""Settings of the whole test run."""

from hypothesis import settings

settings.register_profile("long", max_examples=3000)
"""``pytest --hypothesis-profile=long tests/properties/…``: for a run by hand, in the background."""
