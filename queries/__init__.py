"""Questions and their answers.

A question's way:
    middleware     answers from the cache before Django and DRF, for questions that `quick_parse` reads
    api, replies   the bodies and the events of HTTP, in the form that each interface wants
    asking         one way for all interfaces: from the cache, from another request, or made now
    caching        the answer cache, and one call to the model for all who ask the same at once
    answering      from a question to an answer, in the order of its steps
    chats          conversations, and what a follow-up means in one
    generating     writes the answer: quotes, or asks a chat model
    checking       makes it harmless, and looks whether the sources support it
    history        the rows that are written of it

Beside it:
    traces         why a question was answered so, and what is different when it is asked again
    evaluations    measures how good the answers are; `trials` are settings that are tried out
    recording      moves records of use from Redis into Postgres
    retention      deletes what was kept long enough; `removal` deletes a whole tenant
"""
