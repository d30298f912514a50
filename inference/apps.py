"""How Django knows the app of inference."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """Trained models at work."""

    name = "inference"
