"""How many tokens a text has, for models whose tokenizers are not here. Two rules, for two ends.

`about` estimates, rather too many than too few, for what has to fit (a window, a limit a minute) and for showing.
OpenAI counts 4 characters a token in English (help.openai.com, "What are tokens and how to count them"); other European
languages have 3.5 bytes or more, and where a character is 3 bytes it is about a token. Code and digits can need more
tokens than that: whoever has to fit keeps something in reserve for them.

`most` is what no bill exceeds: in a tokenizer that splits bytes (byte-level BPE, Radford et al. 2019) a token is a byte
at least.
"""

from typing import Final

BYTES_A_TOKEN: Final = 3
# What a template puts around each message, its role and a few marks: 3 or 4 tokens at OpenAI (cookbook, "How to count
# tokens with tiktoken"), up to 10 elsewhere.
AROUND_MESSAGE: Final = 16


def about(text: str) -> int:
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def most(text: str) -> int:
    return len(text.encode())


def beginning(text: str, count: int) -> str:
    """As much of a text as is about `count` tokens; nothing of it for none or fewer."""
    return text.encode()[: max(0, count) * BYTES_A_TOKEN].decode(errors="ignore")
