#!/usr/bin/env python3
"""Django's command line from a checkout; the same as the console script `alpha`."""

from __future__ import annotations

from alpha_site.console import main

if __name__ == "__main__":
    main()
