"""Uploads of a ten-page PDF to a running site, from the first byte sent until the document can be searched."""

import time
from random import Random

import httpx2

from tests import site
from tests.bench import servers
from tests.bench.load import spending
from tests.bench.measure import Sample
from tests.documents import pdfs
from tests.site import Site

PAGES, LINES, WORDS = 10, 45, 14  # 40 chunks or so
AGAIN = 10  # one alone would be too short for the processors' clocks
_VOCABULARY = [
    f"{a}{b}" for a in ("ket", "ves", "tor", "bar", "lum") for b in ("tle", "sel", "ley", "rent", "in")
]


class Uploads:
    """Each first upload is of a file that was never seen; each second one is of the last of these."""

    def __init__(self, up: Site, client: httpx2.Client) -> None:
        self._server, self._client = servers.of_site(up), client
        self._random, self._content = Random(time.time_ns()), b""

    def first(self) -> Sample:
        self._content = _pdf(self._random)
        return spending(self._server, lambda: self._until_ready(1))

    def second(self) -> Sample:
        return spending(self._server, lambda: self._until_ready(AGAIN))

    def _until_ready(self, times: int) -> int:
        for _ in range(times):
            sent = {"file": ("report.pdf", self._content, "application/pdf")}
            answer = self._client.post("/api/documents", files=sent).raise_for_status().json()
            if answer["status"] != "ready":
                assert site.finished(self._client, answer["id"])["status"] == "ready"
        return times


def _pdf(random: Random) -> bytes:
    """Its words are put together at random, so that no chunk was ever seen."""

    def line() -> str:
        return " ".join(random.choices(_VOCABULARY, k=WORDS)) + "."

    return pdfs.pdf(*(pdfs.Page(pdfs.flowing(*(line() for _ in range(LINES)))) for _ in range(PAGES)))
