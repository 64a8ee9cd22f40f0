from django.urls import include, path

from queries import api
from queries.chats import api as chats_api
from queries.traces import api as traces_api

urlpatterns = [
    path("query", api.QueryView.as_view(), name="query"),
    path("search", api.SearchView.as_view(), name="search"),
    path("history", api.HistoryView.as_view(), name="history"),
    path("history/<uuid:pk>", api.HistoryEntryView.as_view(), name="history-entry"),
    path("history/<uuid:pk>/feedback", api.FeedbackView.as_view(), name="history-feedback"),
    path("history/<uuid:pk>/trace", traces_api.TraceView.as_view(), name="history-trace"),
    path("history/<uuid:pk>/replay", traces_api.ReplayView.as_view(), name="history-replay"),
    path("chat", chats_api.ChatView.as_view(), name="chat"),
    path("chat/history", chats_api.ConversationsView.as_view(), name="conversations"),
    path("chat/history/<uuid:pk>", chats_api.ConversationView.as_view(), name="conversation"),
    path("evaluations/", include("queries.evaluations.urls")),
    path("cache", api.CacheView.as_view(), name="cache"),
]
