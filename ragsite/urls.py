"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from ragsite import health

handler400 = "ragsite.lib.problems.bad_request"
handler403 = "ragsite.lib.problems.forbidden"
handler404 = "ragsite.lib.problems.not_found"
handler500 = "ragsite.lib.problems.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs"), name="start"),
    path("health", health.alive, name="health"),
    path("ready", health.ready, name="ready"),
    path("status", health.StatusView.as_view(), name="status"),
    path("admin/", admin.site.urls),
    path("api/", include("accounts.urls")),
    path("api/", include("apikeys.urls")),
    path("api/", include("webhooks.urls")),
    path("api/", include("documents.urls")),
    path("api/", include("queries.urls")),
    path("", include("protocols.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
