"""`python -m segengine`."""

from segengine.cli.main import entrypoint

entrypoint()
