"""The passes of a plan over tables: which scan answers what."""

from __future__ import annotations

from collections.abc import Iterable

from segengine.plan.scans import Asked, Groups, Output, Scan, ScanBuilder, Value
from segengine.project.attributes import Path

PROFILES = 0  # the profile scan is always the first


class Passes:
    """One scan a path, more where their state would not fit; filled as they are asked."""

    def __init__(self, audience: str, profile_table: str, paths: Iterable[Path]) -> None:
        """Begin with the scan of the profiles.

        Args:
            audience: Whose profiles.
            profile_table: Their table.
            paths: Every path that rules or measures of the profiles are on.
        """
        self._audience, self.profile_table = audience, profile_table
        self._builders = [ScanBuilder(audience, profile_table, None)]
        self._of_path: dict[Path | None, list[int]] = {None: [PROFILES]}
        self._asked_by: dict[str, dict[tuple[int, Asked], None]] = {}
        self.subject = ""  # the id of what is being planned
        self._shared = {path.over: path for path in paths if path.hops and not path.multiplies}

    def scans(self) -> tuple[Scan, ...]:
        """Return the finished scans."""
        return tuple(builder.build() for builder in self._builders)

    def output(self, path: Path | None, output: Output) -> tuple[int, int]:
        """Return the scan and the number of an output there."""
        number = self._pass(path, output)
        return number, self._builders[number].output(output)

    def value(self, path: Path | None, value: Value) -> tuple[int, int]:
        """Return the scan and the number of a value there."""
        number = self._pass(path, value)
        return number, self._builders[number].value(value)

    def groups(self, path: Path | None, groups: Groups) -> tuple[int, int]:
        """Return the scan and the number of groups there."""
        number = self._pass(path, groups)
        return number, self._builders[number].groups(groups)

    def path_of_rows(self, table: str) -> Path:
        """Return the path on which the rows of a table are read anyway, else one that leads nowhere."""
        return self._shared.get(table, Path(table, ()))

    def answers(self) -> dict[str, frozenset[tuple[int, int]]]:
        """Return, by id, what was asked for a definition: (scan, place among all that is asked of it)."""
        places = [{asked: place for place, asked in enumerate(scan.asked)} for scan in self.scans()]
        return {
            identity: frozenset((scan, places[scan][asked]) for scan, asked in found)
            for identity, found in self._asked_by.items()
        }

    def _pass(self, path: Path | None, asked: Asked) -> int:
        number = self._find_pass(path, asked)
        self._asked_by.setdefault(self.subject, {})[number, asked] = None
        return number

    def _find_pass(self, path: Path | None, asked: Asked) -> int:
        """Return the first pass over the path that has room."""
        passes = self._of_path.setdefault(path, [])
        number = next((number for number in passes if self._builders[number].has_room(asked)), None)
        if number is None:
            number = len(self._builders)
            table = path.over if path else self.profile_table
            self._builders.append(ScanBuilder(self._audience, table, path, not passes))
            passes.append(number)
        return number
