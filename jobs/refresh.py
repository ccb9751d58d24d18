"""Refresh segments under spark-submit: `spark-submit --py-files segengine.zip refresh.py --conf FOLDER [NAME ...]`."""

import sys

from segengine.cli.main import entrypoint

if __name__ == "__main__":
    entrypoint(["refresh", "--engine", "spark", *sys.argv[1:]])
