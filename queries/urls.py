from django.urls import path

from queries import api, chat

urlpatterns = [
    path("query", api.QueryView.as_view(), name="query"),
    path("search", api.SearchView.as_view(), name="search"),
    path("history", api.HistoryView.as_view(), name="history"),
    path("history/<uuid:pk>", api.HistoryEntryView.as_view(), name="history-entry"),
    path("history/<uuid:pk>/feedback", api.FeedbackView.as_view(), name="history-feedback"),
    path("chat", chat.ChatView.as_view(), name="chat"),
    path("chat/history", chat.ConversationsView.as_view(), name="conversations"),
    path("chat/history/<uuid:pk>", chat.ConversationView.as_view(), name="conversation"),
    path("cache", api.CacheView.as_view(), name="cache"),
]
