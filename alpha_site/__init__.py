"""The Django project: settings, addresses, and the `alpha` console script."""
