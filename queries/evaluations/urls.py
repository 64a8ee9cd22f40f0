from django.urls import path

from queries.evaluations import api

urlpatterns = [
    path("sets", api.SetsView.as_view(), name="evaluation-sets"),
    path("sets/from-past", api.PastSetView.as_view(), name="evaluation-sets-from-past"),
    path("sets/<uuid:pk>", api.SetView.as_view(), name="evaluation-set"),
    path("sets/<uuid:pk>/questions", api.SetQuestionsView.as_view(), name="evaluation-set-questions"),
    path("runs", api.RunsView.as_view(), name="evaluation-runs"),
    path("runs/<uuid:pk>", api.RunView.as_view(), name="evaluation-run"),
    path("runs/<uuid:pk>/cancel", api.RunCancelView.as_view(), name="evaluation-run-cancel"),
    path("runs/<uuid:pk>/results", api.ResultsView.as_view(), name="evaluation-run-results"),
    path("runs/<uuid:pk>/comparison", api.ComparisonView.as_view(), name="evaluation-run-comparison"),
]
