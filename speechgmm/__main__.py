"""``python -m speechgmm`` is the command ``speechgmm``."""

from speechgmm.cli import app

app()
