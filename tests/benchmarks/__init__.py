"""segengine against other ways to get the same answers, on generated data."""
