"""Django app: what is trained, and its records."""
