"""Django's settings: `.env.local`, then the environment over it, read once.

docs/environment.md lists the variables. What is not set is closed: no debugging, and
no host but this machine.
"""

from __future__ import annotations

from pathlib import Path

import environ
from django.utils.functional import lazy

from alpha_site.secret_key import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

environ.Env.read_env(BASE_DIR / ".env.local")
env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# Lazy, so that a command which signs nothing leaves no key behind.
SECRET_KEY = env.str("SECRET_KEY", default="") or lazy(secret_key, str)()

INSTALLED_APPS = ["runs", "inference"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "alpha_site.urls"
ASGI_APPLICATION = "alpha_site.asgi.application"

TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
