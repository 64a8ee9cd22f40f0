from django.urls import path

from accounts import api

urlpatterns = [
    path("token", api.TokenView.as_view(), name="token"),
    path("token/refresh", api.TokenRefresh.as_view(), name="token-refresh"),
]
