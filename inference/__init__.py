"""Django app: what trained models answer."""
