"""A process of its own that calls a model: for each line of settings on its input, a line of what became of the call.

with Caller() as caller:
    caller.ask(model_server, timeout_seconds=2.0)
    assert caller.told() == {"text": "..."}
"""

import json
import os
import subprocess
import sys
from typing import Any, Self

from tests.model_server import ModelServer


class Caller:
    def __enter__(self) -> Self:
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ragsite.settings"}
        # Redis may take its time on a busy machine: without it each process would decide for itself.
        environment["REDIS_TIMEOUT_MS"] = "20000"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.lib.caller"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, server: ModelServer, **settings: Any) -> None:
        """Begins a call, and does not wait for its end."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"base_url": server.url, **settings}) + "\n")
        self.process.stdin.flush()

    def told(self) -> Any:
        """What became of the oldest call that was not told of yet: its text, or its error's code and headers."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def main() -> None:
    import django

    django.setup()
    from unittest.mock import patch

    from ragsite.lib.errors import AppError
    from ragsite.lib.inference import llm, vendor
    from ragsite.lib.inference.circuit_rules import Rules
    from ragsite.lib.inference.llm import ChatEndpoint

    with patch.object(vendor, "BACKOFF", lambda _: 0.01):
        for line in sys.stdin:
            told_so = json.loads(line)
            rules = Rules(**told_so.pop("rules", {}))
            endpoint = ChatEndpoint(api_key="sk", model="first", rules=rules, **told_so)
            try:
                told: Any = {"text": llm.complete([endpoint], [{"role": "user", "content": "?"}]).text}
            except AppError as error:
                told = {"code": error.error_code, "headers": error.headers}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
