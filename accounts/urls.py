from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from accounts import api
from accounts.forms import SignIn

# The browsable API finds its links to these by the name of the framework.
session = [
    path(
        "login/",
        LoginView.as_view(template_name="rest_framework/login.html", authentication_form=SignIn),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    path("token", api.TokenView.as_view(), name="token"),
    path("session/", include((session, "rest_framework"))),
    path("token/refresh", api.TokenRefresh.as_view(), name="token-refresh"),
]
