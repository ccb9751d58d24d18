"""What sources may look like, and what a refresh says of those that are not as the project says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from workspace import Workspace

from segengine.engine.session import EngineSession, open_session
from segengine.errors import DataContractError
from segengine.store.runs import Status

# ---- one project with every sort of source

FORMATS = """
project: formats
time_zone: America/New_York
tables:
  customers: {path: data/customers, key: customer_id}
  scores: {path: data/scores, key: customer_id, prediction: true}
  addresses: {path: data/addresses.csv, format: csv, key: address_id}
  regions: {path: data/regions, key: region_id}
  countries: {path: data/countries, key: country_id}
  offers: {path: data/offers, key: [product_id, store_id]}
  promotions: {path: data/promotions, key: promotion_id}
  visits:
    path: data/visits
    format: parquet
    key: visit_id
    columns:
      seen_at: {zone: Asia/Tokyo}
      left_at: {zone: UTC}
  logins:
    path: data/logins.parquet
    format: parquet
    key: login_id
    columns: {at: {zone: UTC}}
  answers:
    path: data/answers
    format: csv
    key: answer_id
    columns:
      stars: {type: integer}
      price: {type: "decimal(10,2)"}
      day: {type: date}
      given_at: {type: timestamp, zone: UTC}
      wall_at: {type: timestamp, zone: Europe/Berlin}
      open: {type: boolean}
      weight: {type: double}
  accounts: {path: data/accounts, key: account_id}
relationships:
  - {from: scores.customer_id, to: customers, one_to_one: true}
  - {from: customers.referred_by_id, to: customers, name: referred_by}
  - customers.address_id -> addresses
  - addresses.region_id -> regions
  - regions.country_id -> countries
  - promotions.customer_id -> customers
  - {from: "promotions.[product_id, store_id]", to: offers, name: offer}
  - visits.customer_id -> customers
  - logins.customer_id -> customers
  - answers.customer_id -> customers
audiences:
  customer: {table: customers}
  account: {table: accounts}
