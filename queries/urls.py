from django.urls import path

from queries import api

urlpatterns = [
    path("query", api.QueryView.as_view(), name="query"),
    path("search", api.SearchView.as_view(), name="search"),
    path("history", api.HistoryView.as_view(), name="history"),
    path("history/<uuid:pk>", api.HistoryEntryView.as_view(), name="history-entry"),
    path("history/<uuid:pk>/feedback", api.FeedbackView.as_view(), name="history-feedback"),
    path("cache", api.CacheView.as_view(), name="cache"),
]
