"""Silly financial news, advice and ledgers, with sums that add up.

What there is to learn: a company's ticker is made of its name's letters, a price
after a move of so many percent, a balance after a trade, and who says such things.
"""

from __future__ import annotations

from engine.datagen.draw import Draw, words
from engine.datagen.generator import Generator, endless, generators

FIRST = words(
    "Gullible Soggy Wobbly Hopeful Reckless Lukewarm Invisible Overdue Sleepy Certain "
    "Magnetic Borrowed Optimistic Rusty Bottomless Accidental"
)
SECOND = words(
    "Gadgets Pickles Bridges Umbrellas Submarines Pigeons Ladders Noodles Spreadsheets "
    "Trousers Rockets Mattresses Turnips Elevators Kettles Balloons"
)
REASONS = (
    "the chief executive mistook a lasagne for a forecast",
    "a goose was appointed to the board",
    "the auditors could not find the second floor",
    "someone read the annual report aloud",
    "the intern sold the same chair twice",
    "a decimal point was seen leaving the building",
    "the company discovered that it had been closed since March",
    "an algorithm fell in love with another algorithm",
    "the word profit was used without supervision",
    "the treasurer explained compound interest to a parrot",
)
RATINGS = ("strong maybe", "panic politely", "hold your nose", "buy one, lose one")
BANKS = ("Bull & Sons", "Bear Brothers", "Penny, Pound & Partners", "Uncle Herbert")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

WORRIES: tuple[tuple[str, str], ...] = (
    ("my portfolio is red", "Wear tinted glasses and look again on {day}."),
    ("my savings are shrinking", "Move closer to them and they will look bigger."),
    ("I bought at the top", "Congratulations on the view. Bring a coat."),
    ("I do not understand bonds", "Neither do they understand you. Sell on {day}."),
    ("my budget has a hole in it", "Frame it and sell it as a window."),
    ("inflation is eating my lunch", "Order a lunch that inflation does not like."),
    ("I have lost my wallet", "A perfect hedge. Nothing more can be stolen."),
    ("I want to retire early", "Go to bed at nine and start practising."),
)


def money(cents: int) -> str:
    """An amount: 123456 is "$1,234.56"."""
    return f"${cents // 100:,}.{cents % 100:02d}"


def company(draw: Draw) -> tuple[str, str]:
    """A name and its ticker: the first two letters of each word."""
    first, second = draw.pick(FIRST), draw.pick(SECOND)
    return f"{first} {second}", (first[:2] + second[:2]).upper()


def news(draw: Draw) -> str:
    """A price that moved, by a percentage that is right."""
    name, ticker = company(draw)
    before = draw.between(2, 90) * 100
    percent = draw.weighted(
        ((1, 1), (2, 1), (5, 2), (10, 3), (20, 2), (25, 1), (50, 1))
    )
    rose = draw.chance(50)
    after = before * (100 + percent * (1 if rose else -1)) // 100
    bank, day = draw.pick(BANKS), draw.pick(DAYS)
    reason = draw.pick(REASONS)
    lines = [
        f"NEWS: {name} ({ticker}) {'up' if rose else 'down'} {percent}%",
        f"Shares of {name} {'rose' if rose else 'fell'} {percent}% on {day}.",
        f"They went from {money(before)} to {money(after)} after {reason}.",
        f'{bank} {"raised" if rose else "cut"} its rating to "{draw.pick(RATINGS)}".',
    ]
    if draw.chance(40):
        again = draw.pick([other for other in REASONS if other != reason])
        lines.append(f"A spokesman for {ticker} denied that {again}.")
    return "\n".join(lines) + "\n"


def advice(draw: Draw) -> str:
    """A worried reader and an answer of no use."""
    worry, answer = draw.pick(WORRIES)
    name, ticker = company(draw)
    bank, day = draw.pick(BANKS), draw.pick(DAYS)
    lines = [
        f"ADVICE: Dear {bank}, {worry}. Should I buy {name}?",
        f"Answer: {answer.format(day=day)}",
        f'As for {ticker}, our rating is "{draw.pick(RATINGS)}".',
    ]
    return "\n".join(lines) + "\n"


def ledger(draw: Draw) -> str:
    """A morning's trades in one stock, and the balance after each."""
    name, ticker = company(draw)
    cash, shares = draw.between(10, 50) * 10_000, 0
    price = draw.between(4, 40) * 100
    lines = [f"LEDGER: {name} ({ticker})", f"open cash {money(cash)} shares 0"]
    for _ in range(draw.between(3, 6)):
        price = max(100, price + draw.between(-3, 3) * 100)
        selling = shares > 0 and draw.chance(45)
        count = draw.between(1, shares) if selling else draw.between(1, 9)
        if not selling and count * price > cash:
            lines.append(f"idea {ticker} {count} @ {money(price)} refused, no cash")
            continue
        cash += count * price * (1 if selling else -1)
        shares += count * (-1 if selling else 1)
        lines.append(
            f"{'sell' if selling else 'buy'} {ticker} {count} @ {money(price)} = "
            f"{money(count * price)} cash {money(cash)} shares {shares}"
        )
    worth = cash + shares * price
    lines.append(f"close worth {money(worth)}, lunch not included")
    return "\n".join(lines) + "\n"


KINDS = ((news, 4), (advice, 3), (ledger, 3))


def document(draw: Draw) -> str:
    """One item of a very bad newspaper."""
    return draw.weighted(KINDS)(draw)


generators.register("dumb_finance")(
    Generator("silly financial news, advice and ledgers", endless(document))
)
