"""What must hold in a warehouse whatever happened to it, verified from outside: by deltalake, not by our code.

    python tests/store_checker.py WAREHOUSE

A refresh may be killed, paused, robbed of its lease or of its disk: what is published is still whole, what is not
published does not count, and what other tools read is never ahead of it.
"""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from stored import BUCKET_BITS, TRAILS, Keys, Row, Store, bitmap_keys

BACK_FILL = "back-fill"
PRESENT = "@present"
NOBODY: Keys = np.empty(0, np.int64)


def check_store(warehouse: Path, *, thinned: bool = False, forgotten: int = 0) -> None:
    """Raise an AssertionError that lists all violations, if there are any."""
    found = find_violations(warehouse, thinned=thinned, forgotten=forgotten)
    assert not found, "\n".join([f"{warehouse}:", *found])


def find_violations(warehouse: Path, *, thinned: bool = False, forgotten: int = 0) -> list[str]:
    """Return what does not hold, in words; nothing for a good warehouse.

    Args:
        warehouse: Its folder.
        thinned: Whether snapshots that are not current may be gone, but not in part.
        forgotten: How many profiles have been erased: so many keys may belong to nobody.
    """
    return check_all(Store(warehouse), thinned=thinned, forgotten=forgotten)


def check_all(store: Store, *, thinned: bool = False, forgotten: int = 0) -> list[str]:
    """Return what does not hold in a store, as `find_violations` does."""
    found = list(_check_chain(store, "registry_control", "definitions", "change_id", "previous_change_id"))
    found += _check_chain(store, "control", "runs", "run_id", "previous_run_id")
    if found or not store.exists("control"):
        return found
    found += _check_definitions(store)
    found += _check_keys(store, forgotten)
    for trail in TRAILS:
        found += _check_runs(store, trail)
        found += _check_versions(store, trail)
    found += _check_bitmaps(store, thinned, forgotten)
    found += _check_changes(store, thinned)
    found += _check_values(store, thinned)
    found += _check_answers(store, thinned)
    for table in store.derived():
        found += _check_derived(store, table, thinned)
    return found


def _check_chain(store: Store, control: str, table: str, own: str, previous: str) -> Iterator[str]:
    """Verify one row of control, and that the chain from it is whole."""
    if not store.exists(control):
        if store.read(table):
            yield f"{control}: it is gone, but {table} has rows"
        return
    found = store.read(control)
    rows = [row for place, row in enumerate(found) if row not in found[:place]]
    if len(rows) != 1:
        yield f"{control}: {len(rows)} different rows, expected one"
        return
    (row,) = rows
    if not row["owner"] and (row["work_id"] or row["until"] or json.loads(row["ids"] or "[]")):
        yield f"{control}: nobody holds the lease, but it still says of what"
    counts = Counter(each[own] for each in store.read(table)) if table == "runs" else {}
    chain: list[str] = []
    before = {each[own]: each[previous] for each in store.read(table)}
    current = row["published_id"]
    while current:
        if current in chain:
            yield f"{table}: the chain meets {current} again"
            return
        if current not in before:
            yield f"{table}: no row of {current}, which is published"
            return
        if counts.get(current, 1) > 1:
            yield f"{table}: {counts[current]} rows of {current}"
        chain.append(current)
        current = before[current]
    if row["token"] < 2 * len(chain):  # each change that is published took the lease and gave it back
        yield f"{control}: token {row['token']} is too small for {len(chain)} published changes"


