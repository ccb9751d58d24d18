"""What each measure of the Harbor Supply demo means, by hand, as DuckDB SQL; and the segments that use them.

As in harbor_supply_sql.py, with the macros of exact_sql.py, as of 1 July 2026 in Amsterdam. A query returns ids,
dimensions, values, in the measure's order; it is a table `measure_ID` for those after it and for the segments.
"""

from __future__ import annotations

import runpy
from pathlib import Path

DAY: str = runpy.run_path(str(Path(__file__).parent / "harbor_supply_sql.py"))["DAY"]
AS_OF = "DATE '2026-07-01'"


def per_account(values: str, table: str, where: str = "true") -> str:
    """Return the values of each account over its rows that satisfy `where`; accounts without any have NULLs."""
    return f"""
        SELECT account_id, {values} FROM accounts LEFT JOIN (SELECT * FROM {table} WHERE {where}) AS r
        USING (account_id) GROUP BY account_id"""


ORDERS = "orders LEFT JOIN products USING (product_id)"
MEASURES: dict[str, str] = {
    "revenue": per_account("coalesce(sum(total), 0) AS value", "orders"),
    "orders_in_the_last_year": per_account("count(order_id) AS value", "orders", f"{DAY} >= DATE '2025-07-01'"),
    "order_rhythm": f"""
        SELECT account_id, orders, first, last, quotient(last_day - first_day, orders - 1, 0) AS days_between,
               {AS_OF} - last_day AS days_since_last, latest_category
        FROM ({
        per_account(
            f'''count(order_id) AS orders, min(ordered_at) AS first, max(ordered_at) AS last,
                min({DAY}) AS first_day, max({DAY}) AS last_day,
                coalesce(first(category ORDER BY ordered_at DESC, order_id) FILTER (category IS NOT NULL), 'unknown')
                AS latest_category''',
            ORDERS,
        )
    })""",
    "category_revenue": f"""
        SELECT account_id, category, CAST(date_trunc('quarter', {DAY}) AS DATE) AS quarter, sum(total) AS revenue,
               sum(quantity) AS pieces
        FROM accounts JOIN (FROM {ORDERS}) AS r USING (account_id) GROUP BY ALL""",
    "main_category": per_account(
        """first(category ORDER BY revenue DESC, category, quarter) AS category,
           first(quarter ORDER BY revenue DESC, category, quarter) AS quarter, coalesce(max(revenue), 0) AS revenue""",
        "measure_category_revenue",
        "category IS NOT NULL",
    ),
    "rating": """
        SELECT contact_id, average(rating, 0) AS average, count(ticket_id) AS tickets,
               count(ticket_id) FILTER (rating IS NULL) AS unrated
        FROM contacts LEFT JOIN tickets USING (contact_id) GROUP BY contact_id""",
    "pipeline": """
        SELECT contact_id, open, quotient(open, value, 2) AS of_revenue, coalesce(category, 'none') AS main_category,
               CAST(first AT TIME ZONE 'Europe/Amsterdam' AS DATE) - known_since AS days_before_first_order
        FROM (SELECT contact_id, coalesce(sum(amount), 0) AS open
              FROM contacts LEFT JOIN (FROM opportunities WHERE stage IN ('Proposal', 'Negotiation')) AS o
              USING (contact_id) GROUP BY contact_id)
        JOIN contacts USING (contact_id) LEFT JOIN measure_revenue USING (account_id)
        LEFT JOIN measure_main_category USING (account_id) LEFT JOIN measure_order_rhythm USING (account_id)""",
    "sales_by_industry": f"""
        SELECT industry, year, revenue, accounts, gold, quotient(gold, revenue, 2)
        FROM (SELECT industry, CAST(date_trunc('year', {DAY}) AS DATE) AS year, sum(total) AS revenue,
                     count(DISTINCT account_id) AS accounts, coalesce(sum(total) FILTER (tier = 'Gold'), 0) AS gold
              FROM orders LEFT JOIN accounts USING (account_id) GROUP BY ALL)""",
}
ACCOUNTS: dict[str, str] = {
    "frequent_and_large": """
        SELECT account_id FROM measure_order_rhythm JOIN measure_revenue USING (account_id)
        WHERE days_between <= 10 AND value >= 50000""",
    "slowing_down": """
        SELECT account_id FROM measure_order_rhythm JOIN measure_orders_in_the_last_year USING (account_id)
        WHERE days_between <= 21 AND days_since_last >= 60 AND value >= 1""",
}
CONTACTS: dict[str, str] = {
    "deciders_worth_a_visit": """
        SELECT contact_id FROM contacts JOIN measure_revenue USING (account_id)
        WHERE role = 'Decision maker' AND value >= 30000""",
    "much_at_stake": """
        SELECT contact_id FROM contacts JOIN measure_rating USING (contact_id) JOIN measure_revenue USING (account_id)
        WHERE average < 2.5 AND value >= 25000""",
    "tool_people_going_quiet": f"""
        SELECT contact_id FROM contacts SEMI JOIN (FROM mailings WHERE opened) AS m USING (contact_id)
        JOIN measure_main_category USING (account_id)
        WHERE category = 'Tools' AND account_id IN ({ACCOUNTS["slowing_down"]})""",
}
SQL = ACCOUNTS | CONTACTS
