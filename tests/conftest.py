"""Settings of the whole test run."""

from hypothesis import settings

settings.register_profile("tests", settings.default, deadline=None)
"""No example has a deadline: how long one takes says more of the machine than of the code."""
settings.register_profile("long", settings.get_profile("tests"), max_examples=3000)
"""``pytest --hypothesis-profile=long tests/properties/…``: for a run by hand, in the background."""
settings.load_profile("tests")
