"""Who holds a lease: a process of some machine, and whether it certainly no longer runs."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path


def describe_process() -> str:
    """Return who holds a lease: user, host and process, and what tells whether that process still lives."""
    who = f"{_user()} on {socket.gethostname()}, process {os.getpid()}"
    return "|".join((who, socket.gethostname(), _boot_id(), str(os.getpid()), _start_time(os.getpid())))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _boot_id() -> str:
    """Return what is the same for processes that see each other: this boot and this process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(process: int) -> str:
    """Return when a process started, in clock ticks since the boot, or '' where that cannot be told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def is_gone(owner: str) -> bool:
    """Return whether an owner is certainly dead: a process of this machine that no longer runs."""
    parts = owner.split("|")
    if len(parts) != 5 or not parts[2] or parts[2] != _boot_id() or not parts[4]:
        return False
    return _start_time(int(parts[3])) != parts[4]
