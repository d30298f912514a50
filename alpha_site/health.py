"""`GET /health`: whether the process answers. Tells nothing else to a stranger."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """`{"status": "ok"}`, as soon as requests reach Django."""
    return JsonResponse({"status": "ok"})
