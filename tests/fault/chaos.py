"""Kill refreshes at random moments, and let several race of which some are killed and some sleep.

    python tests/fault/chaos.py --kills 50 --racers 5 --rounds 10 --seed 1

All work on one small project, by the command line, on the embedded engine. After each round everything that must hold
in the warehouse is verified, what is published is the old state or the new one, and no process says anything but that
it is done, that it was killed, or that another one has the lease. Prints a line a round. The seed decides the data and
who is killed or paused when; a busy machine decides what that hits.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checker and the workspace, also where this is run by itself

from store_checker import find_violations
from workspace import Workspace, read_published

from segengine.engine.session import open_session

PROJECT = """
project: chaos
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: segment, name: Everybody, where: everyone}
---
{kind: segment, name: Buyers, rules: [{over: purchases}]}
---
{kind: segment, name: Others, where: {not: {in_segment: Buyers}}}
---
{kind: measure, name: Spend, per: customer, over: purchases, value: {sum: amount}}
---
{kind: measure, name: By channel, per: [customer, channel], over: purchases, value: {sum: amount}}
"""
# The command line with a lease that others can take over within seconds.
CHILD = """
import sys
from datetime import timedelta
from segengine.cli.main import entrypoint
from segengine.store import control

control.LEASE_TIME, control.HEARTBEAT_TIME = timedelta(seconds=2), timedelta(seconds=0.3)
sys.argv.insert(1, "refresh")
entrypoint()
"""
PEOPLE = 60
IMPORTS_SHARE = 0.35  # of a refresh's time: nothing is written before
DONE, FAILED, HELD = 0, 1, 5
LOST = re.compile("lost its lease while it ran")

Members = dict[str, list[str]]
Say = Callable[[str], None]


class Violated(AssertionError):
    """Something that must hold does not."""


@dataclass
class Chaos:
    """One project under attack.

    `members`: of the published state as it should be; `phases`: what a quiet refresh says, and how long until the next.
    """

    folder: Path
    random: random.Random
    say: Say
    members: Members = field(default_factory=dict)
    phases: list[tuple[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long a quiet refresh takes."""
        return sum(seconds for _, seconds in self.phases)

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse"

    def set_up(self) -> None:
        """Make the project, and refresh it once in peace."""
        with open_session("embedded") as session:
            workspace = Workspace(self.folder, session)
            workspace.write_project(PROJECT)
            self.change_sources()
            workspace.define(DEFINITIONS)
            workspace.pull()
            workspace.apply()
        self.refresh_in_peace()

    def change_sources(self) -> Members:
        """Write other customers and purchases, and return the members that they make."""
        people = [f"p{number}" for number in range(PEOPLE)]
        customers = sorted(self.random.sample(people, self.random.randint(5, PEOPLE)))
        buyers = sorted(self.random.sample(people, self.random.randint(1, PEOPLE)))
        purchases = {
            "purchase_id": list(range(len(buyers))),
            "customer_id": buyers,
            "channel": [self.random.choice(["web", "store"]) for _ in buyers],
            "amount": [self.random.randint(1, 500) for _ in buyers],
        }
        tables = Workspace(self.folder, None)  # type: ignore[arg-type] # writing sources needs no engine
        tables.write_table("customers", {"customer_id": customers})
        tables.write_table("purchases", purchases)
        bought = [each for each in customers if each in buyers]
        return {"everybody": customers, "buyers": bought, "others": [each for each in customers if each not in buyers]}

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, "--output-tables", "--member-rows", *options],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "SPARK_CONNECT_MODE_ENABLED"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def refresh_in_peace(self) -> None:
        """Refresh with nobody about; what is published then is the state of the sources."""
        self.members = self.change_sources()
        last, phase, said = time.monotonic(), "", ""
        phases: list[tuple[str, float]] = []
        child = self.start()
        assert child.stderr is not None
        for line in child.stderr:
            phases.append((phase, time.monotonic() - last))
            last, phase, said = time.monotonic(), name_phase(line), said + line
        self.phases = [*phases, (phase, time.monotonic() - last)]
        require(child.wait(60) == DONE, f"a quiet refresh ended with {child.returncode}:\n{said}")
        self.verify([self.members])

    def verify(self, allowed: Sequence[Members]) -> Members:
        """Check the store, and return which of the allowed states is published."""
        violations = find_violations(self.warehouse)
        require(not violations, "\n".join(violations))
        found = read_published(self.warehouse).members()
        require(found in allowed, f"neither the old nor the new state is published: {found}")
        return found

    def run_count(self) -> int:
        return len(read_published(self.warehouse).runs)

    def kill_once(self) -> str:
        """Kill a refresh of new data in a phase drawn; return which that was, or '' where it was faster."""
        old, new = self.members, self.change_sources()
        wanted, seconds = self.random.choice(self.phases[1:])
        child = self.start()
        assert child.stderr is not None
        said = ""
        for line in child.stderr:
            said += line
            if name_phase(line) == wanted:
                time.sleep(self.random.uniform(0, seconds))
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                break
        said += child.communicate(timeout=300)[1]
        killed = child.returncode == -signal.SIGKILL
        self.members = self.verify([old, new] if killed else [new])
        require(killed or child.returncode == DONE, f"it ended with {child.returncode}:\n{said}")
        state = "old" if self.members == old else "new"
        return f'while "{wanted}": the {state} state' if killed else ""

    def race_once(self, racer_count: int) -> str:
        """Let several refresh the same new data; return how they ended."""
        old, new = self.members, self.change_sources()
        before = self.run_count()
        racers = [self.start("--wait", "1") if self.random.random() < 0.3 else self.start() for _ in range(racer_count)]
        attacks = self.plan_attacks(racers)
        started = time.monotonic()
        for at, racer, what in attacks:
            time.sleep(max(0.0, at - (time.monotonic() - started)))
            if racer.poll() is None:
                os.killpg(racer.pid, what)
        ends: Counter[str] = Counter()
        for racer in racers:
            _, said = racer.communicate(timeout=300)
            ends[how_it_ended(racer.returncode, said)] += 1
        self.members = self.verify([old, new])
        published = self.run_count() - before
        require(published >= ends["done"], f"{ends['done']} said they were done, {published} runs are published")
        require(self.members == new or not ends["done"], "one said it was done, but the old state is published")
        state = "old" if self.members == old else "new"
        told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        return f"{told}; {published} published: the {state} state"

    def plan_attacks(self, racers: Sequence[subprocess.Popen[str]]) -> list[tuple[float, subprocess.Popen[str], int]]:
        """Return who gets which signal when, in order: a third killed, a third paused for a while."""
        attacks: list[tuple[float, subprocess.Popen[str], int]] = []
        for racer in racers:
            at = self.random.uniform(IMPORTS_SHARE, 2.5) * self.seconds
            draw = self.random.random()
            if draw < 1 / 3:
                attacks.append((at, racer, signal.SIGKILL))
            elif draw < 2 / 3:
                attacks.append((at, racer, signal.SIGSTOP))
                attacks.append((at + self.random.uniform(0.5, 8), racer, signal.SIGCONT))
        return sorted(attacks, key=lambda attack: attack[0])


