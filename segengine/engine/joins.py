"""The rows of a scan: a table, the path to the profile and all look-ups, joined once for all rules.

Look-ups and path hops are left joins to tables with unique keys, so rows neither multiply nor vanish; only a hop from
one to many, which a rule names, makes a row several. A row whose path breaks has no profile key, and the kernel counts
it. Equal prefixes of paths and look-ups are one join.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segengine.engine.sources import Sources, column, instant
from segengine.kernel.scan import KEY
from segengine.plan.scans import BUCKET_SIZE, Scan
from segengine.project.attributes import Attribute, Hop
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.types import EPOCH_DAY, Ordinal

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

BUCKET = "bucket"
_ROW_PROFILE_ID = "row_profile_id"
_SHIFT = BUCKET_SIZE.bit_length() - 1


@dataclass
class _Joined:
    """One table in the tree of joins, and the names its columns get in the joined rows."""

    table: Table
    hop: Hop | None
    place: int
    names: dict[str, str] = field(default_factory=dict)  # stored name -> name in the joined rows

    def name_of(self, stored: str) -> str:
        return self.names.setdefault(stored, f"t{self.place}_{len(self.names)}")


class ScanRows:
    """Builds the rows of one scan."""

    def __init__(self, scan: Scan, settings: Settings, schema: Schema) -> None:
        self._scan = scan
        self._settings = settings
        self._schema = schema
        base = settings.tables[scan.table]
        self._tree: dict[tuple[Hop, ...], _Joined] = {(): _Joined(base, None, 0)}
        self._columns = [self._attribute_column(attribute) for attribute in scan.columns]
        self._profile_id = self._profile_id_column() if scan.path is None or scan.path.hops else None

    def _attribute_column(self, attribute: Attribute) -> str:
        node = self._node(attribute.hops)
        return node.name_of(node.table.stored_name(attribute.column))

    def _profile_id_column(self) -> str:
        hops = self._scan.path.hops if self._scan.path else ()
        if hops and not hops[-1].reverse:  # the foreign key is the id: the profile's table need not be joined
            node = self._node(hops[:-1])
            return node.name_of(node.table.stored_name(hops[-1].relationship.from_columns[0]))
        node = self._node(hops)
        return node.name_of(node.table.stored_name(node.table.key[0]))

    def _node(self, hops: tuple[Hop, ...]) -> _Joined:
        """Return the joined table at the end of hops, adding the tables on the way and their keys."""
        prefix: tuple[Hop, ...] = ()
        node = self._tree[()]
        for hop in hops:
            prefix = (*prefix, hop)
            if prefix not in self._tree:
                self._tree[prefix] = _Joined(self._settings.tables[hop.target], hop, len(self._tree))
            for left, right in zip(*_link_columns(hop, self._settings), strict=True):
                node.name_of(node.table.stored_name(left))
                self._tree[prefix].name_of(self._tree[prefix].table.stored_name(right))
            node = self._tree[prefix]
        return node

    def used_columns(self) -> Iterator[tuple[str, str]]:
        """Yield (table, stored column) of everything the scan reads."""
        for node in self._tree.values():
            for name in node.names:
                yield node.table.name, name

    def unique_keys(self) -> set[tuple[str, tuple[str, ...]]]:
        """Return (table, stored key columns) that must be unique for the joins to be right: those on the "one" side."""
        keys = set()
        for prefix, node in self._tree.items():
            if node.hop is None:
                continue
            left, right = _link_columns(node.hop, self._settings)
            one, columns = (self._tree[prefix[:-1]], left) if node.hop.multiplies else (node, right)
            keys.add((one.table.name, tuple(one.table.stored_name(name) for name in columns)))
        return keys

    def frame(self, sources: Sources, keys: DataFrame) -> DataFrame:
        """Return the rows: `profile_key` (NULL: no profile), `bucket`, and one column per attribute.

        Rows of a path that leads nowhere have no bucket.

        Args:
            sources: Where tables are read.
            keys: `profile_id` (text), `profile_key` of the profiles that count.
        """
        from pyspark.sql import functions as F

        rows = self._joined_rows(sources)
        if self._profile_id is None:
            return rows.withColumn(KEY, F.lit(None).cast("bigint"))
        how = "left" if self._scan.path else "inner"
        joined = rows.join(keys, rows[_ROW_PROFILE_ID] == keys["profile_id"], how)
        names = [f"c{place}" for place in range(len(self._columns))]
        return joined.select(KEY, bucket_of(KEY).alias(BUCKET), *names)

    def values(self, sources: Sources) -> DataFrame:
        """Return the rows without keys, whether they reach a profile or not: one column per attribute."""
        return self._joined_rows(sources).drop(_ROW_PROFILE_ID)

    def _joined_rows(self, sources: Sources) -> DataFrame:
        """Return the id of each row's profile where its path leads to one, and one column per attribute."""
        from pyspark.sql import functions as F

        rows = self._read(sources, self._tree[()], self._limits())
        for prefix, node in self._tree.items():
            if node.hop is not None:
                rows = self._join(rows, sources, self._tree[prefix[:-1]], node)
        attributes = [F.col(name).alias(f"c{place}") for place, name in enumerate(self._columns)]
        ids = [F.col(self._profile_id).cast("string").alias(_ROW_PROFILE_ID)] if self._profile_id else []
        return rows.select(*ids, *attributes)

    def rows_of(self, sources: Sources, profiles: DataFrame) -> DataFrame:
        """Return the rows of some profiles alone: `profile_key` and one column per attribute.

        The way to the profile is joined first, look-ups to what is left: they cost by these profiles' rows.

        Args:
            sources: Where tables are read.
            profiles: `profile_id` (text), `profile_key`.
        """
        from pyspark.sql import functions as F

        way = self._scan.path.hops if self._scan.path else ()
        look_ups = [prefix for prefix in self._tree if prefix != way[: len(prefix)]]
        rows = self._read(sources, self._tree[()], [])
        for prefix in self._tree:
            if prefix not in look_ups:
                rows = self._join(rows, sources, self._tree[prefix[:-1]], self._tree[prefix])
        # Few against many, so they stand left: the embedded engine keeps that side in memory.
        rows = profiles.join(rows, F.col(self._profile_id or "").cast("string") == profiles["profile_id"])
        for prefix in look_ups:
            rows = self._join(rows, sources, self._tree[prefix[:-1]], self._tree[prefix])
        return rows.select(KEY, *[F.col(name).alias(f"c{place}") for place, name in enumerate(self._columns)])

    def _read(self, sources: Sources, node: _Joined, limits: list[Column]) -> DataFrame:
        rows = sources.read(node.table.name)
        for limit in limits:
            rows = rows.where(limit)
        return rows.select(*[column(stored).alias(name) for stored, name in node.names.items()])

    def _join(self, rows: DataFrame, sources: Sources, left: _Joined, right: _Joined) -> DataFrame:
        from pyspark.sql import functions as F

        if right.hop is None:
            return rows
        condition: Column | None = None
        present: list[Column] = []
        for left_name, right_name in zip(*_link_columns(right.hop, self._settings), strict=True):
            left_column = F.col(left.name_of(left.table.stored_name(left_name)))
            right_column = F.col(right.name_of(right.table.stored_name(right_name)))
            if self._type(left.table, left_name) != self._type(right.table, right_name):
                left_column, right_column = left_column.cast("string"), right_column.cast("string")
            present.append(right_column.isNotNull() & (right_column.cast("string") != ""))
            equal = left_column == right_column
            condition = equal if condition is None else condition & equal
        found = self._read(sources, right, [])
        for there in present:
            found = found.where(there)
        return rows.join(found, condition, "left")

    def _type(self, table: Table, name: str) -> str:
        stored = self._schema.stored.get(table.name, {}).get(table.stored_name(name))
        return stored or str(self._schema.columns[table.name].get(name))

    def _limits(self) -> list[Column]:
        """Return filters that drop rows no rule looks at, so that engines can skip files."""
        from pyspark.sql import functions as F

        base = self._tree[()].table
        filters: list[Column] = []
        for attribute, hull in self._scan.limits:
            name = base.stored_name(attribute.column)
            stored = self._schema.stored.get(base.name, {}).get(name, "")
            if base.format != "delta" or stored not in ("date", "timestamp", "timestamp_ntz"):
                continue
            ((low, high),) = hull.spans
            for bound, is_low in ((low, True), (high, False)):
                literal = _time_literal(bound, stored)
                if literal is not None:
                    filters.append(column(name) >= F.lit(literal) if is_low else column(name) < F.lit(literal))
        return filters


