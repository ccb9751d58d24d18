"""The households of Complete Journey as a feature table: nine months of shopping, then three months' spend."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from segengine.demo.complete_journey import complete_journey_tables
from segengine.models.fields import HASH, KEY, Field
from segengine.project.types import AttributeType

CUT = datetime(2017, 10, 1, tzinfo=UTC)
AS_OF = int(CUT.timestamp()) * 1_000_000
DEPARTMENTS = ("PRODUCE", "MEAT", "DRUG GM", "DELI", "PASTRY", "SEAFOOD", "SPIRITS", "FLORAL")
DEMOGRAPHICS = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
NEXT_SPEND = "next_spend"

_TEXT, _INTEGER, _MONEY = AttributeType("text"), AttributeType("integer"), AttributeType("decimal", 12, 2)
FIELDS = (
    Field("household_id", _TEXT),
    *(Field(name, _TEXT) for name in DEMOGRAPHICS),
    *(Field(name, _INTEGER) for name in ("trips", "products")),
    *(Field(name, _MONEY) for name in ("spend", "coupons", "private_brand", *DEPARTMENTS)),
    Field("last_trip", AttributeType("timestamp")),
)


def read_households() -> pa.Table:
    """Return the feature table of all households, with `next_spend` in cents beside the fields."""
    tables = complete_journey_tables()
    products = tables["products"].select(["product_id", "department", "brand"])
    rows = tables["transactions"].join(products, "product_id", join_type="left outer")
    rows = rows.append_column("cents", pc.cast(pc.multiply(rows["sales_value"], 100), pa.int64()))
    is_next = pc.greater_equal(rows["transaction_timestamp"], pa.scalar(CUT, rows["transaction_timestamp"].type))
    before = rows.filter(pc.invert(is_next))
    households = before.group_by("household_id").aggregate(
        [("basket_id", "count_distinct"), ("product_id", "count_distinct"), ("transaction_timestamp", "max")]
    )
    households = households.rename_columns(["household_id", "trips", "products", "last_trip"])
    sums = {
        "spend": before,
        "coupons": before.filter(pc.greater(before["coupon_disc"], 0)),
        "private_brand": before.filter(pc.equal(before["brand"], "Private")),
        **{name: before.filter(pc.equal(before["department"], name)) for name in DEPARTMENTS},
        NEXT_SPEND: rows.filter(is_next),
    }
    for name, part in sums.items():
        spent = part.group_by("household_id").aggregate([("cents", "sum")]).rename_columns(["household_id", name])
        households = households.join(spent, "household_id", join_type="left outer")
        filled = pc.fill_null(households[name], 0)
        households = households.set_column(households.column_names.index(name), name, filled)
    households = households.join(tables["households"].select(["household_id", *DEMOGRAPHICS]), "household_id")
    return _finish(households.sort_by("household_id"))


def _finish(households: pa.Table) -> pa.Table:
    ids = households["household_id"].to_pylist()
    digests = (hashlib.blake2b(id_.encode(), digest_size=8).digest() for id_ in ids)
    hashes = pa.array([int.from_bytes(digest, "little", signed=True) for digest in digests])
    last = households["last_trip"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    texts = {name: households[name].cast(pa.string()) for name in DEMOGRAPHICS}
    columns = {name: households[name] for name in households.column_names} | texts | {"last_trip": last}
    return pa.table({KEY: pa.array(range(1, len(ids) + 1)), HASH: hashes, **columns}).combine_chunks()
