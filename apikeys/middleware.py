"""Around every request: the record of its use, and the headers that tell a key its limit."""

import math
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apikeys import callers, usage
from apikeys.admission import Admission
from apikeys.authentication import admission_of
from ragsite.lib import postgres, problems
from ragsite.lib.middleware import status_of


class RecordUsage:
    """One record for each authenticated request, refused ones too, before the answer goes out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        admitted = admission_of(request)
        if admitted is not None:
            for name, value in limit_headers(admitted).items():
                response[name] = value
        caller = callers.attached(request)
        if caller is None or usage.is_recorded(request):
            return response
        try:
            usage.record_request(request, caller, status=status_of(request, response.status_code))
        except postgres.DOWN as error:
            return problems.unrecorded(request, error)
        return response


def limit_headers(admission: Admission) -> dict[str, str]:
    """The IETF draft's two fields (draft-ietf-httpapi-ratelimit-headers), and the three that are older."""
    left = math.floor(admission.tokens_left)
    full = math.ceil(admission.full_after)
    wait = math.ceil(admission.retry_after) if left == 0 else full
    window = math.ceil(admission.burst * 60 / admission.rate_limit)
    return {
        "RateLimit-Policy": f'"key";q={admission.burst};w={window}',
        "RateLimit": f'"key";r={left};t={wait}',
        "X-RateLimit-Limit": str(admission.rate_limit),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(full),
    }
