"""What each measure of the Complete Journey demo means, by hand, as DuckDB SQL; and the segments that use them.

As in complete_journey_sql.py, with the macros of exact_sql.py. A query returns ids, dimensions, values, in the
measure's order; it is a table `measure_ID` for those after it and for the segments.
"""

from __future__ import annotations

import runpy
from pathlib import Path

_JOURNEY = runpy.run_path(str(Path(__file__).parent / "complete_journey_sql.py"))
LOCAL, DAY, ROWS, REDEEMED = (_JOURNEY[name] for name in ("LOCAL", "DAY", "ROWS", "REDEEMED"))
BASIC: dict[str, str] = _JOURNEY["SQL"]
AS_OF = "DATE '2018-01-31'"
MONTH = f"CAST(date_trunc('month', {LOCAL}) AS DATE)"
BY_PRICE = "ORDER BY sales_value DESC, basket_id, product_id"


def per_household(values: str, table: str, where: str = "true") -> str:
    """Return the values of each household over its rows that satisfy `where`; households without any have NULLs."""
    return f"""
        SELECT household_id, {values} FROM households LEFT JOIN (SELECT * FROM {table} WHERE {where}) AS r
        USING (household_id) GROUP BY household_id"""


def total(what: str, where: str = "true") -> str:
    """Return a sum that is 0 of nothing."""
    return f"coalesce(sum({what}) FILTER ({where}), 0)"


def dearest(what: str) -> str:
    """Return what the row with the largest sales value has; among equals that with the smallest key."""
    return f"first({what} {BY_PRICE}) FILTER ({what} IS NOT NULL AND sales_value IS NOT NULL)"


MEASURES: dict[str, str] = {
    "spend": per_household(f"{total('sales_value')} AS value", "transactions"),
    "trips": f"""
        SELECT household_id, baskets, items, first, last, quotient(spend, baskets, 2) AS basket_value,
               quotient(items, baskets, 0) AS items_a_basket, {AS_OF} - last_day AS days_since_last,
               quotient(last_day - first_day, baskets - 1, 0) AS days_between
        FROM ({
        per_household(
            f'''count(DISTINCT basket_id) AS baskets, {total("sales_value")} AS spend,
                {total("quantity", "department IS NULL OR department NOT IN ('FUEL', 'MISCELLANEOUS')")} AS items,
                min(transaction_timestamp) AS first, max(transaction_timestamp) AS last,
                min({DAY}) AS first_day, max({DAY}) AS last_day''',
            ROWS,
        )
    })""",
    "savings": f"""
        SELECT household_id, card, coupons, largest, coupon_rows,
               coalesce(quotient(card + coupons, spend + card + coupons, 2), 0) AS share
        FROM ({
        per_household(
            f'''{total("retail_disc")} AS card, {total("coupon_disc + coupon_match_disc")} AS coupons,
                max(retail_disc + coupon_disc + coupon_match_disc) AS largest, {total("sales_value")} AS spend,
                count(*) FILTER (coupon_disc > 0) AS coupon_rows''',
            "transactions",
        )
    })""",
    "average_item_price": per_household(
        "average(quotient(sales_value, quantity, 2), 8) AS value", ROWS, "department NOT IN ('FUEL', 'MISCELLANEOUS')"
    ),
    "private_label_share": f"""
        SELECT household_id, private, known, coalesce(quotient(private, known, 2), 0) AS share
        FROM ({
        per_household(
            f'''{total("sales_value", "brand = 'Private'")} AS private, {total("sales_value")} AS known''',
            ROWS,
            "brand IS NOT NULL",
        )
    })""",
    "dearest_purchase": per_household(
        f"""max(sales_value) AS dollars, coalesce({dearest("product_category")}, 'unknown') AS category,
            {dearest("transaction_timestamp")} AS day""",
        ROWS,
        "department <> 'FUEL'",
    ),
    "stores": per_household(
        """count(DISTINCT store_id) AS number,
           first(store_id ORDER BY transaction_timestamp, basket_id, product_id) AS first,
           first(store_id ORDER BY transaction_timestamp DESC, basket_id, product_id) AS latest""",
        "transactions",
    ),
    "half_years": f"""
        SELECT household_id, h1, h2, quotient(h2 - h1, h1, 2) AS growth
        FROM ({
        per_household(
            f'''{total("sales_value", f"{DAY} <= DATE '2017-06-30'")} AS h1,
                {total("sales_value", f"{DAY} BETWEEN DATE '2017-07-01' AND DATE '2017-12-31'")} AS h2''',
            "transactions",
        )
    })""",
    "nine_months": f"""
        SELECT household_id, baskets, stores, weeks, spend, private,
               quotient(private, spend, 2) AS private_share, coupons
        FROM ({
        per_household(
            f'''count(DISTINCT basket_id) AS baskets, count(DISTINCT store_id) AS stores,
                count(DISTINCT week) AS weeks, {total("sales_value")} AS spend,
                {total("sales_value", "brand = 'Private'")} AS private,
                count(*) FILTER (coupon_disc > 0) AS coupons''',
            ROWS,
            f"{DAY} <= DATE '2017-09-30'",
        )
    })""",
    "last_quarter": per_household(
        f"{total('sales_value')} AS value",
        "transactions",
        f"{DAY} BETWEEN DATE '2017-10-01' AND DATE '2017-12-31'",
    ),
    "department_spend": f"""
        SELECT household_id, department, sum(sales_value) AS spend, count(DISTINCT basket_id) AS baskets
        FROM {ROWS} GROUP BY ALL""",
    "favourite_department": per_household(
        """coalesce(first(department ORDER BY spend DESC, department), 'none') AS name,
           coalesce(max(spend), 0) AS spend, count(*) FILTER (spend >= 20) AS departments""",
        "measure_department_spend",
        "department NOT IN ('GROCERY', 'FUEL', 'MISCELLANEOUS')",
    ),
    "monthly_spend": f"""
        SELECT household_id, {MONTH} AS month, sum(sales_value) AS spend, count(DISTINCT basket_id) AS baskets
        FROM transactions GROUP BY ALL""",
    "months": per_household(
        """count(month) AS number, first(month ORDER BY spend DESC, month) AS best, max(spend) AS most,
           min(spend) AS least, average(spend, 2) AS average, count(*) FILTER (baskets >= 8) AS busy""",
        "measure_monthly_spend",
    ),
    "campaigns_sent": per_household("count(DISTINCT campaign_id) AS value", "campaigns"),
    "redemptions": per_household(
        """count(coupon_upc) AS coupons, count(DISTINCT campaign_id) AS campaigns, max(redemption_date) AS last_day,
           average(redemption_date - start_date, 0) AS days_to_redeem""",
        REDEEMED,
    ),
    "response_rate": """
        SELECT household_id, quotient(campaigns, value, 0) AS value
        FROM measure_redemptions JOIN measure_campaigns_sent USING (household_id)""",
    "spend_as_a_coupon_user": per_household(
        f"{total('sales_value')} AS value", "transactions", f"household_id IN ({BASIC['coupon_users']})"
    ),
    "monthly_revenue": per_household(
        f"quotient(sum(sales_value) * 30.4375, {AS_OF} - min({DAY}) + 1, 6) AS value", "transactions"
    ),
    "active_lifespan": per_household(f"max({DAY}) - min({DAY}) AS value", "transactions"),
    "revenue": """
        SELECT sum(sales_value) AS revenue, count(DISTINCT basket_id) AS baskets,
               count(DISTINCT household_id) AS households,
               quotient(sum(sales_value), count(DISTINCT basket_id), 2) AS basket_value,
               sum(coupon_disc + coupon_match_disc) AS coupons
        FROM transactions""",
    "department_sales": f"""
        SELECT department, month, revenue, private, coalesce(quotient(private, revenue, 2), 0), households
        FROM (SELECT department, {MONTH} AS month, sum(sales_value) AS revenue,
                     {total("sales_value", "brand = 'Private'")} AS private,
                     count(DISTINCT household_id) AS households
              FROM {ROWS} GROUP BY ALL)""",
    "hours_of_the_week": f"""
        SELECT isodow({LOCAL}) AS weekday, hour({LOCAL}) AS hour, count(DISTINCT basket_id), sum(sales_value)
        FROM transactions GROUP BY ALL""",
    "families_by_quarter": f"""
        SELECT CAST(date_trunc('quarter', {LOCAL}) AS DATE) AS quarter, sum(sales_value),
               {total("sales_value", f"isodow({LOCAL}) IN (6, 7)")}, {dearest("product_category")}
        FROM {ROWS} WHERE household_id IN ({BASIC["families_with_children"]}) GROUP BY ALL""",
    "best_customers_by_department": f"""
        SELECT department, sum(sales_value), count(DISTINCT household_id) FROM {ROWS}
        WHERE household_id IN (SELECT household_id FROM measure_spend WHERE value >= 5000) GROUP BY ALL""",
    "campaigns": f"""
        SELECT campaign_type, campaign_id, count(*), count(DISTINCT household_id),
               average(redemption_date - start_date, 0)
        FROM {REDEEMED} GROUP BY ALL""",
}


