"""What a manufacturer's coupon says in its own number.

A U.P.C. coupon (1974 to 2011) is 5, the manufacturer (5 digits), the family of products (3), the
value code (2), and a check digit, which Complete Journey leaves out. The codes are the Uniform Code
Council's; on the redeemed coupons of Complete Journey they give, to the cent, what the till took
off (97 % of those of the commonest code, the rest being doubled or shared among lines).
"""

_AMOUNTS = {
    1: "04 1.35, 20 .20, 25 .25, 30 .30, 35 .35, 40 .40, 45 .45, 50 .50, 55 .55, 60 .60, 65 .65,"
    "69 .69, 70 .70, 74 5.00, 75 .75, 76 1.00, 77 1.25, 78 1.50, 80 .80, 81 1.75, 82 2.00,"
    "84 2.50, 87 3.00, 90 .90, 93 4.00",
    2: "08 3.00, 22 .40, 24 .50, 28 .55, 31 .60, 32 .75, 33 1.00, 34 1.25, 36 1.50, 51 2.00,"
    "57 .25, 58 .30, 98 .65",
    3: "07 1.50, 09 2.00, 41 .50, 42 1.00",
    4: "13 1.00",
}
"""by units to buy: code and money off. These are the codes that occur in Complete Journey."""
_FREE = {"01": 1, "14": 2, "16": 3}
"""code and units to take, the last of which is free"""

UNITS = {code: float(units) for code, units in _FREE.items()}
OFF: dict[str, float] = {}
for _units, _codes in _AMOUNTS.items():
    for _code, _money in (pair.split() for pair in _codes.split(",")):
        OFF[_code], UNITS[_code] = float(_money), float(_units)
FREE = frozenset(_FREE)
