import re
from fractions import Fraction

from engine.datagen.draw import Draw
from engine.datagen.dumb_finance import document, money

ITEMS = [document(Draw(6, index)) for index in range(600)]
MONEY = r"\$([\d,]+\.\d\d)"


def cents(text):
    return int(Fraction(text.replace(",", "")) * 100)


def of(kind):
    found = [item for item in ITEMS if item.startswith(kind)]
    assert len(found) > 100
    return found


def test_a_ticker_is_made_of_its_companys_letters():
    for item in of("NEWS") + of("LEDGER"):
        match = re.match(r"\w+: (\w\w)\w* (\w\w)\w* \((\w+)\)", item)
        assert match is not None
        assert (match[1] + match[2]).upper() == match[3]


def test_prices_move_by_the_percentage_of_the_headline():
    pattern = (
        rf"NEWS: .* (up|down) (\d+)%\nShares of .* (rose|fell) (\d+)% on \w+\.\n"
        rf"They went from {MONEY} to {MONEY} after .*\.\n"
    )
    for item in of("NEWS"):
        match = re.match(pattern, item)
        assert match is not None
        assert {"up": "rose", "down": "fell"}[match[1]] == match[3]
        assert match[2] == match[4]
        percent = int(match[2]) * (1 if match[1] == "up" else -1)
        before, after = cents(match[5]), cents(match[6])
        assert after == Fraction(before * (100 + percent), 100)
        assert after > 0


def test_ledgers_balance():
    line = re.compile(
        rf"(buy|sell) (\w+) (\d+) @ {MONEY} = {MONEY} cash {MONEY} shares (\d+)"
    )
    refused = re.compile(rf"idea (\w+) (\d+) @ {MONEY} refused, no cash")
    trades = 0
    for item in of("LEDGER"):
        lines = item.splitlines()
        opened = re.fullmatch(rf"open cash {MONEY} shares 0", lines[1])
        assert opened is not None
        cash, shares, price = cents(opened[1]), 0, 0
        for text in lines[2:-1]:
            if match := refused.fullmatch(text):
                price = cents(match[3])
                assert int(match[2]) * price > cash
                continue
            match = line.fullmatch(text)
            assert match is not None, text
            count, price = int(match[3]), cents(match[4])
            sign = 1 if match[1] == "buy" else -1
            assert cents(match[5]) == count * price
            cash -= sign * count * price
            shares += sign * count
            assert (cents(match[6]), int(match[7])) == (cash, shares)
            assert cash >= 0 <= shares
            trades += 1
        worth = re.fullmatch(rf"close worth {MONEY}, lunch not included", lines[-1])
        assert worth is not None
        assert cents(worth[1]) == cash + shares * price
    assert trades > 300


def test_advice_names_the_stock_it_was_asked_about():
    for item in of("ADVICE"):
        match = re.match(
            r"ADVICE: Dear .*, .*\. Should I buy (\w\w)\w* (\w\w)\w*\?\n"
            r"Answer: .*\nAs for (\w+), our rating is \".*\"\.\n",
            item,
        )
        assert match is not None
        assert (match[1] + match[2]).upper() == match[3]


def test_amounts():
    assert [money(value) for value in (5, 12345, 123456789)] == [
        "$0.05",
        "$123.45",
        "$1,234,567.89",
    ]
