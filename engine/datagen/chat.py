"""Small conversations: sums, days, opposites, spelling, and remembering a name.

What there is to learn: whose turn it is, arithmetic up to two digits, a few facts,
and to look back in the conversation for what the user said.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.data.jsonl import Message
from engine.datagen.draw import Draw, words
from engine.datagen.generator import Generator, endless, generators

Turn = tuple[str, str]

NAMES = words("Ada Ben Clara David Emma Felix Grace Hugo Ines Jonas Lena Max Nora Otto")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
WORDS = words(
    "cat dog sun moon tree house river bread apple stone chair cloud train green happy "
    "music water garden window summer"
)
OPPOSITES = (
    ("hot", "cold"),
    ("big", "small"),
    ("up", "down"),
    ("early", "late"),
    ("open", "closed"),
    ("light", "dark"),
    ("fast", "slow"),
    ("full", "empty"),
    ("wet", "dry"),
    ("near", "far"),
)
COLOURS = (
    ("the sky", "blue"),
    ("grass", "green"),
    ("snow", "white"),
    ("coal", "black"),
    ("a lemon", "yellow"),
    ("a tomato", "red"),
    ("an orange", "orange"),
)
CAPITALS = (
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Spain", "Madrid"),
    ("Japan", "Tokyo"),
    ("Egypt", "Cairo"),
    ("Norway", "Oslo"),
    ("Greece", "Athens"),
    ("Peru", "Lima"),
    ("Kenya", "Nairobi"),
    ("Canada", "Ottawa"),
)
GREETINGS = ("Hi!", "Hello.", "Good morning.", "Hey there.", "Good evening.")
FEELINGS = (
    ("How are you?", "I am well, thank you. What can I do for you?"),
    ("What are you?", "I am Alpha, a small language model."),
    ("Who made you?", "A training run made me, one step at a time."),
    ("Can you help me?", "I will try. I know sums, days, words and a few facts."),
)
THANKS = (
    ("Thank you!", "You are welcome."),
    ("Thanks.", "Any time."),
    ("Goodbye.", "Goodbye! It was nice to talk to you."),
    ("That is all.", "All right. Have a good day."),
)


def total(draw: Draw) -> Turn:
    """A sum of numbers up to 50."""
    a, b = draw.between(0, 50), draw.between(0, 50)
    ask = draw.pick(("What is {} + {}?", "What is {} plus {}?", "Add {} and {}."))
    return ask.format(a, b), f"{a} + {b} = {a + b}"


def difference(draw: Draw) -> Turn:
    """A difference that is not negative."""
    a, b = draw.between(0, 60), draw.between(0, 60)
    a, b = max(a, b), min(a, b)
    ask = draw.pick(("What is {} - {}?", "What is {} minus {}?"))
    return ask.format(a, b), f"{a} - {b} = {a - b}"


def product(draw: Draw) -> Turn:
    """The times table up to 12."""
    a, b = draw.between(0, 12), draw.between(0, 12)
    ask = draw.pick(("What is {} * {}?", "What is {} times {}?"))
    return ask.format(a, b), f"{a} * {b} = {a * b}"


def larger(draw: Draw) -> Turn:
    """Which of two different numbers is larger."""
    a, b = draw.sample(range(100), 2)
    return f"Which is larger, {a} or {b}?", f"{max(a, b)} is larger than {min(a, b)}."


def count_up(draw: Draw) -> Turn:
    """Counting over a few numbers."""
    a = draw.between(0, 30)
    b = a + draw.between(2, 8)
    return f"Count from {a} to {b}.", " ".join(map(str, range(a, b + 1)))


def day(draw: Draw) -> Turn:
    """The day after or before another."""
    today = draw.below(7)
    if draw.chance(50):
        ask = f"What day comes after {DAYS[today]}?"
        return ask, f"{DAYS[(today + 1) % 7]} comes after {DAYS[today]}."
    ask = f"What day comes before {DAYS[today]}?"
    return ask, f"{DAYS[(today + 6) % 7]} comes before {DAYS[today]}."


def opposite(draw: Draw) -> Turn:
    """A word's opposite, either way round."""
    pair = draw.pick(OPPOSITES)
    a, b = pair if draw.chance(50) else pair[::-1]
    return f"What is the opposite of {a}?", f"The opposite of {a} is {b}."


def colour(draw: Draw) -> Turn:
    """The colour that a thing has."""
    thing, name = draw.pick(COLOURS)
    return f"What colour is {thing}?", f"{thing.capitalize()} is {name}."


def capital(draw: Draw) -> Turn:
    """A country's capital."""
    country, city = draw.pick(CAPITALS)
    return f"What is the capital of {country}?", f"The capital of {country} is {city}."


def spelling(draw: Draw) -> Turn:
    """A word letter by letter, or backwards, or its length."""
    word = draw.pick(WORDS)
    answers = (
        (f"Spell {word}.", "-".join(word)),
        (f"Write {word} backwards.", word[::-1]),
        (f"How many letters has {word}?", f"{word} has {len(word)} letters."),
    )
    return draw.pick(answers)


SKILLS: tuple[tuple[Callable[[Draw], Turn], int], ...] = (
    (total, 5),
    (difference, 3),
    (product, 3),
    (larger, 2),
    (count_up, 2),
    (day, 2),
    (opposite, 2),
    (colour, 1),
    (capital, 2),
    (spelling, 3),
)


def document(draw: Draw) -> tuple[Message, ...]:
    """One conversation of one to five exchanges."""
    turns: list[Turn] = []
    name = draw.pick(NAMES) if draw.chance(35) else ""
    if name:
        ask = draw.pick(("My name is {}.", "I am {}.", "Hello, I am called {}."))
        turns.append((ask.format(name), f"Nice to meet you, {name}!"))
    elif draw.chance(25):
        turns.append((draw.pick(GREETINGS), "Hello! How can I help?"))
    if draw.chance(15):
        turns.append(draw.pick(FEELINGS))
    turns += [draw.weighted(SKILLS)(draw) for _ in range(draw.between(1, 2))]
    if name and draw.chance(70):
        turns.append(("What is my name?", f"Your name is {name}."))
    if draw.chance(20):
        turns.append(draw.pick(THANKS))
    return tuple(
        Message(role, text)
        for ask, answer in turns
        for role, text in (("user", ask), ("assistant", answer))
    )


generators.register("chat")(
    Generator("short conversations with right answers", endless(document), chat=True)
)
