"""Exact arithmetic for hand-written DuckDB SQL: its own quotients and averages are doubles.

Quotients and averages of decimals are rounded half to even, six digits after the point beyond their operands'.
"""

from __future__ import annotations

MACROS = """
    -- ten to the power of k
    CREATE MACRO ten(k) AS CAST('1' || repeat('0', k) AS HUGEINT);
    -- n / d as the nearest whole number, ties to even; NULL for d = 0
    CREATE MACRO half_even(n, d) AS
        sign(n) * sign(d) * (abs(n) // nullif(abs(d), 0) + CASE
            WHEN 2 * (abs(n) % nullif(abs(d), 0)) > abs(d) THEN 1
            WHEN 2 * (abs(n) % nullif(abs(d), 0)) = abs(d) THEN (abs(n) // nullif(abs(d), 0)) % 2
            ELSE 0 END);
    -- a decimal with s digits after the point as a whole number, and back
    CREATE MACRO unscaled(x, s) AS CAST(x * CAST(ten(s) AS DECIMAL(38, 0)) AS HUGEINT);
    CREATE MACRO scaled(n, s) AS
        CAST(n * ten(20 - s) AS DECIMAL(38, 0)) * CAST('0.00000000000000000001' AS DECIMAL(38, 20));
    -- a / b of decimals with up to s digits, and the average of such
    CREATE MACRO quotient(a, b, s) AS scaled(half_even(unscaled(a, s) * ten(s + 6), unscaled(b, s)), s + 6);
    CREATE MACRO average(x, s) AS scaled(half_even(sum(unscaled(x, s)) * ten(6), count(x)), s + 6)
"""
