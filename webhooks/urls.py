from django.urls import path

from webhooks import api

urlpatterns = [
    path("webhooks", api.WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<uuid:pk>", api.WebhookView.as_view(), name="webhook"),
    path("webhooks/<uuid:pk>/rotate", api.WebhookRotateView.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:pk>/test", api.WebhookTestView.as_view(), name="webhook-test"),
    path("webhooks/<uuid:pk>/deliveries", api.WebhookDeliveriesView.as_view(), name="webhook-deliveries"),
]
