"""Text that ends where a stop string begins, and never shows part of one.

Knows pieces of text as they come. Knows no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopFinder:
    """Lets text through up to the first of `stops`; holds back what may begin one.

    The first is the one that is whole first; of two that end together, the longer.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = ""

    def push(self, text: str) -> str:
        """What may be shown now that `text` has come; "" once `found` is set."""
        if self.found:
            return ""
        held = self._held + text
        found = [stop for stop in self._stops if stop in held]
        if found:
            # What is whole first wins, however the text was cut into pieces.
            ends = [(held.find(stop) + len(stop), -len(stop)) for stop in found]
            end, length = min(ends)
            self.found = held[end + length : end]
            self._held = ""
            return held[: end + length]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        shown = held[: len(held) - keep]
        self._held = held[len(shown) :]
        return shown

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