def name_phase(line: str) -> str:
    """Return what a line of progress begins with, without its time and numbers."""
    return " ".join(word for word in line.partition("]")[2].split() if word.isalpha())[:40]


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violated(what)


def how_it_ended(code: int, said: str) -> str:
    """Return the end of a racer in a word.

    Raises:
        Violated: It is none of those that may be.
    """
    if code == FAILED and LOST.search(said):
        return "lost the lease"
    ends = {DONE: "done", HELD: "held off", -signal.SIGKILL: "killed"}
    require(code in ends and "Traceback" not in said, f"a racer ended with {code}:\n{said}")
    return ends[code]


def attack(seed: int, kills: int, rounds: int, racers: int, say: Say) -> None:
    """Kill and race on a new project.

    Raises:
        Violated: Something that must hold does not; the folder is kept.
    """
    folder = Path(tempfile.mkdtemp(prefix="segengine-chaos-"))
    chaos = Chaos(folder, random.Random(seed), say)
    say(f"seed {seed}, in {folder}")
    chaos.set_up()
    say(f"a quiet refresh takes {chaos.seconds:.2f} s")
    done = 0
    while done < kills:
        outcome = chaos.kill_once()
        done += bool(outcome)
        say(f"kill {done} {outcome}" if outcome else "it was done before it was killed; once more")
        if outcome and done % 10 == 0:
            chaos.refresh_in_peace()
    for number in range(1, rounds + 1):
        say(f"race {number}: {chaos.race_once(racers)}")
        chaos.refresh_in_peace()
    chaos.refresh_in_peace()
    say(f"{kills} kills and {rounds} races of {racers}: the store holds, {chaos.run_count()} runs are published")
    shutil.rmtree(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="refreshes to kill")
    parser.add_argument("--racers", type=int, default=5, help="refreshes at once in a race")
    parser.add_argument("--rounds", type=int, default=10, help="races")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        attack(options.seed, options.kills, options.rounds, options.racers, say)
    except Violated as violated:
        say(f"VIOLATED: {violated}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
