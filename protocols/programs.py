"""The base of the views for programs that were written for another server."""

from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

from accounts.authentication import BearerToken
from apikeys.authentication import APIKeyAuthentication
from ragsite.lib import server_sent


class ProgramView(APIView):
    """Takes a key or an access token, and answers in JSON.

    It ignores a browser's session, so that no page can use the session of its visitor.
    """

    authentication_classes = (APIKeyAuthentication, BearerToken)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = server_sent.AcceptsEvents
