"""Threads and processes that share a machine: how they wait, who may go on, and for how long.

In a process:
    per_process    things made once in each process, and never shared across a fork
    event_loops    asyncio's loops, each in a thread of its own
    computing      a few threads compute at a time; the others stand in line
    waiting        how a thread waits for a model: without a connection to Postgres and without a slot
    rooms          how many requests may wait for models at once
    thread_limits  the counting behind `rooms`, and behind streams of a document's events
    presence       whether the client that a thread answers is still connected
    deadlines      until when one question may ask models

Between processes, by Redis:
    leases         one holder at a time, extended by a thread for as long as its process lives
    solo           one process at a time, for work that two would merely do twice
"""
