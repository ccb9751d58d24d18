"""What each measure of the Contoso demo means, by hand, as DuckDB SQL; and the segments that use them.

As in contoso_sql.py, with the macros of exact_sql.py, as of 30 June 2026. A query returns ids, dimensions, values, in
the measure's order; it is a table `measure_ID` for those after it and for the segments.
"""

from __future__ import annotations

import runpy
from pathlib import Path

DAY: str = runpy.run_path(str(Path(__file__).parent / "contoso_sql.py"))["DAY"]
AS_OF = "DATE '2026-06-30'"


def per_customer(values: str, table: str, where: str = "true") -> str:
    """Return the values of each customer over its rows that satisfy `where`; customers without any have NULLs."""
    return f"""
        SELECT customer_id, {values} FROM customers LEFT JOIN (SELECT * FROM {table} WHERE {where}) AS r
        USING (customer_id) GROUP BY customer_id"""


MEASURES: dict[str, str] = {
    "lifetimespend": per_customer("coalesce(sum(total_price), 0) AS value", "purchases"),
    "average_web_purchase": per_customer("average(total_price, 2) AS value", "purchases", "channel = 'web'"),
    "average_store_purchase": per_customer("average(total_price, 2) AS value", "purchases", "channel = 'store'"),
    "days_since_last_purchase": per_customer(f"{AS_OF} - max({DAY}) AS value", "purchases"),
    "points_balance": per_customer(
        "coalesce(sum(earned_points), 0) - coalesce(sum(redeemed_points), 0) AS value", "points"
    ),
    "membership_days": per_customer(
        f"coalesce(sum(least(coalesce(left_on, {AS_OF}), {AS_OF}) - joined_on), 0) AS value", "memberships"
    ),
    "purchases_per_month": f"""
        SELECT customer_id, CAST(date_trunc('month', {DAY}) AS DATE) AS month, count(*) AS purchases,
               sum(total_price) AS spend, coalesce(sum(quantity * unit_price) FILTER (channel = 'web'), 0)
        FROM customers JOIN purchases USING (customer_id) GROUP BY ALL""",
    "months": per_customer(
        """count(month) AS active, coalesce(average(purchases, 0), 0) AS purchases,
           first(month ORDER BY spend DESC, month) AS best""",
        "measure_purchases_per_month",
    ),
    "revenue": """
        SELECT sum(total_price) AS revenue, count(*) AS purchases, sum(total_price) FILTER (channel = 'web') AS web,
               quotient(sum(total_price) FILTER (channel = 'web'), sum(total_price), 2) AS web_share
        FROM purchases""",
    "store_sales": f"""
        SELECT city, CAST(date_trunc('month', {DAY}) AS DATE) AS month, sum(total_price), count(DISTINCT customer_id)
        FROM purchases LEFT JOIN stores USING (store_id) WHERE channel = 'store' GROUP BY ALL""",
    # Floats enter as decimals with nine digits after the point.
    "mood_by_tier": """
        SELECT nullif(loyalty_tier, '') AS tier, count(*),
               average(CASE WHEN NOT isnan(customer_satisfaction)
                       THEN CAST(customer_satisfaction AS DECIMAL(18, 9)) END, 9),
               average(CAST(score AS DECIMAL(18, 9)), 9)
        FROM customers LEFT JOIN churn USING (customer_id) GROUP BY tier""",
}
SQL: dict[str, str] = {
    "high_value_online_customers": "SELECT customer_id FROM measure_average_web_purchase WHERE value > 138",
    "summer_promotion": """
        SELECT customer_id FROM measure_average_store_purchase JOIN customers USING (customer_id)
        WHERE value >= 113 AND date_of_birth BETWEEN DATE '1981-01-01' AND DATE '1996-12-31'""",
    "good_customers_asleep": """
        SELECT customer_id FROM measure_lifetimespend AS spend
        JOIN measure_days_since_last_purchase AS days USING (customer_id)
        JOIN measure_points_balance AS points USING (customer_id)
        WHERE spend.value >= 300 AND days.value >= 120 AND points.value > 500""",
    "club_regulars": """
        SELECT customer_id FROM measure_membership_days JOIN measure_months USING (customer_id)
        WHERE value >= 730 OR (value >= 365 AND purchases >= 3)""",
}
