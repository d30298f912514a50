"""What people train on: named kinds of text with prompts and defaults.

Importing this package registers the built-in domains.
"""

from engine.domains import builtin
from engine.domains.corpus import open_corpus
from engine.domains.domain import Corpus, Domain, domains

__all__ = ["Corpus", "Domain", "builtin", "domains", "open_corpus"]