def _check_definitions(store: Store) -> Iterator[str]:
    """Verify the registry: versions without gaps, and that runs are about versions that are published."""
    versions: dict[str, int] = {}
    newest: dict[str, Row] = {}
    for row in store.definitions:
        versions[row["id"]] = versions.get(row["id"], 0) + 1
        newest[row["id"]] = row
        if row["version"] != versions[row["id"]]:
            yield f'definitions: "{row["id"]}" has version {row["version"]}, expected {versions[row["id"]]}'
    names = Counter(row["name"].casefold() for row in newest.values() if not row["removed"])
    yield from (f'definitions: {count} are called "{name}"' for name, count in names.items() if count > 1)
    for trail, rows in store.trails.items():
        for row in rows:
            if row["definition_version"] > versions.get(row["id"], 0):
                yield (
                    f'{trail}_runs: {row["run_id"]} is about version {row["definition_version"]} of "{row["id"]}", '
                    "which is not published"
                )


def _check_keys(store: Store, forgotten: int) -> Iterator[str]:
    """Verify that keys are 1, 2, 3..., and that keys and ids are of each other alone."""
    for audience in sorted({*store.given, *store.last_keys}):
        rows = store.given.get(audience, [])
        ids = Counter(row["profile_id"] for row in rows)
        keys = Counter(row["profile_key"] for row in rows)
        last = store.last_keys.get(audience, 0)
        # Ids of people are not printed.
        twice = sum(count > 1 for count in ids.values())
        if twice:
            yield f"profile_keys: {twice} profile(s) of audience {audience} have two keys"
        yield from (f"profile_keys: key {key} of audience {audience} is given twice" for key in keys if keys[key] > 1)
        beyond = [key for key in keys if not 1 <= key <= last]
        if beyond:
            yield f"profile_keys: key {max(beyond)} of audience {audience} is beyond last_profile_key {last}"
        gaps = sorted({*range(1, last + 1)} - keys.keys())
        if len(gaps) > forgotten:
            yield f"profile_keys: key {gaps[0]} of audience {audience} is nobody's; {len(gaps)} are up to {last}"


def _check_runs(store: Store, trail: str) -> Iterator[str]:
    """Verify what each row of a run says against the run's own row."""
    table = f"{trail}_runs"
    rows = store.trails[trail]
    for (run_id, identity), count in Counter((row["run_id"], row["id"]) for row in rows).items():
        if count > 1:
            yield f'{table}: {count} rows of "{identity}" in {run_id}'
    for row in rows:
        run, what = store.runs[row["run_id"]], f'{table}: {row["run_id"]}, "{row["id"]}":'
        if row["purpose"] != run["purpose"]:
            yield f"{what} its purpose is {row['purpose']}, the run's {run['purpose']}"
        if row["as_of"] != run["as_of"] and row["purpose"] in ("refresh", BACK_FILL):
            yield f"{what} as of {row['as_of']}, the run as of {run['as_of']}"
        if row["snapshot_run_id"] and row["snapshot_run_id"] not in store.runs:
            yield f"{what} its snapshot is of {row['snapshot_run_id']}, which is not published"
        good = row["status"] == "Successful"
        if good and run["status"] != "Successful":
            yield f"{what} Successful in a run that ended {run['status']}"
        if good != (row["snapshot_version"] > 0):
            yield f"{what} {row['status']} with snapshot version {row['snapshot_version']}"
        if bool(row["snapshot_run_id"]) != (row["status"] in ("Successful", "Held")):
            yield f'{what} {row["status"]} with the snapshot of "{row["snapshot_run_id"]}"'


def _check_versions(store: Store, trail: str) -> Iterator[str]:
    """Verify that snapshots are numbered 1, 2, 3...; a row may name an earlier one again, where nothing changed."""
    for identity, rows in store.successful[trail].items():
        numbers: dict[str, int] = {}
        newest = 0
        for row in rows:
            if row["snapshot_run_id"] not in numbers or row["purpose"] == "release":
                newest += 1
                numbers[row["snapshot_run_id"]] = newest
            expected = numbers[row["snapshot_run_id"]]
            if row["snapshot_version"] != expected:
                yield (
                    f'{trail}_runs: {row["run_id"]}, "{identity}": snapshot version {row["snapshot_version"]}, '
                    f"expected {expected}"
                )


