"""The little package that the gate checks, with the two flaws the gate is meant to find."""

from __future__ import annotations

from pathlib import Path

__all__ = ("write_project",)

_PRICES = '''"""What things cost, in cents."""


def with_tax(cents, percent):
    """Return a price with its tax.

    >>> with_tax(1000, 19)
    1190
    """
    return cents * (100 + percent) // 100


def discounted(cents, percent):
    """Return a price less a discount, in whole cents."""
    return cents * (100 - percent) / 100
'''

_CART = '''"""What somebody is about to buy."""

import json

from shop.prices import with_tax


def total(prices, percent=19):
    """Return what all of it costs."""
    return sum(with_tax(price, percent) for price in prices)
'''

_ORDERS = '''"""What somebody has bought."""

from shop.cart import total

BOOK = []


def place(prices):
    """Enter an order and return its number."""
    BOOK.append(total(prices))
    return len(BOOK)
'''

_TESTS = '''"""What the shop promises."""

import unittest

from shop import cart, orders, prices


class ShopTest(unittest.TestCase):
    def test_tax_is_added(self):
        self.assertEqual(prices.with_tax(100, 19), 119)

    def test_empty_cart_costs_nothing(self):
        self.assertEqual(cart.total([]), 0)

    def test_orders_are_numbered(self):
        self.assertEqual(orders.place([100]), 1)

    def test_discount_is_in_whole_cents(self):
        self.assertEqual(prices.discounted(999, 10), 899)

    @unittest.skip("no card reader here")
    def test_card_reader_answers(self):
        raise NotImplementedError
'''

_LINT = '''"""Finds imports that nobody uses; exits 1 if there are any."""

import ast
import pathlib
import sys

findings = []
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    tree = ast.parse(path.read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                if name not in used:
                    findings.append(f"{path}:{node.lineno}: {name} is imported and never used")
print("\\n".join(findings))
sys.exit(1 if findings else 0)
'''

_RUN_TESTS = '''"""Runs the tests; each is an item phase of whoever started us, found by the environment."""

import sys
import unittest

import otel_workflow as ow


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.scope = ow.phase(test.id().rpartition(".")[2], detail="item")
        self.phase = self.scope.__enter__()

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.phase.fail(str(err[1]), error_type=err[0].__name__)

    addError = addFailure

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.phase.skip(reason)

    def stopTest(self, test):
        self.scope.__exit__(None, None, None)
        super().stopTest(test)


result = Result()
unittest.defaultTestLoader.loadTestsFromName("test_shop").run(result)
print(len(result.failures), result.testsRun)
sys.exit(0 if result.wasSuccessful() else 1)
'''

_WORKER = '''"""Places orders one after another, in a phase; it says when it is in the middle of them."""

import time

import otel_workflow as ow
from shop.orders import place

ORDERS, MIDDLE = 40, 8

with ow.phase("integration", type="test") as phase:
    for number in range(1, ORDERS + 1):
        place([100 * number])
        phase.progress(number, ORDERS, "orders placed")
        time.sleep(0.1)
        if number == MIDDLE:
            print("in the middle", flush=True)
'''


def write_project(directory: Path) -> None:
    """Write the package, its tests, and the gate's tools into an empty directory."""
    files = {
        "shop/__init__.py": '"""A very small shop."""\n',
        "shop/prices.py": _PRICES,
        "shop/cart.py": _CART,
        "shop/orders.py": _ORDERS,
        "test_shop.py": _TESTS,
        "lint.py": _LINT,
        "run_tests.py": _RUN_TESTS,
        "worker.py": _WORKER,
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
