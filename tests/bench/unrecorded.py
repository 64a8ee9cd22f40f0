"""ragsite without its records of cached answers, for the benchmark that tells what they cost.

`gunicorn … tests.bench.unrecorded`: the site as it is, but for the one command of `admit.lua` that appends a record. It
is cut out of the script's text here, so that production has no switch for it.
"""

import re

from ragsite.wsgi import application

# isort: split
# Only what stands above sets Django up.
from apikeys import admission
from ragsite.lib.redis_client import Script

__all__ = ["application"]

_APPEND = re.compile(r"redis\.call\('XADD'.*?\)\)\n", re.DOTALL)


def _without_records(script: str) -> str:
    cut, times = _APPEND.subn("", script)
    if times != 1:
        raise RuntimeError("admit.lua records in another way than this benchmark knows.")
    return cut


admission._ADMIT = Script(_without_records(admission._ADMIT.text))
