"""What each segment of the Harbor Supply demo means, written by hand as DuckDB SQL over tables of the same names.

Written from the definitions' meaning, never made by the code under test. A query returns `account_id` for segments of
accounts (`ACCOUNTS`) and `contact_id` for those of contacts. Missing is NULL or empty text; days are those of
Amsterdam. A contact without an account is in no segment of accounts, and no rule judged on an account holds for it.
"""

from __future__ import annotations

DAY = "CAST(ordered_at AT TIME ZONE 'Europe/Amsterdam' AS DATE)"

ACCOUNTS: dict[str, str] = {
    "all_accounts": "SELECT account_id FROM accounts",
    "key_accounts": """
        SELECT account_id FROM accounts
        WHERE tier = 'Gold' OR (employees >= 500 AND annual_revenue >= 50000000)""",
    "dormant_accounts": f"""
        SELECT account_id FROM accounts SEMI JOIN orders USING (account_id)
        WHERE account_id NOT IN (SELECT account_id FROM orders
                                 WHERE {DAY} >= DATE '2026-01-01' AND account_id IS NOT NULL)""",
    "tool_buyers": """
        SELECT account_id FROM accounts AS a
        WHERE (SELECT count(*) FROM orders AS o JOIN products USING (product_id)
               WHERE o.account_id = a.account_id AND category = 'Tools') >= 5""",
    "open_deals": """
        SELECT account_id FROM accounts SEMI JOIN (
            FROM opportunities WHERE stage IN ('Proposal', 'Negotiation') AND amount >= 20000
        ) AS deals USING (account_id)""",
    "unhappy_accounts": """
        SELECT account_id FROM accounts JOIN contacts USING (account_id) JOIN tickets USING (contact_id)
        WHERE rating <= 2 GROUP BY account_id HAVING count(*) >= 2""",
    "no_decision_maker_known": """
        SELECT account_id FROM accounts
        ANTI JOIN (FROM contacts WHERE role = 'Decision maker') AS deciders USING (account_id)""",
    "subsidiaries_of_gold_accounts": """
        SELECT a.account_id FROM accounts AS a JOIN accounts AS parent ON parent.account_id = a.parent_id
        WHERE parent.tier = 'Gold' AND (a.tier <> 'Gold' OR a.tier IS NULL)""",
}
COMPLAINTS = "(FROM tickets WHERE rating <= 2 AND priority = 'high')"
CONTACTS: dict[str, str] = {
    "all_contacts": "SELECT contact_id FROM contacts",
    "decision_makers_in_big_accounts": """
        SELECT contact_id FROM contacts JOIN accounts USING (account_id)
        WHERE role = 'Decision maker' AND employees >= 200
          AND (tier = 'Gold' OR (employees >= 500 AND annual_revenue >= 50000000))""",
    "without_an_account": "SELECT contact_id FROM contacts ANTI JOIN accounts USING (account_id)",
    "buyers_of_regulars": f"""
        SELECT contact_id FROM contacts SEMI JOIN (
            SELECT account_id FROM accounts JOIN orders USING (account_id) WHERE {DAY} >= DATE '2026-01-01'
            GROUP BY account_id HAVING count(*) >= 15
        ) AS regulars USING (account_id)
        WHERE role IN ('Buyer', 'Office manager')""",
    "never_bought_electronics": """
        SELECT contact_id FROM contacts SEMI JOIN accounts USING (account_id)
        WHERE account_id NOT IN (SELECT account_id FROM orders JOIN products USING (product_id)
                                 WHERE category = 'Electronics' AND account_id IS NOT NULL)""",
    "small_orders_only": f"""
        SELECT contact_id FROM contacts SEMI JOIN (
            SELECT account_id FROM accounts JOIN orders USING (account_id) WHERE {DAY} >= DATE '2025-07-01'
            GROUP BY account_id HAVING max(total) < 500
        ) AS small USING (account_id)""",
    "complained_themselves": f"SELECT contact_id FROM contacts SEMI JOIN {COMPLAINTS} AS t USING (contact_id)",
    "led_a_won_deal": """
        SELECT contact_id FROM contacts SEMI JOIN (FROM opportunities WHERE stage = 'Won') AS d USING (contact_id)""",
    "at_an_account_with_a_won_deal": """
        SELECT contact_id FROM contacts SEMI JOIN accounts USING (account_id)
        SEMI JOIN (FROM opportunities WHERE stage = 'Won') AS d USING (account_id)""",
    "readers_to_win_back": f"""
        SELECT contact_id FROM contacts
        SEMI JOIN (FROM mailings WHERE opened AND sent_on >= DATE '2026-01-01') AS m USING (contact_id)
        WHERE (account_id IN ({ACCOUNTS["dormant_accounts"]}) OR account_id IN ({ACCOUNTS["unhappy_accounts"]}))
          AND (newsletter OR newsletter IS NULL)""",
    "newsletter_for_everybody_else": """
        SELECT contact_id FROM contacts LEFT JOIN accounts USING (account_id)
        WHERE newsletter AND email IS NOT NULL AND email <> ''
          AND NOT coalesce(tier = 'Gold', false)
          AND NOT (coalesce(employees >= 500, false) AND coalesce(annual_revenue >= 50000000, false))""",
}
CONTACTS["colleagues_of_complainers"] = f"""
    SELECT contact_id FROM contacts SEMI JOIN (
        SELECT account_id FROM accounts JOIN contacts USING (account_id) JOIN {COMPLAINTS} AS t USING (contact_id)
    ) AS complaining USING (account_id)
    EXCEPT ({CONTACTS["complained_themselves"]})"""
CONTACTS["sales_talk_of_the_week"] = f"""
    SELECT contact_id FROM contacts
    WHERE (contact_id IN ({CONTACTS["decision_makers_in_big_accounts"]})
           OR contact_id IN ({CONTACTS["led_a_won_deal"]}))
      AND account_id IN ({ACCOUNTS["open_deals"]})
      AND account_id NOT IN (SELECT account_id FROM orders JOIN products USING (product_id)
                             WHERE category = 'Tools' AND {DAY} > DATE '2026-05-31' AND account_id IS NOT NULL)"""
SQL = ACCOUNTS | CONTACTS