def bucket_of(key: str) -> Column:
    """Return the bucket of a column of profile keys; NULL where the key is."""
    from pyspark.sql import functions as F

    return (F.shiftright(F.col(key) - 1, _SHIFT) + 1).cast("int")


def bucket_numbers(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return the buckets of profile keys."""
    numbers: npt.NDArray[np.int64] = keys.to_numpy(zero_copy_only=False)
    return ((numbers - 1) >> _SHIFT) + 1


def _time_literal(bound: Ordinal | None, stored: str) -> object | None:
    """Return a bound as a value the engine compares with, or None where there is none it could hold."""
    if bound is None:
        return None
    try:
        if stored == "date":
            day: date = EPOCH_DAY + timedelta(days=int(bound))
            return day
        moment = instant(int(bound))
    except OverflowError:
        return None
    return moment if stored == "timestamp" else moment.replace(tzinfo=None)


def columns_by_table(scans: Iterable[ScanRows]) -> dict[str, set[str]]:
    """Return the stored columns that scans read, by table."""
    used: dict[str, set[str]] = {}
    for rows in scans:
        for table, name in rows.used_columns():
            used.setdefault(table, set()).add(name)
    return used


def _link_columns(hop: Hop, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the column names a hop joins: of the table it starts at, of the table it arrives at."""
    one = settings.tables[hop.relationship.to_table].key
    many = hop.relationship.from_columns
    return (one, many) if hop.reverse else (many, one)
