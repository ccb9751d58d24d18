"""What each segment of the Complete Journey demo means, by hand, as DuckDB SQL over tables of the same names.

Written from the definitions' meaning, never made by the code under test. A query returns `household_id`.
The data have no empty text and no NaN, so missing is NULL; days are those of New York. What is relative is as of the
last instant of 31 January 2018.
"""

from __future__ import annotations

LOCAL = "(transaction_timestamp AT TIME ZONE 'America/New_York')"
DAY = f"CAST({LOCAL} AS DATE)"
ROWS = "transactions AS t LEFT JOIN products USING (product_id)"


def with_rows(table: str, where: str, having: str = "count(*) >= 1") -> str:
    """Return the households whose rows that satisfy `where` number as `having` says (1 or more of them)."""
    return f"""
        SELECT household_id FROM households JOIN (FROM {table}) USING (household_id)
        WHERE {where} GROUP BY household_id HAVING {having}"""


def without_rows(table: str, where: str) -> str:
    """Return the households without a row that satisfies `where`."""
    return f"SELECT household_id FROM households EXCEPT (SELECT household_id FROM {table} WHERE {where})"


SENT = "campaigns LEFT JOIN campaign_descriptions USING (campaign_id)"
REDEEMED = "coupon_redemptions LEFT JOIN campaign_descriptions USING (campaign_id)"

SQL: dict[str, str] = {
    "all_households": "SELECT household_id FROM households",
    "demographics_unknown": "SELECT household_id FROM households WHERE age IS NULL",
    "families_with_children": """
        SELECT household_id FROM households WHERE household_comp IN ('1 Adult Kids', '2 Adults Kids')""",
    "homeowners": "SELECT household_id FROM households WHERE home_ownership ILIKE '%homeowner%'",
    "income_of_75k_and_more": """
        SELECT household_id FROM households
        WHERE income IN ('75-99K', '100-124K', '125-149K', '150-174K', '175-199K', '200-249K', '250K+')""",
    "not_known_to_be_seniors": "SELECT household_id FROM households WHERE age IS DISTINCT FROM '65+'",
    "small_households_without_children": """
        SELECT household_id FROM households
        WHERE household_size IN ('1', '2') AND lower(household_comp) LIKE '%no kids'
          AND (marital_status = 'Married' OR marital_status IS NULL)
          AND NOT (age = '19-24' AND income = 'Under 15K')""",
    "organic_shoppers": with_rows(
        ROWS, "(product_category ILIKE '%organic%' OR product_type ILIKE 'organic%')", "count(*) >= 5"
    ),
    "tried_seafood_once": with_rows(ROWS, "department IN ('SEAFOOD', 'SEAFOOD-PCKGD')", "count(*) = 1"),
    "private_label_pizza_only": with_rows(
        ROWS, "product_category = 'FROZEN PIZZA'", "count(*) = count(*) FILTER (WHERE brand = 'Private')"
    ),
    "bought_no_meat": without_rows(ROWS, "starts_with(department, 'MEAT')"),
    "few_private_labels": with_rows(
        ROWS,
        "department = 'GROCERY'",
        "count(*) >= 50 AND count(*) FILTER (WHERE brand = 'Private') <= 10",
    ),
    "wine_and_spirits_fans": with_rows(
        ROWS, r"regexp_matches(product_category, '(?i)\b(wine|liquor)\b') AND sales_value > 5", "count(*) >= 3"
    ),
    "unknown_products": with_rows("transactions ANTI JOIN products USING (product_id)", "true"),
    "only_groceries_and_drugstore_goods": with_rows(
        ROWS,
        "true",
        "count(*) = count(*) FILTER (WHERE department IN ('GROCERY', 'DRUG GM') OR department IS NULL)",
    ),
    "bulk_buyers": with_rows(
        ROWS,
        "quantity >= 10 AND department NOT IN ('FUEL', 'MISCELLANEOUS') AND sales_value BETWEEN 5 AND 200",
    ),
    "large_packs_of_two_or_five_pounds": with_rows(
        ROWS, "package_size IN ('2 LB', '5 LB') AND brand <> 'Private' AND quantity IN (2, 3, 4)"
    ),
    "christmas_eve_shoppers": with_rows("transactions", f"{DAY} = DATE '2017-12-24'"),
    "last_evening_of_the_year": with_rows(
        "transactions",
        f"{LOCAL} >= TIMESTAMP '2017-12-31 18:00:00' AND {LOCAL} < TIMESTAMP '2018-01-01 00:00:00'",
    ),
    "halloween_candy": with_rows(
        ROWS,
        f"starts_with(product_category, 'CANDY') AND {DAY} BETWEEN DATE '2017-10-18' AND DATE '2017-10-31'",
    ),
    "lapsed_in_autumn": with_rows(
        "transactions", "true", f"min({DAY}) < DATE '2017-10-01' AND max({DAY}) <= DATE '2017-10-15'"
    ),
    "new_in_the_second_half": without_rows("transactions", f"{DAY} <= DATE '2017-06-30'"),
    "small_baskets_in_december": with_rows(
        "transactions", f"{DAY} >= DATE '2017-12-01'", "count(*) = count(*) FILTER (WHERE sales_value < 6)"
    ),
    "coupon_users": with_rows("coupon_redemptions", "coupon_upc IS NOT NULL"),
    "sent_type_a_without_redeeming": f"""
        {with_rows(SENT, "campaign_type = 'Type A'")}
        EXCEPT ({with_rows(REDEEMED, "campaign_type = 'Type A'")})""",
    "redeemed_in_spring_campaigns": with_rows(
        REDEEMED,
        """redemption_date >= DATE '2017-03-01' AND redemption_date < DATE '2017-06-01'
           AND start_date > DATE '2017-02-28' AND campaign_type <> 'Type A'""",
    ),
    "sent_seven_campaigns_or_more": with_rows(SENT, "end_date <= DATE '2018-02-28'", "count(*) >= 7"),
    "discount_seekers": f"""
        {with_rows("transactions", "retail_disc >= 2", "count(*) >= 10")}
        UNION {
        with_rows(
            "transactions",
            "coupon_disc > 0 AND coupon_match_disc > 0 AND coupon_match_disc <= 1",
            "count(*) >= 3",
        )
    }""",
}
SQL["families_with_babies"] = f"""
    SELECT household_id FROM households
    WHERE (household_comp IN ('1 Adult Kids', '2 Adults Kids') OR age IS NULL)
      AND household_id IN ({
    with_rows(ROWS, "regexp_matches(product_category, 'BABY FOOD|DIAPERS|INFANT FORMULA')", "count(*) >= 2")
})
      AND household_id NOT IN ({SQL["discount_seekers"]})"""
