"""Dice for generators: choices drawn from the counter-based random numbers.

Knows how to choose. Knows nothing about what is chosen from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from engine.random import Stream, philox

T = TypeVar("T")

_WORDS = 256


def words(text: str, between: str | None = None) -> tuple[str, ...]:
    """The words of a list written as one string (`between` them white space)."""
    return tuple(text.split(between))


class Draw:
    """Choices that are a pure function of (seed, document, how many came before)."""

    def __init__(self, seed: int, document: int) -> None:
        self.document = document
        self._seed = seed
        self._words: list[int] = []
        self._used = 0

    def below(self, bound: int) -> int:
        """An integer in [0, bound); `bound` at most 2**32."""
        at = self._used % _WORDS
        if at == 0:
            words = philox(
                self._seed, Stream.DATAGEN, self.document, self._used, _WORDS
            )
            self._words = words.tolist()
        self._used += 1
        return self._words[at] * bound >> 32

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of a hundred cases."""
        return self.below(100) < percent

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, each as likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of the first halves of `items`, as likely as its weight says."""
        left = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        raise AssertionError("the weights add up to more than is drawn")

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `items`, in random order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]
