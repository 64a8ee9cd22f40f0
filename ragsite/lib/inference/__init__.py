"""Models: chat, embeddings and reranking, by a vendor's endpoint or on this machine.

What is asked for:
    llm                 chat completions, whole or streamed
    embeddings          texts to vectors, by the local model or an endpoint; `embedding_cache` remembers them for a day
    reranker            how well each of some passages answers a question

How the local model computes: `local_model`, `local_model_graph`.

How an endpoint is called:
    vendor              a call with its retries and fallbacks; `vendor_client` holds the HTTP clients,
                        `vendor_errors` says what a failure means, `vendor_tries` is the record of each request
    circuits            whether an endpoint may be asked now, for all processes by Redis; `circuit_rules` has its words,
                        `circuit_alone` what a process knows without Redis
    embedding_endpoint  embeddings in as few requests as an endpoint takes, as quickly as `embedding_pace` allows
    endpoint_keys       which API key an endpoint gets, by the settings
    model_probe         whether a model answers at all, for operators
"""
