"""How hard property tests try: quick by default, long with FRAMEGATE_LONG=1."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=40)
settings.register_profile("long", max_examples=1000)
settings.load_profile("long" if os.environ.get("FRAMEGATE_LONG") else "quick")