def _is_thinned(store: Store, trail: str, row: Row) -> bool:
    """Return whether the whole snapshot of a row is gone, and is not the current one."""
    if (trail, row["snapshot_run_id"], row["id"]) in store.contents:
        return False
    current = _preceding(store.successful[trail][row["id"]], None, with_back_fills=False)
    return current is None or current["snapshot_run_id"] != row["snapshot_run_id"]


def _check_bitmaps(store: Store, thinned: bool, forgotten: int) -> Iterator[str]:
    """Verify that each snapshot has all of its bitmaps: with the bits its run counted, of profiles that exist."""
    checked: set[tuple[str, str]] = set()
    known = {audience: np.fromiter(ids, np.int64) for audience, ids in store.ids.items()}
    for row in store.trails["segment"]:
        run_id, segment_id = row["snapshot_run_id"], row["id"]
        if not run_id or (thinned and row["status"] == "Successful" and _is_thinned(store, "segment", row)):
            continue
        what = f'snapshots: {run_id}, "{segment_id}":'
        count = len(store.members(run_id, segment_id))
        if row["member_count"] != count:
            yield f"{what} {count} members in its bitmaps, {row['run_id']} says {row['member_count']}"
        if (run_id, segment_id) in checked:
            continue
        checked.add((run_id, segment_id))
        written = store.contents.get(("segment", run_id, segment_id), [])
        for bucket, times in Counter(each["bucket"] for each in written).items():
            if times > 1:
                yield f"{what} {times} bitmaps of bucket {bucket}"
        for each in written:
            own = len(bitmap_keys(each["content"], each["bucket"])) if each["content"] else 0
            if each["content"] and len(each["content"]) != BUCKET_BITS // 8:
                yield f"{what} a bitmap of {len(each['content'])} bytes in bucket {each['bucket']}"
            if own != each["row_count"]:
                yield f"{what} {own} bits in bucket {each['bucket']}, counted {each['row_count']}"
        strangers = _without(store.members(run_id, segment_id), known.get(store.audiences[segment_id], NOBODY))
        if len(strangers) > forgotten:
            yield f"{what} member with key {strangers[0]}, which is nobody's"


def _without(keys: Keys, others: Keys) -> Keys:
    """Return those of keys that are not among others; `np.setdiff1d` would sort both."""
    return keys[np.isin(keys, others, invert=True)]


def _preceding(rows: Sequence[Row], as_of: Any, *, with_back_fills: bool) -> Row | None:
    """Return the row with the greatest as_of before one (None: of all), among equals the last one."""
    found = (
        row
        for row in reversed(rows)
        if (as_of is None or row["as_of"] < as_of) and (with_back_fills or row["purpose"] != BACK_FILL)
    )
    return max(found, key=lambda row: row["as_of"], default=None)


def _check_changes(store: Store, thinned: bool) -> Iterator[str]:
    """Verify entered and left against the bits: of a snapshot and of the one with the preceding as_of."""
    places, rows_of = store.places, store.successful["segment"]
    held: dict[str, str] = {}
    for row in store.trails["segment"]:
        if row["status"] not in ("Successful", "Held"):
            continue
        compared_in = row["run_id"]
        if row["purpose"] == "release":  # it was compared when it was held back
            compared_in = held.get(row["id"], compared_in)
        elif row["status"] == "Held":
            held[row["id"]] = row["run_id"]
        own = rows_of.get(row["id"], [])
        known = own[: bisect_left(own, places[compared_in], key=lambda each: places[each["run_id"]])]
        if row["snapshot_run_id"] != row["run_id"] and row["purpose"] != "release":
            current = _preceding(known, None, with_back_fills=False)
            if current is None or current["snapshot_run_id"] != row["snapshot_run_id"]:
                yield (
                    f'segment_runs: {row["run_id"]}, "{row["id"]}": it uses the snapshot of '
                    f"{row['snapshot_run_id']}, which was not the current one"
                )
        before = _preceding(known, row["as_of"], with_back_fills=row["purpose"] == BACK_FILL)
        if thinned and any(_is_thinned(store, "segment", each) for each in (row, before) if each):
            continue
        now = store.members(row["snapshot_run_id"], row["id"])
        then = store.members(before["snapshot_run_id"], row["id"]) if before else NOBODY
        expected = (len(_without(now, then)), len(_without(then, now)))
        if (row["entered_count"], row["left_count"]) != expected:
            yield (
                f'segment_runs: {row["run_id"]}, "{row["id"]}": {row["entered_count"]} entered and '
                f"{row['left_count']} left, the bitmaps say {expected[0]} and {expected[1]}"
            )


