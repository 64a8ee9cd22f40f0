"""What all apps share; no module here imports an app.

Packages:  `inference` calls models, `concurrency` has threads and processes wait, `postgres` is the database backend.
HTTP:      `middleware` gives requests their ids; `api`, `fields` and `server_sent` are what endpoints share; `errors`
           become answers by `problems`, in the `error_forms` of each protocol; `addresses`: where requests come from.
Redis:     `redis_client` behind a `breaker`; `announcements` that Redis must hear, `hints` that it may lose;
           `ratelimit` stands in for it.
Safety:    `row_security`, `crypto`, `redaction`, `audit`, `unseen` characters; `outbound` calls to `public_addresses`.
Admin:     `admins`.
Values:    `identifiers`, `money`, `months`, `tokens`, `compact` JSON, and settings from the `environment`.
"""

import os

# ONNX Runtime reports its use to its maker unless this is set before it is imported, and `lib` is what imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
