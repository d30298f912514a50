"""Which address is answered by what. Only `/health` is open to everyone."""

from __future__ import annotations

from django.urls import path

from alpha_site.health import health

urlpatterns = [path("health", health)]
