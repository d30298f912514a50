"""Text to tokens on disk, and tokens to batches.

textfile, jsonl, source   reading: strict UTF-8, documents, conversations
split, encode, prepare    which text validates; token ids; the cache
shards, store             the files that hold tokens, and reading from them
order, batches, prefetch  which windows of the tokens a step sees, ahead of time
"""

from engine.data.batches import BatchSource, dataset_passes, eval_batches
from engine.data.prefetch import Prefetcher
from engine.data.prepare import Dataset, prepare
from engine.data.source import Source, Texts, open_source, texts
from engine.data.split import Scan, scan
from engine.data.store import TokenStore

__all__ = [
    "BatchSource",
    "Dataset",
    "Prefetcher",
    "Scan",
    "Source",
    "Texts",
    "TokenStore",
    "dataset_passes",
    "eval_batches",
    "open_source",
    "prepare",
    "scan",
    "texts",
]
