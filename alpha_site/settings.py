"""Django's settings, read once."""

SECRET_KEY = "replaced in the next commit"
INSTALLED_APPS = ["runs", "inference"]
