"""What this machine offers an engine: cores, memory and Java. Starts nothing but `java -version`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST_JAVA = 17
GIBIBYTE = 1024**3

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_ASSUMED_MEMORY = 8 * GIBIBYTE


@dataclass(frozen=True)
class JavaFound:
    """The Java that Spark would start: its command and version; `major` is 0 where it did not answer."""

    command: str
    version: str
    major: int


def count_cores() -> int:
    """Return the cores this process may use (at least 1); a container's CPU set counts, the host does not."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def measure_memory() -> int:
    """Return the bytes of memory this process may use: all there is, or the container's limit."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        memory = _ASSUMED_MEMORY
    for file in _CGROUP_LIMITS:
        try:
            limit = int(Path(file).read_text())
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
        memory = min(memory, limit)
    return memory


def find_java() -> JavaFound | None:
    """Return the Java that Spark's launcher would take (JAVA_HOME, else PATH), or None."""
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if command is None:
        return None
    try:
        asked = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return JavaFound(command, "unknown", 0)
    # 'openjdk version "17.0.15" 2025-04-15'; before Java 9 the version was "1.8.0_402".
    named = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', asked.stderr + asked.stdout)
    if asked.returncode != 0 or named is None:
        return JavaFound(command, "unknown", 0)
    return JavaFound(command, named[1], int(named[2]))
