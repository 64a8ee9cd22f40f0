from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from accounts import api
from accounts.forms import SignIn
from accounts.middleware import crossing

# The browsable API finds its links to these by the name of the framework.
session = [
    path(
        "login/",
        crossing(LoginView.as_view(template_name="rest_framework/login.html", authentication_form=SignIn)),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    path("token", crossing(api.TokenView.as_view()), name="token"),
    path("session/", include((session, "rest_framework"))),
    path("token/refresh", crossing(api.TokenRefresh.as_view()), name="token-refresh"),
]
