"""Which customers stand on which side of a comparison of two segments, where some may be in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segengine.errors import RunError
from segengine.models.memberships import Memberships

OF, AGAINST = 1, 2

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sides:
    """The sides of a comparison: no profile is on both.

    `of_count`, `against_count`: profiles on each side; `shared_count`: members of both segments, who stand on the side
    `shared` (0: on none); `warning`: what to know of these, empty where there are none.
    """

    of: str
    against: str
    of_count: int
    against_count: int
    shared_count: int = 0
    shared: int = 0
    warning: str = ""

    def assign(self, of: Mask, against: Mask) -> npt.NDArray[np.int8]:
        """Return the side of each profile, shape (n,): `OF`, `AGAINST`, or 0 for neither.

        Args:
            of: Whether it is a member of the one segment, shape (n,).
            against: Whether it is a member of the other, or one of everyone else.
        """
        found = np.where(of, OF, np.where(against, AGAINST, 0)).astype(np.int8)
        found[of & against] = self.shared
        return found


@dataclass(frozen=True)
class SideGroups:
    """Numbers profiles by their side, for counting fields by cells (`segengine.models.cells.CellCounter`).

    `memberships`: of the segment that is described and of the other one; of the first alone where the other side is
    everyone else.
    """

    memberships: Memberships
    sides: Sides
    group_count: int = 2

    def assign(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        """Return the side of each profile, shape (n,)."""
        codes = self.memberships.look_up(keys)
        of = (codes & OF) != 0
        return self.sides.assign(of, (codes & AGAINST) != 0 if len(self.memberships.bits) > 1 else ~of)


def plan_sides(of: str, against: str, of_count: int, against_count: int, shared_count: int) -> Sides:
    """Return the sides of a comparison of two segments.

    Members of both are left out. Where one segment lies within the other, it is compared with the rest of that.

    Args:
        of: The name of the segment that is described.
        against: The name of the other; "everyone else" where it is that.
        of_count: Its members.
        against_count: The other's members.
        shared_count: Members of both.

    Raises:
        RunError: A segment is empty, or both have the same members.
    """
    for name, count in ((of, of_count), (against, against_count)):
        if not count:
            raise RunError(f'"{name}" has no members, so there is nothing to compare.', "Refresh it, or take another.")
    only_of, only_against = of_count - shared_count, against_count - shared_count
    if not shared_count:
        return Sides(of, against, of_count, against_count)
    if not only_of and not only_against:
        raise RunError(
            f'"{of}" and "{against}" have the same members.', "Compare with everyone else, or another segment."
        )
    if not only_of:
        warning = f'All members of "{of}" are in "{against}" too: they are compared with the rest of "{against}".'
        return Sides(of, against, of_count, only_against, shared_count, OF, warning)
    if not only_against:
        warning = f'All members of "{against}" are in "{of}" too: the rest of "{of}" is compared with them.'
        return Sides(of, against, only_of, against_count, shared_count, AGAINST, warning)
    warning = f'{shared_count:,} are in both "{of}" and "{against}": they are left out, only the others are compared.'
    return Sides(of, against, only_of, only_against, shared_count, 0, warning)
