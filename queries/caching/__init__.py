"""The answer cache, and making an answer once for all who ask the same at the same time."""
