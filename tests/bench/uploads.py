"""Uploads of a ten-page PDF to a running site, from the first byte sent until the document can be searched."""

import time
from random import Random

import httpx2

from tests import site
from tests.bench import corpus, servers
from tests.bench.load import spending
from tests.bench.measure import Sample
from tests.site import Site

PATIENCE_SECONDS = 600.0  # on a machine that others use as well
AGAIN = 10  # one alone would be too short for the processors' clocks


class Uploads:
    """Each first upload is of a file that was never seen; each second one is of the last of these."""

    def __init__(self, up: Site, client: httpx2.Client) -> None:
        self._server, self._client = servers.of_site(up), client
        self._random, self._content = Random(time.time_ns()), b""

    def first(self) -> Sample:
        self._content = corpus.report(self._random).content
        return spending(self._server, lambda: self._until_ready(1))

    def second(self) -> Sample:
        return spending(self._server, lambda: self._until_ready(AGAIN))

    def _until_ready(self, times: int) -> int:
        for _ in range(times):
            sent = {"file": ("report.pdf", self._content, "application/pdf")}
            answer = self._client.post("/api/documents", files=sent).raise_for_status().json()
            if answer["status"] != "ready":
                ended = site.finished(self._client, answer["id"], seconds=PATIENCE_SECONDS)
                assert ended["status"] == "ready"
        return times
