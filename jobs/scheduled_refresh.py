"""Refresh what is due under spark-submit: `spark-submit --py-files segengine.zip scheduled_refresh.py --conf FOLDER`.

Exit codes: 0 done or nothing is due, 1 the run failed, 2 wrong usage, 3 definitions invalid, 4 some of it failed, was
skipped or held back, 5 another run is under way (`--wait MINUTES` waits for it).
"""

import sys

from segengine.cli.main import entrypoint

if __name__ == "__main__":
    entrypoint(["refresh", "--due", "--engine", "spark", *sys.argv[1:]])
