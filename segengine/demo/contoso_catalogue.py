"""What Contoso Coffee sells, where its stores are and where its customers live: constants."""

from __future__ import annotations

from typing import Final, NamedTuple


class Place(NamedTuple):
    """A city with the first three digits of its post codes and its weight among the customers."""

    state: str
    city: str
    post_code_start: str
    weight: float


class Product(NamedTuple):
    """A product; `price` in cents, `roast` empty where there is none."""

    name: str
    category: str
    price: int
    roast: str
    decaf: bool


class Store(NamedTuple):
    """A store; `service` moves the satisfaction of the customers whose home store it is."""

    city: str
    opened_on: str
    drive_through: bool
    service: float


PLACES: Final = (
    Place("California", "Los Angeles", "900", 10.0),
    Place("California", "San Francisco", "941", 8.0),
    Place("California", "San Diego", "921", 7.0),
    Place("California", "San Jose", "951", 5.0),
    Place("California", "Sacramento", "958", 4.0),
    Place("California", "Santa Barbara", "931", 2.0),
    Place("California", "Fresno", "937", 2.0),
    Place("Washington", "Seattle", "981", 9.0),
    Place("Washington", "Spokane", "992", 3.0),
    Place("Oregon", "Portland", "972", 8.0),
    Place("Oregon", "Eugene", "974", 3.0),
    Place("Nevada", "Las Vegas", "891", 5.0),
    Place("Nevada", "Reno", "895", 3.0),
    Place("Arizona", "Phoenix", "850", 6.0),
    Place("Texas", "Austin", "787", 5.0),
    Place("Texas", "San Antonio", "782", 4.0),
    Place("New York", "New York", "100", 6.0),
    Place("Illinois", "Chicago", "606", 4.0),
    Place("Massachusetts", "Boston", "021", 3.5),
    Place("New Jersey", "Newark", "071", 2.5),
)

CATEGORIES: Final = (
    "Espresso",
    "Filter coffee",
    "Cold brew",
    "Tea",
    "Pastries",
    "Beans",
    "Machines",
    "Accessories",
)
CATEGORY_WEIGHTS: Final = (30.0, 22.0, 9.0, 6.0, 14.0, 12.0, 0.5, 5.0)

PRODUCTS: Final = (
    Product("Single espresso", "Espresso", 275, "dark", False),
    Product("Double espresso", "Espresso", 345, "dark", False),
    Product("Cappuccino", "Espresso", 465, "medium", False),
    Product("Caffe latte", "Espresso", 495, "medium", False),
    Product("Oat latte", "Espresso", 560, "medium", False),
    Product("Decaf latte", "Espresso", 510, "medium", True),
    Product("Caffe mocha", "Espresso", 575, "dark", False),
    Product("House filter", "Filter coffee", 325, "medium", False),
    Product("Filter of the day", "Filter coffee", 375, "light", False),
    Product("Pour over Ethiopia", "Filter coffee", 525, "light", False),
    Product("Pour over Kenya", "Filter coffee", 550, "light", False),
    Product("Decaf filter", "Filter coffee", 340, "medium", True),
    Product("Cold brew classic", "Cold brew", 475, "dark", False),
    Product("Nitro cold brew", "Cold brew", 545, "dark", False),
    Product("Vanilla cold brew", "Cold brew", 565, "medium", False),
    Product("Cold brew can, pack of 6", "Cold brew", 1890, "medium", False),
    Product("Green tea", "Tea", 325, "", True),
    Product("Chai latte", "Tea", 495, "", False),
    Product("Earl grey", "Tea", 315, "", False),
    Product("Croissant", "Pastries", 395, "", False),
    Product("Blueberry muffin", "Pastries", 425, "", False),
    Product("Banana bread", "Pastries", 445, "", False),
    Product("Bagel with cream cheese", "Pastries", 525, "", False),
    Product("House blend 12 oz", "Beans", 1495, "medium", False),
    Product("House blend 2 lb", "Beans", 3495, "medium", False),
    Product("Espresso blend 12 oz", "Beans", 1595, "Dark", False),
    Product("Espresso blend 2 lb", "Beans", 3695, "Dark", False),
    Product("Ethiopia single origin 12 oz", "Beans", 1895, "light", False),
    Product("Colombia single origin 12 oz", "Beans", 1795, "medium", False),
    Product("Decaf blend 12 oz", "Beans", 1650, "medium", True),
    Product("Espresso machine Uno", "Machines", 29900, "", False),
    Product("Espresso machine Duo", "Machines", 64900, "", False),
    Product("Drip brewer 8 cups", "Machines", 14900, "", False),
    Product("Burr grinder", "Machines", 18900, "", False),
    Product("Travel mug", "Accessories", 2295, "", False),
    Product("Ceramic cup", "Accessories", 1495, "", False),
    Product("Paper filters, 100", "Accessories", 795, "", False),
    Product("Pour over dripper", "Accessories", 2695, "", False),
    Product("Gooseneck kettle", "Accessories", 5995, "", False),
    Product("Milk pitcher", "Accessories", 1895, "", False),
)

