"""Embedding spaces, each with the vectors of one model, and the way from one to the next.

`spaces` says which one serves, and `space_changes` what operators may ask for. `reembedding` builds a new space beside
it, with the vectors of `stored_chunks`, and `retiring` drops what served before. `vector_index` keeps a space's index.
"""
