"""`alpha datagen`: write a corpus that a program makes.

Knows flags and the terminal. What is written is in the modules of `engine.datagen`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli.console import progress
from engine.datagen import Request, generators
from engine.datagen.write import DOCUMENTS, write_corpus

HELP = "write a corpus: chords, tunes, finance, chaos, chat, a concordance"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the generator's name, where to write, how much, and from what seed."""
    parser.add_argument("domain", metavar="DOMAIN", help=", ".join(generators))
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="where to write: JSONL where it is named .jsonl, else text",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--documents",
        type=int,
        metavar="N",
        help=f"how many documents (default: {DOCUMENTS}; a concordance: all)",
    )
    size.add_argument(
        "--bytes", type=int, metavar="N", help="as many as fit into that many bytes"
    )
    parser.add_argument(
        "--seed", type=int, default=1337, metavar="N", help="(default: 1337)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="the text of a concordance"
    )


def run(options: argparse.Namespace) -> dict[str, object]:
    """Write the corpus; its path, counts and seed."""
    generator = generators.get(options.domain)
    request = Request(seed=options.seed, data=options.data)
    total = options.documents or options.bytes or DOCUMENTS
    with progress(f"{options.domain}", total) as counter:
        written = write_corpus(
            options.domain,
            generator,
            options.out,
            request,
            documents=options.documents,
            size=options.bytes,
            progress=lambda documents, size: counter.update(
                size if options.bytes else documents, f"{size:,} bytes"
            ),
        )
    return {
        "domain": options.domain,
        "path": written.path,
        "documents": written.documents,
        "bytes": written.bytes,
        "characters": written.characters,
        "seed": options.seed,
    }