"""

# Each condition, and by hand the customers it finds among 1 to 6 (ids are text in the profile table).
BY_HAND: dict[str, tuple[str, list[str]]] = {
    # Delta, one row per customer; NULL, empty text and NaN are missing
    "nick_missing": ("where: {nick: {empty: true}}", ["2", "3"]),
    "weight_missing": ("where: {kilos: {empty: true}}", ["4", "5"]),
    "exact_decimal": ("where: {credit: {at_least: 10.10}}", ["1", "3"]),
    # one-to-one from the profile, integer against text
    "likely": ("where: {scores.score: {at_least: 0.5}}", ["2", "3"]),
    # look-ups of several hops through CSV and Delta
    "in_europe": ("where: {address.region.country.continent: Europe}", ["1", "3"]),
    "rows_far_away": (
        "rules: [{over: answers, where: {customer.address.region.country.continent: Europe}}]",
        ["1", "3"],
    ),
    # a table linked with itself, walked from the rows and as a look-up
    "referred_somebody": ("rules: [{over: customers, via: [referred_by], where: {nick: [cy, di, ed]}}]", ["5"]),
    "referred_a_heavy_one": ("rules: [{over: customers, via: [referred_by], where: {kilos: {at_least: 70}}}]", ["1"]),
    "referred_by_ann": ("where: {referred_by.nick: ann}", ["2", "3"]),
    # keys of two columns
    "cheap_offer": ("rules: [{over: promotions, where: {offer.price: {less_than: 5}}}]", ["1", "4"]),
    "no_such_offer": ("rules: [{over: promotions, where: {offer.price: {empty: true}}}]", ["2", "3"]),
    # Parquet: naive timestamps in the zone declared for them, two files in subfolders
    "seen_on_new_years_day": ("rules: [{over: visits, where: {seen_at: 2026-01-01}}]", ["1", "3"]),
    "seen_on_new_years_eve": ("rules: [{over: visits, where: {seen_at: 2025-12-31}}]", ["2"]),
    "left_on_new_years_day": ("rules: [{over: visits, where: {left_at: 2026-01-01}}]", ["1"]),
    "logged_in_on_new_years_day": ("rules: [{over: logins, where: {at: 2026-01-01}}]", ["2"]),
    # CSV by declared types
    "four_stars": ("rules: [{over: answers, where: {stars: {at_least: 4}}}]", ["1", "3"]),
    "stars_missing": ("rules: [{over: answers, where: {stars: {empty: true}}}]", ["4"]),
    "priced_exactly": ("rules: [{over: answers, where: {price: 0.30}}]", ["2"]),
    "in_march": ("rules: [{over: answers, where: {day: {between: [2026-03-01, 2026-03-31]}}}]", ["1", "2"]),
    "given_on_the_first": ("rules: [{over: answers, where: {given_at: 2026-03-01}}]", ["1", "2", "3"]),
    "wall_on_the_first": ("rules: [{over: answers, where: {wall_at: 2026-03-01}}]", ["2"]),
    "open": ("rules: [{over: answers, where: {open: {is_true: true}}}]", ["1", "4"]),
    "weighed": ("rules: [{over: answers, where: {weight: {between: [0.1, 0.2]}}}]", ["3"]),
    "quoted": ("rules: [{over: answers, where: {words: 'she said \"yes\", twice'}}]", ["1"]),
    "two_lines": ("rules: [{over: answers, where: {words: {begins_with: first, ends_with: second}}}]", ["2"]),
    "said_nothing": ("rules: [{over: answers, where: {words: {empty: true}}}]", ["3", "4"]),
    "umlaut": ("where: {address.city: Köln}", ["1"]),
}
ACCOUNTS_BY_HAND = {"big_accounts": ["-7", "12345678901234567890"]}

ANSWERS_1 = """\
answer_id,customer_id,stars,price,day,given_at,wall_at,open,weight,words\r
a1,1,5,0.1,2026-03-31,2026-03-02T04:59:59Z,2026-03-02T06:00:00,true,0.3,"she said ""yes"", twice"\r
a2,2, 3 ,0.30,2026-03-01,2026-03-02T04:59:59Z,2026-03-02T05:59:59,no,0.09,"first\nsecond"\r
"""
ANSWERS_2 = """\
answer_id,customer_id,stars,price,day,given_at,wall_at,open,weight,words
a3,3,4,,2026-04-01,2026-03-01T07:00:00+02:00,2026-03-01T05:59:59,FALSE,1e-1,""
a4,4,,-0.30,,2026-03-02T05:00:00Z,2026-03-02T06:00:00,1,,
"""
ADDRESSES = """\
address_id,city,region_id
x1,Köln,10
x2,Boston,20
x3,"Aix, la ville",30
"""


def write_formats(workspace: Workspace) -> None:
    data = workspace.data
    workspace.write_project(FORMATS)
    workspace.write_table(
        "customers",
        {
            "customer_id": ["1", "2", "3", "4", "5", "6"],
            "nick": ["ann", "", None, "cy", "di", "ed"],
            "kilos": pa.array([60.0, 80.0, 50.0, None, float("nan"), 1.0], pa.float64()),
            "credit": pa.array([Decimal("10.10"), Decimal("10.09"), Decimal("99"), None, None, Decimal("-1")]),
            "referred_by_id": [None, "1", "1", "", "9", "5"],
            "address_id": ["x1", "x2", "x3", "x9", None, ""],
        },
    )
    workspace.write_table("scores", {"customer_id": [2, 3, 4, 77], "score": [0.5, 0.9, 0.1, 1.0]})
    workspace.write_table("regions", {"region_id": [10, 20, 30], "country_id": ["DE", "US", "FR"]})
    workspace.write_table("countries", {"country_id": ["DE", "US", "FR"], "continent": ["Europe", "America", "Europe"]})
    workspace.write_table(
        "offers", {"product_id": [1, 1, 2], "store_id": ["s1", "s2", "s1"], "price": pa.array([4, 9, 3], pa.int64())}
    )
    workspace.write_table(
        "promotions",
        {
            "promotion_id": [1, 2, 3, 4, 5],
            "customer_id": [1, 2, 3, 4, 99],
            "product_id": [1, 2, None, 2, 1],
            "store_id": ["s1", "s2", "s1", "s1", "s1"],
        },
    )
    workspace.write_table(
        "accounts", {"account_id": pa.array([Decimal(-7), Decimal("12345678901234567890"), Decimal(5)]), "n": [9, 9, 1]}
    )
    # 2026-01-01 14:00 in Tokyo is midnight in New York.
    first = {"visit_id": [1, 2], "customer_id": [1, 2]}
    second = {"visit_id": [3], "customer_id": [3]}
    times = [datetime(2026, 1, 1, 14), datetime(2026, 1, 1, 13, 59, 59, 999999)]
    left = [datetime(2026, 1, 1, 5), datetime(2026, 1, 1, 4, 59)]
    for folder, columns, seen, gone in (("2025/a", first, times, left), ("2026", second, times[:1], [None])):
        (data / "visits" / folder).mkdir(parents=True)
        naive = {"seen_at": pa.array(seen, pa.timestamp("us")), "left_at": pa.array(gone, pa.timestamp("ms"))}
        pq.write_table(pa.table({**columns, **naive}), data / "visits" / folder / "part.parquet")
    (data / "visits" / "_SUCCESS").touch()
    (data / "visits" / "2026" / ".half.parquet").write_bytes(b"half a file")
    logins = {
        "login_id": [1, 2],
        "customer_id": ["1", "2"],
        "at": pa.array([datetime(2026, 1, 1, 4, 59, 59), datetime(2026, 1, 1, 5)], pa.timestamp("us")),
    }
    pq.write_table(pa.table(logins), data / "logins.parquet", use_deprecated_int96_timestamps=True)
    (data / "answers" / "more").mkdir(parents=True)
    (data / "answers" / "one.csv").write_bytes(b"\xef\xbb\xbf" + ANSWERS_1.encode())
    (data / "answers" / "more" / "two.csv").write_text(ANSWERS_2)
    (data / "addresses.csv").write_bytes(b"\xef\xbb\xbf" + ADDRESSES.encode())
    segments = [f"kind: segment\nname: {name}\naudience: customer\n{text}\n" for name, (text, _) in BY_HAND.items()]
    segments.append("kind: segment\nname: big_accounts\naudience: account\nwhere: {n: {greater_than: 1}}\n")
    workspace.define("---\n".join(segments))


@pytest.fixture(scope="module")
def formats_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[EngineSession], Workspace]:
    """Return a function that refreshes the project on an engine, at the first call."""
    made: dict[str, Workspace] = {}

    def get(session: EngineSession) -> Workspace:
        if session.kind not in made:
            workspace = Workspace(tmp_path_factory.mktemp(f"formats_{session.kind}"), session)
            write_formats(workspace)
            workspace.pull()
            workspace.apply()
            workspace.refresh()
            made[session.kind] = workspace
        return made[session.kind]

    return get


@pytest.mark.over_connect
def test_every_format_is_read_as_the_project_says(
    engine: EngineSession, formats_once: Callable[[EngineSession], Workspace]
) -> None:
    published = formats_once(engine).published()

    (run,) = published.runs
    found = {name: published.members_of_run(name, run["run_id"]) for name in BY_HAND}
    accounts = {name: published.members_of_run(name, run["run_id"], "account") for name in ACCOUNTS_BY_HAND}

    assert found == {name: ids for name, (_, ids) in BY_HAND.items()}
    assert accounts == ACCOUNTS_BY_HAND
    assert published.last_keys == {"customer": 6, "account": 3}


def test_run_says_which_versions_it_read(
    engine: EngineSession, formats_once: Callable[[EngineSession], Workspace]
) -> None:
    (run,) = formats_once(engine).published().runs

    versions = json.loads(run["source_versions"])
    pinned = {"customers", "scores", "regions", "countries", "offers", "promotions", "accounts"}
    assert versions == dict.fromkeys(pinned, 0) | dict.fromkeys(("visits", "logins", "answers", "addresses"))
    scans = {scan["name"]: (scan["row_count"], scan["orphan_count"]) for scan in json.loads(run["scans"])}
    assert scans["promotions > customer"] == (5, 1)
    assert scans["answers > customer"] == (4, 0)


@pytest.mark.over_connect
def test_lock_has_the_stored_types(engine: EngineSession, formats_once: Callable[[EngineSession], Workspace]) -> None:
    tables = formats_once(engine).pull().tables

    assert tables["visits"] == {
        "visit_id": "integer",
        "customer_id": "integer",
        "seen_at": "timestamp_ntz",
        "left_at": "timestamp_ntz",
    }
    assert tables["logins"]["at"] == "timestamp_ntz"
    assert tables["customers"]["credit"] == "decimal(4,2)"
    assert set(tables["answers"].values()) == {"text"}
    assert tables["accounts"] == {"account_id": "decimal(20,0)", "n": "integer"}


# ---- a small project to damage

SMALL = """
project: small
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
  products: {path: data/products, key: product_id}
  notes:
    path: data/notes.csv
    format: csv
    key: note_id
    columns: {stars: {type: integer}}
  visits: {path: data/visits.parquet, format: parquet, key: visit_id}
