"""Django's settings for the peer. The rest is django-post_office's defaults: each try is logged, as ours is."""

import os

SECRET_KEY = "only for a benchmark on loopback"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PEER_DATABASE_HOST"],
        "PORT": "5432",
        "NAME": "post_office",
        "USER": "postgres",
    }
}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ["PEER_SINK_PORT"])
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "BATCH_SIZE": int(os.environ["PEER_BATCH_SIZE"]),
    "THREADS_PER_PROCESS": 5,  # the default; more does not «seem to help SMTP based backends», its documentation says
}
