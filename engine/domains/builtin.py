"""The domains that come with the program, as data.

The settings are those of a first small model that shows within minutes, on two cores,
what there is to learn.
"""

from __future__ import annotations

from typing import Any

from engine.domains.domain import Corpus, Domain, domains

#: About a million parameters; a context of a few lines.
SMALL: dict[str, Any] = {
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "block_size": 128,
    "batch": "16",
    "iters": 600,
    "lr": 3e-3,
    "warmup": 50,
    "eval_interval": 100,
    "eval_batches": 32,
    "sample_interval": 200,
    "checkpoint_interval": 200,
}

#: The same for texts whose structure spans a few hundred characters.
WIDE: dict[str, Any] = SMALL | {"block_size": 256, "batch": "8", "iters": 800}

BUILTIN = (
    Domain(
        name="python",
        title="Python",
        description="The sources of Python's own standard library.",
        tokenizer="bpe",
        corpus=Corpus("stdlib"),
        prompts=(
            "def ",
            "class ",
            "import os\n",
            'if __name__ == "__main__":\n',
        ),
        settings=SMALL,
    ),
    Domain(
        name="novels",
        title="Novels",
        description="Prose: a novel, or a folder of them, that you bring.",
        tokenizer="bpe",
        corpus=Corpus("file", wanted="a text file or a folder of text files"),
        prompts=("The ", "She looked at ", '"I never ', "It was "),
        settings=WIDE | {"iters": 1500},
    ),
    Domain(
        name="chords",
        title="Chords",
        description="Chord charts in sections, in five styles and sixteen keys.",
        tokenizer="char",
        corpus=Corpus("generator", "chords", documents=5000),
        prompts=(
            "Title: ",
            "Title: Blue Train\nStyle: swing\nKey: Bb major\n",
            "Title: Slow River to Lisbon\nStyle: ballad\nKey: A minor\n",
        ),
        settings=WIDE,
    ),
    Domain(
        name="abc",
        title="ABC notation",
        description="Dance tunes in ABC notation, playable by any ABC program.",
        tokenizer="char",
        corpus=Corpus("generator", "abc", documents=5000),
        prompts=(
            "X:1\nT:",
            "X:1\nT:The Old Goat\nR:jig\nM:6/8\n",
            "X:1\nT:Paddy's Kettle\nR:reel\nM:4/4\nL:1/8\nQ:1/4=192\nK:G\n",
        ),
        settings=WIDE,
    ),
    Domain(
        name="dumb_finance",
        title="Dumb finance",
        description="Financial news, advice and ledgers of no use to anybody.",
        tokenizer="char",
        corpus=Corpus("generator", "dumb_finance", documents=8000),
        prompts=(
            "NEWS: ",
            "ADVICE: Dear Uncle Herbert, ",
            "LEDGER: Soggy Pickles (SOPI)\n",
        ),
        settings=WIDE,
    ),
    Domain(
        name="chaos",
        title="Chaos",
        description="Chaotic maps, the Lorenz system and cellular automata in text.",
        tokenizer="char",
        corpus=Corpus("generator", "chaos", documents=8000),
        prompts=("logistic r=3.800\n", "automaton rule=110\n", "henon a=1.400 "),
        settings=WIDE,
    ),
    Domain(
        name="concordance",
        title="Concordance",
        description="Every word of a text in its context, out of a text you bring.",
        tokenizer="bpe",
        corpus=Corpus(
            "file",
            wanted="a concordance (alpha datagen concordance --data TEXT --out FILE)",
        ),
        prompts=("love (", "time ("),
        settings=WIDE,
    ),
    Domain(
        name="chat",
        title="Chat",
        description="Short conversations: sums, days, words, and a name remembered.",
        tokenizer="char",
        corpus=Corpus("generator", "chat", documents=20000),
        prompts=(
            "What is 7 + 5?",
            "What day comes after Monday?",
            "Spell garden.",
            "Hello, I am called Ada.",
        ),
        settings=SMALL | {"iters": 1500},
    ),
)

for domain in BUILTIN:
    domains.register(domain.name)(domain)
