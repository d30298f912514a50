"""The special tokens, and which of them a kind of text needs.

A special token is an id of its own at the end of the vocabulary. Its spelling in a
text is ordinary text unless the caller says otherwise. Knows no tokenizer.
"""

from __future__ import annotations

#: Stands after every document and after every answer of a chat.
END_OF_TEXT = "<|end_of_text|>"

#: Stand before what the respective party of a chat says.
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
SYSTEM = "<|system|>"

CHAT_SPECIALS = (USER, ASSISTANT, SYSTEM, END_OF_TEXT)

_BY_KIND: dict[str, tuple[str, ...]] = {
    "text": (),
    "documents": (END_OF_TEXT,),
    "chat": CHAT_SPECIALS,
}


def specials_for(kind: str) -> tuple[str, ...]:
    """The special tokens that a source of this kind needs.

    A plain "text" needs none, so that its character vocabulary is its characters;
    "documents" need their separator, "chat" needs its roles. Raises KeyError for
    another kind.
    """
    return _BY_KIND[kind]