def _check_values(store: Store, thinned: bool) -> Iterator[str]:
    """Verify that each snapshot of a measure has all of its rows, and as many values as its run counted."""
    for row in store.trails["measure"]:
        if row["status"] != "Successful" or (thinned and _is_thinned(store, "measure", row)):
            continue
        what = f'snapshots: {row["snapshot_run_id"]}, "{row["id"]}":'
        written = store.contents.get(("measure", row["snapshot_run_id"], row["id"]), [])
        for bucket, times in Counter(each["bucket"] for each in written).items():
            if times > 1:
                yield f"{what} {times} parts of bucket {bucket}"
        count, values = 0, Counter(dict.fromkeys(json.loads(row["value_counts"] or "{}"), 0))
        for each in written:
            rows = _unpack(each["content"])
            own = rows.num_rows
            if PRESENT in rows.schema.names:
                rows = rows.filter(rows.column(PRESENT))
                own = rows.num_rows
                values.update({name: own - rows.column(name).null_count for name in rows.schema.names[:-1]})
            if own != each["row_count"]:
                yield f"{what} {own} rows in bucket {each['bucket']}, counted {each['row_count']}"
            count += own
        if count != row["row_count"]:
            yield f"{what} {count} rows, {row['run_id']} says {row['row_count']}"
        if row["value_counts"] and dict(values) != json.loads(row["value_counts"]):
            yield f"{what} its values are not as many as {row['run_id']} says"


