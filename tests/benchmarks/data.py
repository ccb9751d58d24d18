"""Generated customers and purchases: the same for the same numbers, kept in a folder as Delta tables.

The data have what real data have: few customers with many purchases, a tenth with none, values that are missing as
NULL, NaN or empty text, purchases of products nobody describes, and, if wanted, of customers nobody knows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, convert_to_deltalake

FORMAT_VERSION = 1  # part of the folder's name: a change of this file is a new folder
TABLES = ("customers", "purchases", "products", "stores")

STATES = ("California", "Texas", "Florida", "New York", "Washington", "Ohio", "Nevada", "Utah", "Iowa", "Maine")
OCCUPATIONS = ("Teacher", "Engineer", "Accountant", "Nurse", "Chef", "Artist", "Lawyer", "Clerk")
TIERS = ("High", "Medium", "Low", "", None)
CHANNELS = ("web", "store", "app", "", None)
CATEGORIES = ("Espresso", "Beans", "Cold brew", "Tea", "Machines", "Mugs", "Cakes", "Syrups", "Gifts", "Filters", None)
CITIES = ("San Diego", "San Jose", "Santa Fe", "Seattle", "Salem", "Portland", "Reno", "Austin", "Boston", "Miami")
PRODUCT_COUNT = 200
STORE_COUNT = 50
UNKNOWN_PRODUCTS = 4  # purchases name products up to this many beyond those in the table

_PART_ROWS = 1_000_000
_ROW_GROUP = 122_880  # DuckDB's own default
_FIRST_MOMENT = np.datetime64("2024-01-01T00:00:00", "us")
_DAYS = 900

Integers = npt.NDArray[np.integer]


@dataclass(frozen=True)
class DataSize:
    """How much to generate. `orphan_share`: purchases whose customer is missing or unknown."""

    profiles: int = 1_000_000
    rows: int = 10_000_000
    seed: int = 7
    orphan_share: float = 0.0

    @property
    def folder_name(self) -> str:
        """A name for data of this size."""
        orphans = f"-orphans{self.orphan_share:g}" if self.orphan_share else ""
        return f"{self.profiles}x{self.rows}-seed{self.seed}{orphans}-v{FORMAT_VERSION}"


def make_data(cache: Path, size: DataSize, report: Callable[[str], None] = print) -> Path:
    """Return the folder with the tables, generated unless it is there already."""
    folder = cache / size.folder_name
    if folder.is_dir():
        return folder
    report(f"generating {size.profiles:,} profiles and {size.rows:,} rows in {folder}")
    unfinished = cache / f"{size.folder_name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _write(unfinished / "products", [_products(size)])
    _write(unfinished / "stores", [_stores()])
    ids = _numbered("C", np.arange(size.profiles), 9)
    _write(unfinished / "customers", _customers(size, ids))
    _write(unfinished / "purchases", _purchases(size, ids))
    unfinished.rename(folder)
    return folder


def parquet_files(folder: Path, table: str) -> list[str]:
    """Return the Parquet files of a table, for engines that are given files."""
    return sorted(DeltaTable(str(folder / table)).file_uris())


def _write(folder: Path, parts: Sequence[pa.Table] | Iterator[pa.Table]) -> None:
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:05}.parquet", row_group_size=_ROW_GROUP)
    convert_to_deltalake(str(folder))


def _random(size: DataSize, table: int, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([size.seed, table, part])


def _numbered(letter: str, numbers: Integers, digits: int) -> pa.Array:
    """Return ids such as C000000042."""
    text = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), digits, "0")
    return pc.binary_join_element_wise(letter, text, "")


def _pick(random: np.random.Generator, values: Sequence[str | None], count: int, shares: Sequence[float]) -> pa.Array:
    weights = np.array(shares) / sum(shares)
    return pa.array(values, pa.string()).take(pa.array(random.choice(len(values), count, p=weights)))


def _with_gaps(
    random: np.random.Generator, values: npt.NDArray[np.generic], type_: pa.DataType, share: float
) -> pa.Array:
    return pa.array(values, type_, mask=random.random(len(values)) < share)


def _dates(random: np.random.Generator, first: str, days: int, count: int) -> npt.NDArray[np.datetime64]:
    return np.datetime64(first, "D") + random.integers(0, days, count)


def _customers(size: DataSize, ids: pa.Array) -> Iterator[pa.Table]:
    for part, start in enumerate(range(0, size.profiles, _PART_ROWS)):
        random = _random(size, 1, part)
        own = ids.slice(start, _PART_ROWS)
        count = len(own)
        emails = pc.binary_join_element_wise(pc.utf8_lower(own), pa.scalar("example.com"), "@")
        satisfaction = np.round(1 + 4 * random.random(count), 2)
        satisfaction[random.random(count) < 0.03] = np.nan
        yield pa.table(
            {
                "customer_id": own,
                "state": _pick(random, STATES, count, range(10, 0, -1)),
                "occupation": _pick(random, OCCUPATIONS, count, [1] * 8),
                "loyalty_tier": _pick(random, TIERS, count, [2, 3, 4, 0.5, 0.5]),
                "email": pc.if_else(pa.array(random.random(count) < 0.9), emails, ""),
                "email_subscriber": _with_gaps(random, random.random(count) < 0.5, pa.bool_(), 0.02),
                "income": _with_gaps(random, random.integers(20_000, 150_000, count), pa.int32(), 0.05),
                "satisfaction": _with_gaps(random, satisfaction, pa.float64(), 0.03),
                "date_of_birth": _with_gaps(random, _dates(random, "1945-01-01", 22_000, count), pa.date32(), 0.02),
                "reward_points": pa.array(random.integers(0, 2_000, count), pa.int32()),
                "customer_since": pa.array(_dates(random, "2020-01-01", 2_100, count), pa.date32()),
            }
        )


def _purchases(size: DataSize, ids: pa.Array) -> Iterator[pa.Table]:
    buyers = _random(size, 2).permutation(size.profiles)[: max(1, size.profiles * 9 // 10)]
    known = pa.concat_arrays([ids, pa.array(["C-unknown", "", None], pa.string())])
    product_ids = pa.array([f"PR{number}" for number in range(PRODUCT_COUNT + UNKNOWN_PRODUCTS)] + [None])
    store_ids = pa.array([f"S{number}" for number in range(STORE_COUNT)] + [None])
    for part, start in enumerate(range(0, size.rows, _PART_ROWS)):
        count = min(_PART_ROWS, size.rows - start)
        random = _random(size, 3, part)
        customers = buyers[(len(buyers) * random.random(count) ** 2).astype(np.int64)]
        if size.orphan_share:
            lost = random.random(count) < size.orphan_share
            customers = np.where(lost, size.profiles + random.integers(0, 3, count), customers)
        cents = random.integers(100, 50_000, count)
        moments = _FIRST_MOMENT + random.integers(0, _DAYS * 86_400, count) * np.timedelta64(1_000_000, "us")
        rating = random.integers(1, 6, count).astype(np.float64)
        rating[random.random(count) < 0.2] = np.nan
        yield pa.table(
            {
                "purchase_id": _numbered("P", np.arange(start, start + count), 10),
                "customer_id": known.take(pa.array(customers)),
                "product_id": product_ids.take(pa.array(random.integers(0, len(product_ids), count))),
                "store_id": store_ids.take(pa.array(random.integers(0, len(store_ids), count))),
                "channel": _pick(random, CHANNELS, count, [4, 3, 2, 0.2, 0.2]),
                "quantity": pa.array(random.geometric(0.5, count), pa.int32()),
                "total_price": _cents(cents),
                "rating": _with_gaps(random, rating, pa.float64(), 0.1),
                "purchased_at": pa.array(moments, pa.timestamp("us", "UTC")),
            }
        )


def _cents(cents: npt.NDArray[np.int64]) -> pa.Array:
    """Return whole cents as decimal(10,2): Arrow's 128 bits are the number and, above it, its sign."""
    words = np.stack([cents, cents >> 63], axis=1)
    return pa.Array.from_buffers(pa.decimal128(10, 2), len(cents), [None, pa.py_buffer(np.ascontiguousarray(words))])


def _products(size: DataSize) -> pa.Table:
    random = _random(size, 4)
    return pa.table(
        {
            "product_id": pa.array([f"PR{number}" for number in range(PRODUCT_COUNT)]),
            "category": _pick(random, CATEGORIES, PRODUCT_COUNT, [1] * 10 + [0.3]),
            "list_price": pa.array(random.integers(2, 400, PRODUCT_COUNT), pa.int32()),
        }
    )


def _stores() -> pa.Table:
    cities = [CITIES[number % len(CITIES)] for number in range(STORE_COUNT)]
    return pa.table({"store_id": pa.array([f"S{number}" for number in range(STORE_COUNT)]), "city": pa.array(cities)})
