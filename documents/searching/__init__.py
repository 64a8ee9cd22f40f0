"""Hybrid search: from a question and a scope to ranked chunks.

`search` is the way in. `scope`, with `filters` and `dates`, says what may be found, and `survey` how much that is;
`retrieval` finds candidates by vectors and by BM25 (`lexical`), `fusion` ranks them; then `duplicates` moves copies
back, and `reranking` may order the best anew. A result is one of `hits`.
"""
