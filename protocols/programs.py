"""What the addresses for programs share."""

from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

from accounts.authentication import BearerToken
from apikeys.authentication import APIKeyAuthentication
from ragsite.lib import server_sent


class ProgramView(APIView):
    """For clients that were written for another server: a key or an access token, and JSON.

    A browser's session counts for nothing here, so that no page can use the one of whoever looks at it.
    """

    authentication_classes = (APIKeyAuthentication, BearerToken)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = server_sent.AcceptsEvents
