from django.urls import path

from documents import api

urlpatterns = [
    path("documents", api.DocumentsView.as_view(), name="documents"),
    path("documents/<uuid:pk>", api.DocumentView.as_view(), name="document"),
    path("documents/<uuid:pk>/events", api.DocumentEventsView.as_view(), name="document-events"),
    path("documents/<uuid:pk>/text", api.DocumentTextView.as_view(), name="document-text"),
    path("documents/<uuid:pk>/reprocess", api.ReprocessView.as_view(), name="document-reprocess"),
]
