"""Households of Complete Journey before 1 October, as a feature table of their last 91 days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from segengine.demo.complete_journey import data_folder, load_table
from segengine.models.activity import Activity
from segengine.models.fields import HASH, KEY, Field
from segengine.models.levels import Dimension
from segengine.project.types import AttributeType

AS_OF = datetime(2017, 10, 1, tzinfo=UTC)
DAYS, BASKETS = Field("days_since", AttributeType("integer")), Field("baskets", AttributeType("integer"))
SPEND = Field("spend", AttributeType("decimal", 38, 2))
SHOPPING = Activity(
    (Dimension("recency", DAYS), Dimension("frequency", BASKETS), Dimension("monetary", SPEND)), BASKETS, SPEND
)


@cache
def read_households(days: int = 91) -> pa.Table:
    """Return days since the last basket, baskets and spend of each household; 0 baskets where none in the period."""
    rows = load_table(data_folder(), "transactions").select(
        ["household_id", "basket_id", "transaction_timestamp", "sales_value"]
    )
    at = rows.column("transaction_timestamp")
    households = pa.table({"household_id": pc.unique(rows.column("household_id"))})
    rows = rows.filter(pc.and_(pc.less(at, AS_OF), pc.greater_equal(at, AS_OF - timedelta(days=days))))
    found = rows.group_by("household_id").aggregate(
        [("transaction_timestamp", "max"), ("basket_id", "count_distinct"), ("sales_value", "sum")]
    )
    found = households.join(found, "household_id").sort_by("household_id")
    last = pc.days_between(found.column("transaction_timestamp_max"), pa.scalar(AS_OF, pa.timestamp("us", "UTC")))
    keys = pa.array(range(1, found.num_rows + 1), pa.int64())
    cents = pc.cast(pc.multiply(pc.cast(found.column("sales_value_sum"), pa.float64()), 100.0), pa.int64(), safe=False)
    return pa.table(
        {
            KEY: keys,
            HASH: keys,
            "days_since": last,
            "baskets": pc.fill_null(found.column("basket_id_count_distinct"), 0),
            "spend": pc.fill_null(cents, 0),
        }
    )