STORES: Final = (
    Store("Los Angeles", "2014-03-15", True, 0.2),
    Store("Los Angeles", "2017-09-02", False, -0.1),
    Store("Los Angeles", "2021-05-22", True, 0.0),
    Store("San Francisco", "2012-06-09", False, 0.5),
    Store("San Francisco", "2016-10-01", False, 0.2),
    Store("San Francisco", "2022-04-30", False, -0.8),
    Store("San Diego", "2015-02-28", True, 0.3),
    Store("San Diego", "2020-08-15", True, 0.1),
    Store("San Jose", "2016-05-07", False, -0.2),
    Store("San Jose", "2023-03-18", True, 0.4),
    Store("Sacramento", "2018-04-14", True, 0.0),
    Store("Santa Barbara", "2019-07-06", False, 0.6),
    Store("Fresno", "2021-11-13", True, -0.9),
    Store("Seattle", "2013-01-26", False, 0.4),
    Store("Seattle", "2015-09-19", False, 0.1),
    Store("Seattle", "2022-10-08", True, -0.3),
    Store("Spokane", "2019-03-23", True, 0.0),
    Store("Portland", "2014-08-30", False, 0.5),
    Store("Portland", "2018-11-17", False, -0.1),
    Store("Eugene", "2020-02-08", False, 0.2),
    Store("Las Vegas", "2017-03-11", True, -1.1),
    Store("Las Vegas", "2023-09-30", True, 0.0),
    Store("Reno", "2019-10-19", True, 0.1),
    Store("Phoenix", "2018-01-20", True, -0.4),
    Store("Phoenix", "2024-04-27", True, 0.3),
)

# With the share of the customers and the median yearly income in dollars.
OCCUPATIONS: Final = {
    "Engineer": (0.15, 98_000),
    "Manager": (0.12, 92_000),
    "Nurse": (0.10, 74_000),
    "Teacher": (0.11, 61_000),
    "Sales": (0.14, 58_000),
    "Office worker": (0.16, 54_000),
    "Artist": (0.05, 42_000),
    "Student": (0.10, 19_000),
    "Retired": (0.07, 47_000),
}

REVIEW_TEXTS: Final = (
    ("Stale and bitter, never again", "Waited 20 minutes, drink was COLD", "Arrived broken, no reply"),
    ("Too bitter for me", "Lukewarm and overpriced", "Slow service"),
    ("Okay, nothing special", "Good taste, small cup", "Fine for the price"),
    ("Smooth and well balanced", "Friendly staff, good coffee", "Fast delivery, fresh beans"),
    ("Best cold brew in town", "Excellent, will buy again", "Rich, sweet, perfect crema"),
)
PLANS: Final = ("Beans of the month", "Cold brew club", "Espresso Club", "Office box")
