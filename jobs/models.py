"""Refresh what models find under spark-submit: `spark-submit --py-files segengine.zip models.py --conf FOLDER`.

Segments of similar customers, suggestions and insights, of the members and values that were last published; with
`--with-parents` these are refreshed in the same run.
"""

import sys

from segengine.cli.main import entrypoint

MODELS = ("--kind", "expansion", "--kind", "suggestion", "--kind", "insight")

if __name__ == "__main__":
    entrypoint(["refresh", *MODELS, "--engine", "spark", *sys.argv[1:]])
