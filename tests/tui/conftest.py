"""The screen's tests do not depend on the terminal they run in: Textual reads these when imported."""

import os

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ.pop("NO_COLOR", None)