relationships:
  - purchases.customer_id -> customers
  - purchases.product_id -> products
  - notes.customer_id -> customers
  - visits.customer_id -> customers
audiences: {customer: {table: customers}}
"""
SMALL_SEGMENTS = """
kind: segment
name: Bought beans
rules: [{over: purchases, where: {product.category: Beans}}]
---
kind: segment
name: Spent much
rules: [{over: purchases, where: {amount: {at_least: 10}}}]
---
kind: segment
name: Spent much and bought beans
where: {all: [{in_segment: Spent much}, {in_segment: Bought beans}]}
---
kind: segment
name: Has a good note
rules: [{over: notes, where: {stars: {at_least: 4}}}]
---
kind: segment
name: Looked at many pages
rules: [{over: visits, where: {pages: {at_least: 5}}}]
"""
CUSTOMERS = {"customer_id": ["a", "b", "c"]}
PURCHASES = {
    "purchase_id": [1, 2, 3, 4],
    "customer_id": ["a", "b", "b", None],
    "product_id": [1, 1, 2, 1],
    "amount": [12.0, 3.0, 10.0, 99.0],
}
PRODUCTS = {"product_id": [1, 2], "category": ["Beans", "Milk"]}
NOTES = "note_id,customer_id,stars\n1,a,5\n2,c,2\n"
GOOD = {
    "bought_beans": ["a", "b"],
    "spent_much": ["a", "b"],
    "spent_much_and_bought_beans": ["a", "b"],
    "has_a_good_note": ["a"],
    "looked_at_many_pages": ["c"],
}
EVERY = "The sources changed since schema.lock.yml was pulled: "
PULL = " If that is meant, run `segengine schema pull`, then `segengine validate`."


def write_small(workspace: Workspace) -> None:
    workspace.write_project(SMALL)
    workspace.write_table("customers", CUSTOMERS)
    workspace.write_table("purchases", PURCHASES)
    workspace.write_table("products", PRODUCTS)
    (workspace.data / "notes.csv").write_text(NOTES)
    write_visits(workspace, {"visit_id": [1, 2], "customer_id": ["a", "c"], "pages": [4, 5]})
    workspace.define(SMALL_SEGMENTS)


def write_visits(workspace: Workspace, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), workspace.data / "visits.parquet")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A project with one good refresh, made once by the embedded engine: any engine goes on from there."""
    with open_session("embedded") as session:
        workspace = Workspace(tmp_path_factory.mktemp("good"), session)
        write_small(workspace)
        workspace.pull()
        workspace.apply()
        workspace.refresh()
        assert workspace.published().members() == GOOD
        yield workspace


