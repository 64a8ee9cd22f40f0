"""API keys, who may call what, and what calls cost.

Keys:       `keys` makes, rotates and ends them; `copies` are what Redis knows of them.
A request:  `authentication` reads the key from its headers and `admission` lets it in, in one script in Redis;
            `callers` is who makes it, key or person, and `permissions` what that one may do.
Money:      `prices` of models, `spending` as an amount, `budgets` of keys and tenants in a month; `purses` pay for an
            answer's calls, and note them on the request's tab (`tabs`).
Records:    `usage` has one row a request, `tally` counts each key's uses, `summary` adds up for people.
Retries:    `retries` decorates views that take an Idempotency-Key, `idempotency` keeps the answers.
"""
