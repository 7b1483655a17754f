"""What stands where a secret is not shown."""

from typing import Final

MASK: Final = "********"