@dataclass(frozen=True)
class Damage:
    """What is done to a source, and what the refresh then says; FOLDER stands for the data folder."""

    name: str
    do: Callable[[Workspace], object]
    says: str
    found_by_engine: bool = False
    fails: frozenset[str] = frozenset()  # segments; none named: all, and so the run


OF_PRODUCTS = frozenset({"bought_beans", "spent_much_and_bought_beans"})
OF_PURCHASES = OF_PRODUCTS | {"spent_much"}
OF_VISITS = frozenset({"looked_at_many_pages"})
OF_NOTES = frozenset({"has_a_good_note"})


def remove_folder(workspace: Workspace) -> None:
    shutil.rmtree(workspace.data / "purchases")


def remove_log(workspace: Workspace) -> None:
    shutil.rmtree(workspace.data / "purchases" / "_delta_log")


def break_log(workspace: Workspace) -> None:
    (workspace.data / "purchases" / "_delta_log" / "00000000000000000000.json").write_text("{no json")


def write_nanoseconds(workspace: Workspace) -> None:
    columns = {"visit_id": [1], "customer_id": ["a"], "pages": pa.array([7], pa.timestamp("ns"))}
    pq.write_table(pa.table(columns), workspace.data / "visits.parquet", version="2.6")


DAMAGES = [
    Damage(
        "missing path",
        remove_folder,
        'Table "purchases": there is nothing at FOLDER/purchases. '
        "Check `path` in the project file; relative paths start at its folder.",
        fails=OF_PURCHASES,
    ),
    Damage(
        "no Delta table",
        remove_log,
        'Table "purchases": FOLDER/purchases is no Delta table. '
        "Set `format: parquet` or `format: csv` if it is one of those.",
        fails=OF_PURCHASES,
    ),
    Damage(
        "broken log",
        break_log,
        'Table "purchases": the Delta log at FOLDER/purchases cannot be read: ',
        fails=OF_PURCHASES,
    ),
    Damage(
        "missing column",
        lambda w: w.write_table("products", {"product_id": [1, 2], "label": ["Beans", "Milk"]}),
        f'{EVERY}table "products" no longer has column "category".{PULL}',
        found_by_engine=True,
        fails=OF_PRODUCTS,
    ),
    Damage(
        "missing key",
        lambda w: w.write_table("customers", {"id": ["a", "b", "c"]}),
        f'{EVERY}table "customers" no longer has column "customer_id".{PULL}',
    ),
    Damage(
        "changed types",
        lambda w: (
            w.write_table("products", {"product_id": ["1", "2"], "category": ["Beans", "Milk"]}),
            w.write_table("purchases", PURCHASES | {"amount": [12, 3, 10, 99]}),
        ),
        f'{EVERY}column "product_id" of table "products" is text now, integer in the lock; '
        f'column "amount" of table "purchases" is integer now, double in the lock.{PULL}',
        fails=OF_PURCHASES,
    ),
    Damage(
        "nanoseconds",
        write_nanoseconds,
        f'{EVERY}column "pages" of table "visits" is timestamp[ns] now, integer in the lock.{PULL}',
        fails=OF_VISITS,
    ),
    Damage(
        "profile ids missing",
        lambda w: w.write_table("customers", {"customer_id": ["a", None, "b", "", "c"]}),
        'Profile table "customers": column "customer_id" is missing in 2 row(s).',
        found_by_engine=True,
    ),
    Damage(
        "profile ids twice",
        lambda w: w.write_table("customers", {"customer_id": ["a", "b", "c", "a", "b", "b"]}),
        'Profile table "customers" has 3 duplicate profile id(s).',
        found_by_engine=True,
    ),
    Damage(
        "look-up keys twice",
        lambda w: w.write_table("products", {"product_id": [1, 2, 2, None, None], "category": ["Beans"] * 5}),
        'Keys are not unique: table "products" has 1 duplicate key(s) in product_id. '
        "A relationship leads to one row; remove the duplicates or correct `key` in the project file.",
        found_by_engine=True,
        fails=OF_PRODUCTS,
    ),
    Damage(
        "no number in a CSV",
        lambda w: (w.data / "notes.csv").write_text("note_id,customer_id,stars\n1,a,five\n2,c,2\n3,b,2.5\n4,b,\n"),
        '2 value(s) of "stars" in table "notes" are not of type integer.',
        found_by_engine=True,
        fails=OF_NOTES,
    ),
    Damage(
        "no Parquet file",
        lambda w: (w.data / "visits.parquet").write_bytes(b"PAR1 is not enough"),
        'Table "visits": FOLDER/visits.parquet is no readable Parquet file.',
        fails=OF_VISITS,
    ),
    Damage(
        "CSV with a column twice",
        lambda w: (w.data / "notes.csv").write_text("note_id,customer_id,stars,stars\n1,a,5,5\n"),
        'Table "notes": the first line of FOLDER/notes.csv is no header of distinct names.',
        fails=OF_NOTES,
    ),
]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            damage,
            id=damage.name.replace(" ", "_"),
            marks=[] if damage.found_by_engine else [pytest.mark.before_the_engine],
        )
        for damage in DAMAGES
    ],
)
def test_damaged_source_fails_what_reads_it_and_says_why(
    engine: EngineSession, good: Workspace, damage: Damage, tmp_path: Path
) -> None:
    workspace = good.copy_to(tmp_path).on(engine)
    before = workspace.published()
    shutil.copytree(workspace.data, tmp_path / "kept")
    damage.do(workspace)

    says = damage.says.replace("FOLDER", str(workspace.data))
    if damage.fails:
        report = workspace.refresh()
        errors = {run.segment_id: run.error for run in report.segments if run.status is not Status.SUCCESSFUL}
        assert errors.keys() == damage.fails, "only those that read it"
        for error in errors.values():
            told = error.rpartition(" failed: ")[2].removeprefix(EVERY).rstrip(".")
            assert told in says or says in told + ".", error
        run_error = ""
    else:
        with pytest.raises(DataContractError) as caught:
            workspace.refresh()
        run_error = str(caught.value)
        assert says in run_error
    after = workspace.published()
    assert after.members() == before.members() == GOOD
    assert after.keys == before.keys
    assert after.last_keys == before.last_keys
    ends = {name: after.statuses(name)[1] for name in GOOD}
    assert {name for name, status in ends.items() if status != "Successful"} == (damage.fails or GOOD.keys())
    assert {row["error"] for row in after.runs[1:]} == {run_error}

    shutil.rmtree(workspace.data)
    (tmp_path / "kept").rename(workspace.data)
    workspace.append_rows("customers", {"customer_id": ["d"]})
    workspace.append_rows("purchases", {"purchase_id": [5], "customer_id": ["d"], "product_id": [1], "amount": [1.0]})
    workspace.on(good.session).refresh()
    later = workspace.published()
    assert later.members() == GOOD | {"bought_beans": ["a", "b", "d"]}
    assert later.last_keys == {"customer": 4}


