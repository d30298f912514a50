"""How Django knows the app of runs."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """Training runs and their commands."""

    name = "runs"