SQL["upmarket_evening"] = f"""
    SELECT household_id FROM households
    WHERE (household_id IN ({SQL["income_of_75k_and_more"]})
           OR (age IS NULL AND household_id NOT IN ({SQL["only_groceries_and_drugstore_goods"]})))
      AND (household_id IN ({SQL["wine_and_spirits_fans"]})
           OR household_id IN ({with_rows(ROWS, "lower(department) IN ('floral', 'seafood')", "count(*) >= 2")}))
      AND household_id NOT IN ({with_rows(ROWS, "product_category = 'CIGARETTES'")})
      AND household_id NOT IN ({SQL["sent_seven_campaigns_or_more"]})"""
SQL["win_back_with_a_coupon"] = f"""
    SELECT household_id FROM households
    WHERE household_id IN ({SQL["lapsed_in_autumn"]})
      AND (household_id IN (SELECT household_id FROM coupon_redemptions)
           OR household_id NOT IN (SELECT household_id FROM campaigns))"""

# Habits. `isodow` counts from Monday, 1.
HOUR, WEEKDAY, MONTH = (f"extract({part} FROM {LOCAL})" for part in ("hour", "isodow", "month"))

SQL |= {
    "weekend_stock_up": with_rows("transactions", f"{WEEKDAY} IN (6, 7)", "count(*) >= 100"),
    "early_birds": with_rows("transactions", f"{HOUR} < 8", "count(*) >= 5"),
    "only_by_day": with_rows("transactions", "true", f"bool_and({HOUR} >= 6 AND {HOUR} < 22)"),
    "friday_wine": with_rows(ROWS, rf"{WEEKDAY} = 5 AND {HOUR} >= 17 AND regexp_matches(product_category, '\bWINE\b')"),
    "summer_ice_cream": with_rows(
        ROWS, f"{MONTH} IN (6, 7, 8) AND starts_with(product_category, 'ICE CREAM')", "count(*) >= 3"
    ),
    "middle_of_the_month": with_rows(
        "transactions", f"{DAY} >= DATE '2017-10-31'", f"bool_and(extract(day FROM {LOCAL}) BETWEEN 10 AND 20)"
    ),
    "big_spenders": with_rows("transactions", "true", "sum(sales_value) >= 5000"),
    "fine_tastes": with_rows(
        ROWS,
        "department NOT IN ('FUEL', 'MISCELLANEOUS')",
        "sum(sales_value) > 4.5 * count(sales_value) AND count(DISTINCT product_id) >= 30",
    ),
    "loyal_to_one_store": with_rows("transactions", "true", "count(DISTINCT store_id) = 1 AND sum(sales_value) >= 500"),
    "saved_by_the_card": with_rows("transactions", "true", "sum(retail_disc) >= 500 AND max(retail_disc) <= 20"),
    "recently_active": with_rows("transactions", "true", f"max({DAY}) >= DATE '2017-12-17'"),
    "coupon_anniversary": with_rows(
        "coupon_redemptions",
        # 31 January to 1 April, of years before 2018
        "redemption_date < DATE '2018-01-01' AND strftime(redemption_date, '%m%d') BETWEEN '0131' AND '0401'",
    ),
    "sent_what_others_redeemed_in_november": """
        SELECT household_id FROM households JOIN campaigns USING (household_id)
        WHERE campaign_id IN (
            SELECT campaign_id FROM coupon_redemptions JOIN campaign_descriptions USING (campaign_id)
            WHERE month(redemption_date) = 11 AND campaign_type IN ('Type A', 'Type B'))""",
    "families_who_buy_for_the_weekend": f"""
        SELECT household_id FROM ({SQL["families_with_children"]}) JOIN transactions USING (household_id)
        WHERE {WEEKDAY} = 5 AND {HOUR} >= 15 GROUP BY household_id HAVING count(DISTINCT basket_id) >= 3""",
}
SQL["valuable_and_gone"] = f"""
    ({SQL["big_spenders"]} EXCEPT ({SQL["recently_active"]}))
    UNION (SELECT household_id FROM households WHERE household_comp ILIKE '%no kids%' EXCEPT
           (SELECT household_id FROM transactions
            WHERE transaction_timestamp >= TIMESTAMPTZ '2018-02-01 04:59:59.999999+00' - INTERVAL 2160 HOUR))"""
