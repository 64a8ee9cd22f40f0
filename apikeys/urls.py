from django.urls import path

from apikeys import api

urlpatterns = [
    path("keys", api.KeysView.as_view(), name="keys"),
    path("keys/self", api.SelfView.as_view(), name="key-self"),
    path("keys/<uuid:pk>", api.KeyView.as_view(), name="key"),
    path("keys/<uuid:pk>/rotate", api.RotateView.as_view(), name="key-rotate"),
    path("keys/<uuid:pk>/revoke", api.RevokeView.as_view(), name="key-revoke"),
    path("keys/<uuid:pk>/usage", api.KeyUsageView.as_view(), name="key-usage"),
    path("usage", api.UsageView.as_view(), name="usage"),
]