def _unpack(content: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(content) as reader:
        rows = reader.read_next_batch()
    columns = [_join_bytes(rows.column(field.name), field) for field in rows.schema]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _join_bytes(column: pa.Array, field: pa.Field) -> pa.Array:
    """Return numbers of which the lowest bytes of all come first, then the next ones, where the field says so."""
    if b"split" not in (field.metadata or {}):
        return column
    type_ = np.dtype(column.type.to_pandas_dtype())
    planes = np.frombuffer(column.buffers()[1], np.uint8, len(column) * type_.itemsize)
    numbers = np.ascontiguousarray(planes.reshape(type_.itemsize, -1).T).view(type_).ravel()
    return pa.array(numbers, column.type, mask=column.is_null().to_numpy(zero_copy_only=False))


def _check_answers(store: Store, thinned: bool) -> Iterator[str]:
    """Verify that each analysis has one answer with each of its snapshots."""
    written = Counter((row["run_id"], row["id"]) for row in store.read("model_results") if json.loads(row["content"]))
    for identity, rows in store.successful["analysis"].items():
        for run_id in dict.fromkeys(row["snapshot_run_id"] for row in rows):
            count = written[run_id, identity]
            if count != 1 and not (thinned and not count and run_id != rows[-1]["snapshot_run_id"]):
                yield f'model_results: {count} answers of {run_id}, "{identity}", expected one'


def _check_derived(store: Store, table: str, thinned: bool) -> Iterator[str]:
    """Verify a table for other tools: it shows something that is published, and all of it."""
    rows = store.read(table)
    name = table.partition("/")[2].lower()
    of_measures = [row for row in store.trails["measure"] if _plain(row["name"]) in (name, name.removeprefix("s"))]
    if rows and {"segment_id", "snapshot_version"} <= rows[0].keys():
        yield from _check_members(store, table, rows, thinned)
    elif rows and (audience := next((each for each in store.given if f"{each}_measure" == name), "")):
        yield from _check_attributes(store, table, rows, audience)
    elif (rows or of_measures) and len(rows) not in [row["row_count"] for row in of_measures]:
        yield f"{table}: {len(rows)} rows, which no published measure has"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _check_members(store: Store, table: str, rows: Sequence[Row], thinned: bool) -> Iterator[str]:
    own = "profile_id" if table == "output/segment_members" else next(iter(rows[0]))
    versions: dict[tuple[str, int], list[str]] = {}
    for row in rows:
        versions.setdefault((row["segment_id"], row["snapshot_version"]), []).append(row[own])
    for segment_id, count in Counter(segment_id for segment_id, _ in versions).items():
        if count > 1:
            yield f'{table}: {count} snapshots of "{segment_id}" at once'
    for (segment_id, version), found in versions.items():
        what = f'{table}: snapshot {version} of "{segment_id}"'
        runs = [run for run in store.successful["segment"].get(segment_id, ()) if run["snapshot_version"] == version]
        if not runs:
            yield f"{what} is not published"
            continue
        if thinned and _is_thinned(store, "segment", runs[0]):
            continue
        ids = store.ids[store.audiences[segment_id]]
        members = [ids[key] for key in store.members(runs[0]["snapshot_run_id"], segment_id).tolist() if key in ids]
        if sorted(found) != sorted(members):
            yield f"{what} has other members than its bitmaps: {len(found)}, not {len(members)}"


def _check_attributes(store: Store, table: str, rows: Sequence[Row], audience: str) -> Iterator[str]:
    """Verify the table with a row for each profile: each column holds the values of a published snapshot."""
    own, *columns = rows[0]
    key_of = {profile_id: key for key, profile_id in store.ids[audience].items()}
    ids = {row[own] for row in rows}
    if len(ids) < len(rows) or not key_of.keys() >= ids:
        yield f"{table}: a profile twice, or one without a key"
        return
    keys = {*key_of.values()}
    written = [(run_id, of) for kind, run_id, of in store.contents if kind == "measure" and run_id in store.places]
    written.sort(key=lambda each: store.places[each[0]], reverse=True)  # most likely it shows the newest
    for column in columns:
        shown = {key_of[row[own]]: row[column] for row in rows if row[column] is not None}
        published = (
            values
            for run_id, measure_id in written
            if (values := _column_values(store, run_id, measure_id, column)) is not None
        )
        if all({key: values[key] for key in keys & values.keys()} != shown for values in published):
            yield f'{table}: column "{column}" has the values of no published snapshot'


def _column_values(store: Store, run_id: str, measure_id: str, column: str) -> Mapping[int, object] | None:
    """Return the values by profile key that a snapshot has of a column of the table; None where it has no such."""
    found: dict[int, object] = {}
    for row in store.contents["measure", run_id, measure_id]:
        rows = _unpack(row["content"])
        names = [name for name in rows.schema.names if _plain(name) == _plain(column)]
        if PRESENT not in rows.schema.names or not names:
            return None
        field = rows.schema.field(names[0])
        scale = int((field.metadata or {}).get(b"scale", b"0"))  # decimals are kept as whole numbers
        values = rows.column(names[0]).to_pylist()
        for place, (value, present) in enumerate(zip(values, rows.column(PRESENT).to_pylist(), strict=True)):
            if present and value is not None:
                exact = Decimal(value).scaleb(-scale) if scale else value
                found[(row["bucket"] - 1) * BUCKET_BITS + place + 1] = exact
    return found


def main(arguments: Sequence[str]) -> int:
    """Print the violations of warehouses; return 1 where there are any."""
    found = [f"{folder}: {text}" for folder in arguments for text in find_violations(Path(folder))]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
