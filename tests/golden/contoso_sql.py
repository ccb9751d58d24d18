"""What each segment of the Contoso demo means, written by hand as DuckDB SQL over tables of the same names.

Written from the definitions' meaning, never made by the code under test. A query returns `customer_id`.
Missing is NULL, NaN or empty text; days are those of Los Angeles; text without ignore_case is compared as is.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from deltalake import DeltaTable

DAY = "CAST(purchased_at AT TIME ZONE 'America/Los_Angeles' AS DATE)"


def connect(data: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection in which every Delta table in the folder is a table."""
    connection = duckdb.connect()
    for folder in sorted(data.iterdir()):
        connection.register(folder.name, DeltaTable(str(folder)).to_pyarrow_table())
    return connection


SQL: dict[str, str] = {
    "everyone": "SELECT customer_id FROM customers",
    "customers_from_california": "SELECT customer_id FROM customers WHERE state = 'California'",
    "millennials": """
        SELECT customer_id FROM customers
        WHERE date_of_birth BETWEEN DATE '1981-01-01' AND DATE '1996-12-31'""",
    "no_email": "SELECT customer_id FROM customers WHERE email IS NULL OR email = ''",
    "newcomers_to_write_to": """
        SELECT customer_id FROM customers AS c
        WHERE email_subscriber AND email LIKE '%@example.com'
          AND customer_since > DATE '2026-02-28' AND customer_since <= DATE '2026-06-30'
          AND (occupation <> 'Retired' OR occupation IS NULL OR occupation = '')
          AND (SELECT count(*) FROM purchases AS p
               WHERE p.customer_id = c.customer_id AND channel IN ('web', 'store')) = 1""",
    "cold_brew_summer_buyers_2026": f"""
        SELECT customer_id FROM customers SEMI JOIN (
            SELECT customer_id FROM purchases JOIN products USING (product_id)
            WHERE category = 'Cold brew' AND {DAY} >= DATE '2026-06-01' AND {DAY} < DATE '2026-09-01'
        ) AS hits USING (customer_id)""",
    "web_only": """
        SELECT customer_id FROM customers JOIN purchases USING (customer_id)
        GROUP BY customer_id HAVING count(*) = count(*) FILTER (WHERE channel = 'web')""",
    "never_bought_on_the_web": """
        SELECT customer_id FROM customers AS c
        WHERE NOT EXISTS (FROM purchases AS p WHERE p.customer_id = c.customer_id AND channel = 'web')""",
    "regulars_of_2026": f"""
        SELECT customer_id FROM customers JOIN purchases USING (customer_id)
        WHERE {DAY} >= DATE '2026-01-01' GROUP BY customer_id HAVING count(*) >= 12""",
    "lapsed": f"""
        SELECT customer_id FROM customers AS c
        WHERE EXISTS (FROM purchases AS p WHERE p.customer_id = c.customer_id AND {DAY} < DATE '2026-01-01')
          AND NOT EXISTS (FROM purchases AS p WHERE p.customer_id = c.customer_id AND {DAY} > DATE '2026-03-01')""",
    "coffee_day_guests": f"""
        SELECT customer_id FROM customers SEMI JOIN (
            SELECT customer_id FROM purchases
            WHERE {DAY} = DATE '2025-10-01' AND total_price BETWEEN 5 AND 15 AND channel <> 'web' AND channel <> ''
        ) AS hits USING (customer_id)""",
    "unhappy_reviewers": r"""
        SELECT customer_id FROM customers SEMI JOIN (
            SELECT author_id AS customer_id FROM reviews
            WHERE stars <= 2 AND regexp_matches(text, '(?i)\b(cold|bitter|broken)\b')
        ) AS hits USING (customer_id)""",
    "machine_prospects": """
        SELECT customer_id FROM customers AS c
        WHERE (SELECT count(*) FROM purchases AS p JOIN products USING (product_id)
               WHERE p.customer_id = c.customer_id AND category = 'Beans' AND lower(roast) = 'dark') >= 3
          AND NOT EXISTS (FROM purchases AS p JOIN products USING (product_id)
                          WHERE p.customer_id = c.customer_id AND category = 'Machines')
          AND (income > 90000 OR occupation IN ('Engineer', 'Manager')
               OR (customer_satisfaction >= 4 AND NOT isnan(customer_satisfaction)
                   AND loyalty_tier <> 'Low' AND loyalty_tier <> ''))""",
    "friends_of_the_san_stores": """
        SELECT customer_id FROM customers AS c LEFT JOIN stores AS home ON home.store_id = c.home_store_id
        WHERE (SELECT count(*) FROM purchases AS p JOIN stores AS s USING (store_id)
               WHERE p.customer_id = c.customer_id AND lower(s.city) LIKE 'san%') >= 2
          AND (c.state IN ('Nevada', 'Arizona') OR home.drive_through)
          AND coalesce(c.post_code, '') NOT LIKE '9411%'""",
    "quiet_club_members": f"""
        SELECT customer_id FROM customers AS c
        WHERE EXISTS (FROM memberships AS m WHERE m.customer_id = c.customer_id
                      AND lower(plan) LIKE '%club%' AND left_on IS NULL)
          AND (SELECT count(*) FROM purchases AS p
               WHERE p.customer_id = c.customer_id AND {DAY} >= DATE '2026-04-01') <= 3
          AND NOT EXISTS (FROM points AS b WHERE b.customer_id = c.customer_id AND redeemed_points > 0)""",
}
SQL["moved_to_the_web"] = f"""
    SELECT customer_id FROM customers JOIN purchases USING (customer_id) WHERE {DAY} >= DATE '2026-01-01'
    GROUP BY customer_id HAVING count(*) = count(*) FILTER (WHERE channel = 'web')
    EXCEPT ({SQL["web_only"]})"""
SQL["valuable_and_at_risk"] = f"""
    SELECT customer_id FROM customers LEFT JOIN churn USING (customer_id)
    WHERE loyalty_tier IN ('High', 'Medium') AND score >= 0.6::DOUBLE AND NOT isnan(score)
      AND (customer_satisfaction < 3.5 OR customer_satisfaction IS NULL OR isnan(customer_satisfaction))
      AND reward_points > 100
      AND customer_id NOT IN ({SQL["lapsed"]})
      AND (state = 'California' OR date_of_birth BETWEEN DATE '1981-01-01' AND DATE '1996-12-31'
           OR NOT email_subscriber)"""
