"""Rewrites a text that comes in pieces, with a result that does not depend on where it was cut."""

from collections.abc import Callable, Iterable, Iterator

Decided = Callable[[str], int]
Rewrite = Callable[[str], str]


def rewritten(pieces: Iterable[str], decided: Decided, rewrite: Rewrite) -> Iterator[str]:
    """`decided` tells how much of a text no later piece can change: that much is rewritten, and the rest is held back.

    Rewriting the parts before and after such a place must give the same as rewriting the whole.
    """
    held = ""
    for piece in pieces:
        held += piece
        cut = decided(held)
        if cut:
            text, held = rewrite(held[:cut]), held[cut:]
            if text:
                yield text
    if held and (text := rewrite(held)):
        yield text
