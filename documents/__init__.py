"""Documents, from an upload to passages that can be searched.

An upload:   `uploads` limits it, `intake` takes it in, told by its content (`sniffing`), and keeps it in `files`, which
             may be in a `bucket`. `versions` says what replaces what.
Processing:  `tasks` wake workers, `states` says who may do what with a document now, and `ingest` processes a batch:
             `reading` parses (`confined`, `formats`) and cuts (`structure`, `chunking`, `sentences`) into `passages`;
             `embedding` has the models of their vectors, and `indexing` stores everything in one transaction.
Upkeep:      `reweighing` keeps BM25's weights near the truth; `embedding.reembedding` changes the model.
Reading:     `searching` finds passages, `texts` gives pieces of documents, `access` says what a caller may see, and
             `streams` follows a document as it is processed.
"""