def having(measure: str, where: str) -> str:
    """Return the households whose values of a measure satisfy a condition."""
    return f"SELECT household_id FROM measure_{measure} WHERE {where}"


SQL: dict[str, str] = {
    "large_baskets": having("trips", "basket_value >= 50 AND baskets >= 10"),
    "overdue": having("trips", "days_between <= 10 AND days_since_last >= 60"),
    "newcomers_of_autumn": f"""
        SELECT household_id FROM transactions GROUP BY household_id HAVING min({DAY}) >= DATE '2017-09-01'""",
    "bargain_hunters": having("savings", "share >= 0.25 AND coupon_rows >= 5"),
    "private_label_households": f"""
        {having("private_label_share", "share > 0.333333")} INTERSECT ({having("spend", "value >= 200")})""",
    "meat_first": having("favourite_department", "name IN ('MEAT', 'MEAT-PCKGD')"),
    "one_department": having("favourite_department", "departments <= 1"),
    "growing": having("half_years", "(growth >= 0.25 OR growth IS NULL) AND h2 >= 300"),
    "steady_every_month": having("months", "number = 12 AND least >= 100"),
    "december_was_the_best_month": having("months", "best = DATE '2017-12-01'"),
    "deaf_to_campaigns": """
        SELECT household_id FROM households JOIN campaigns USING (household_id)
        WHERE household_id NOT IN (SELECT household_id FROM coupon_redemptions)
        GROUP BY household_id HAVING count(DISTINCT campaign_id) >= 5""",
    "never_sent_a_campaign": "SELECT household_id FROM households ANTI JOIN campaigns USING (household_id)",
    "seafood_above_their_habits": f"""
        SELECT DISTINCT household_id FROM {ROWS} JOIN measure_trips USING (household_id)
        WHERE department IN ('SEAFOOD', 'SEAFOOD-PCKGD') AND sales_value >= 10 AND basket_value < 35""",
}
SQL["worth_a_coupon"] = f"""
    SELECT household_id FROM measure_spend_as_a_coupon_user
    WHERE (value BETWEEN 1000 AND 4000
           OR (household_id IN ({SQL["large_baskets"]}) AND household_id IN ({SQL["never_sent_a_campaign"]})))
      AND household_id NOT IN ({SQL["overdue"]})"""
