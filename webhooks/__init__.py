"""Webhooks: tenants are told of events at addresses of their own.

`endpoints` are the addresses. `outbox` writes messages down in the transaction of their event, `delivering` sends them,
and `deliveries` has the states of each, tried again by `schedule`. `signing` says what a message holds and signs it.
"""
