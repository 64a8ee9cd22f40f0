"""Takes API keys out of what is said about a request: a client may have put one anywhere."""

import re

# With backslashes, as a pattern of SQL's LIKE has it.
_KEY = re.compile(r"rag\\*_[0-9a-f]{32}", re.IGNORECASE)


def redacted(text: str) -> str:
    return _KEY.sub("rag_[redacted]", text)