def test_infinity_fails_only_what_uses_the_column(engine: EngineSession, good: Workspace, tmp_path: Path) -> None:
    workspace = good.copy_to(tmp_path).on(engine)
    workspace.write_table("purchases", PURCHASES | {"amount": [float("inf"), 3.0, float("-inf"), float("nan")]})

    report = workspace.refresh()

    assert {run.segment_id: (str(run.status), run.error) for run in report.segments} == {
        "bought_beans": ("Successful", ""),
        "spent_much": ("Failed", '2 value(s) of "amount" are infinite or out of range'),
        "spent_much_and_bought_beans": (
            "Skipped",
            'parent "Spent much" failed: 2 value(s) of "amount" are infinite or out of range',
        ),
        "has_a_good_note": ("Successful", ""),
        "looked_at_many_pages": ("Successful", ""),
    }
    assert workspace.published().members() == GOOD
    listed = workspace.listed()
    assert listed["spent_much"].current is not None
    assert listed["spent_much"].current.snapshot_version == 1
    assert listed["bought_beans"].current is not None
    assert listed["bought_beans"].current.snapshot_version == 2


INFINITE_LONG_AGO = """
{kind: segment, name: Lately, rules: [{over: orders, where: {ordered_at: {after: 2024-12-31}}, sum: {amount: {at_least: 3}}}]}
---
kind: segment
name: Large lately
rules: [{over: orders, rows: none, where: {all: [{ordered_at: {after: 2024-12-31}}, {amount: {at_least: 3}}]}}]
---
{kind: segment, name: Ever, rules: [{over: orders, where: {ordered_at: {after: 2019-12-31}}, max: {amount: {at_least: 3}}}]}
---
{kind: segment, name: In 2023, rules: [{over: orders, where: {ordered_at: {year_of: 2023}}}]}
---
{kind: segment, name: Once, rules: [{over: orders, where: {ordered_at: {after: 2019-12-31}}}]}
"""  # noqa: E501


