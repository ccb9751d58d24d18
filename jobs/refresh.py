"""Refresh segments under spark-submit: `spark-submit --py-files segengine.zip refresh.py --conf FOLDER [NAME ...]`."""

import sys

from segengine.cli.main import main

if __name__ == "__main__":
    code = main(["refresh", "--engine", "spark", *sys.argv[1:]])
    if code:
        sys.exit(code)
