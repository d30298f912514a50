"""Corpora made by programs: every document a pure function of (seed, index).

Importing this package registers the built-in generators.
"""

from engine.datagen import abc, chaos, chat, chords, concordance, dumb_finance
from engine.datagen.generator import Document, Generator, Request, generators

__all__ = [
    "Document",
    "Generator",
    "Request",
    "abc",
    "chaos",
    "chat",
    "chords",
    "concordance",
    "dumb_finance",
    "generators",
]