@pytest.mark.parametrize(
    "chosen",
    [
        ["Lately"],
        pytest.param(["Lately", "Large lately"], marks=pytest.mark.before_the_engine),
        pytest.param(["Lately", "Ever"], marks=pytest.mark.before_the_engine),
        [],
    ],
)
def test_errors_in_rows_read_for_others_fail_nobody(engine: EngineSession, tmp_path: Path, chosen: list[str]) -> None:
    """A shared scan reads what the widest of its segments looks at; whether one fails is its own matter."""
    days = [datetime(2021, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)]
    beyond = pa.scalar(2**60, pa.int64()).cast(pa.timestamp("us", "UTC"))
    orders = {
        "order_id": [1, 2, 3],
        "customer_id": ["a", "a", "b"],
        "ordered_at": pa.array([*days, beyond], pa.timestamp("us", "UTC")),
        "amount": [float("inf"), 3.0, 4.0],
    }
    project = """
        project: shop
        tables: {customers: {path: data/customers, key: customer_id}, orders: {path: data/orders, key: order_id}}
        relationships: [orders.customer_id -> customers]
        audiences: {customer: {table: customers}}
    """
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(project, {"customers": {"customer_id": ["a", "b"]}, "orders": orders}, INFINITE_LONG_AGO)
    workspace.apply()
    found = {run.segment_id: (str(run.status), run.error) for run in workspace.refresh(*chosen).segments}
    expected = dict.fromkeys(["lately", "large_lately", "in_2023", "once"], ("Successful", ""))
    expected["ever"] = ("Failed", '1 value(s) of "amount" are infinite or out of range')
    assert found == {name: expected[name] for name in found}
    assert len(found) == len(chosen or expected)


@pytest.mark.over_connect
def test_run_reads_the_version_it_pinned(engine: EngineSession, good: Workspace, tmp_path: Path) -> None:
    """Rows that arrive between planning and reading belong to the next run."""
    workspace = good.copy_to(tmp_path).on(engine)
    late = {"purchase_id": [9], "customer_id": ["c"], "product_id": [1], "amount": [50.0]}

    def append_late(line: str) -> None:
        if line.startswith("evaluating"):
            workspace.append_rows("purchases", late)
            workspace.append_rows("customers", {"customer_id": ["z"]})

    workspace.refresh(progress=append_late)

    published = workspace.published()
    assert DeltaTable(str(workspace.data / "purchases")).version() == 1
    assert json.loads(published.runs[-1]["source_versions"])["purchases"] == 0
    assert published.members() == GOOD
    assert published.last_keys == {"customer": 3}
    workspace.on(good.session).refresh()
    assert workspace.published().members() == GOOD | {
        "bought_beans": ["a", "b", "c"],
        "spent_much": ["a", "b", "c"],
        "spent_much_and_bought_beans": ["a", "b", "c"],
    }


@pytest.mark.before_the_engine
def test_columns_nobody_uses_may_be_gone(engine: EngineSession, good: Workspace, tmp_path: Path) -> None:
    workspace = good.copy_to(tmp_path).on(engine)
    workspace.write_table("products", PRODUCTS | {"added": [date(2026, 1, 1)] * 2})
    write_visits(workspace, {"pages": [9], "customer_id": ["b"]})

    workspace.refresh()

    assert workspace.published().members() == GOOD | {"looked_at_many_pages": ["b"]}


@pytest.mark.before_the_engine
def test_pull_of_a_missing_source_keeps_the_lock(engine: EngineSession, good: Workspace, tmp_path: Path) -> None:
    workspace = good.copy_to(tmp_path).on(engine)
    lock = (tmp_path / "schema.lock.yml").read_text()
    remove_folder(workspace)

    with pytest.raises(DataContractError, match=re.escape('Table "purchases": there is nothing at')):
        workspace.pull()

    assert (tmp_path / "schema.lock.yml").read_text() == lock


def test_parquet_that_spark_refuses_is_named_before_anything_is_read(
    engine: EngineSession, good: Workspace, tmp_path: Path
) -> None:
    """A nanosecond column beside the ones that are used: Spark cannot open such a file at all."""
    workspace = good.copy_to(tmp_path).on(engine)
    columns = {
        "visit_id": [1],
        "customer_id": ["b"],
        "pages": [7],
        "seen": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ns", tz="UTC")),
    }
    pq.write_table(pa.table(columns), workspace.data / "visits.parquet", version="2.6")

    if engine.kind == "embedded":
        workspace.refresh()
        assert workspace.published().members() == GOOD | {"looked_at_many_pages": ["b"]}
        return

    report = workspace.refresh()

    failed = {run.segment_id: run.error for run in report.segments if run.status is not Status.SUCCESSFUL}
    assert failed == {
        "looked_at_many_pages": 'Spark cannot open these Parquet files: column "seen" of table "visits" is '
        "timestamp[ns,tz=UTC]."
    }
    assert workspace.published().members() == GOOD
