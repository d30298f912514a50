import calendar
import operator
import re

import pytest

from engine.datagen import chat
from engine.datagen.draw import Draw

CHATS = [chat.document(Draw(4, index)) for index in range(1500)]
TURNS = [
    (ask.content, answer.content)
    for messages in CHATS
    for ask, answer in zip(messages[::2], messages[1::2], strict=True)
]


def answers(pattern):
    """Every (match of the question, answer) for questions of a pattern."""
    found = [
        (match, answer)
        for ask, answer in TURNS
        if (match := re.fullmatch(pattern, ask)) is not None
    ]
    assert len(found) > 20, f"too few conversations ask {pattern}"
    return found


def test_parties_speak_in_turn():
    for messages in CHATS:
        assert [m.role for m in messages] == ["user", "assistant"] * (
            len(messages) // 2
        )
        assert 2 <= len(messages) <= 12


@pytest.mark.parametrize(
    ("pattern", "work"),
    [
        (r"(?:What is|Add) (\d+) (?:\+|plus|and) (\d+)[.?]", operator.add),
        (r"What is (\d+) (?:-|minus) (\d+)\?", operator.sub),
        (r"What is (\d+) (?:\*|times) (\d+)\?", operator.mul),
    ],
)
def test_sums_are_right(pattern, work):
    for match, answer in answers(pattern):
        a, b = map(int, match.groups())
        assert re.fullmatch(rf"{a} [-+*] {b} = {work(a, b)}", answer)


def test_the_larger_number_is_named():
    for match, answer in answers(r"Which is larger, (\d+) or (\d+)\?"):
        a, b = map(int, match.groups())
        assert answer == f"{max(a, b)} is larger than {min(a, b)}."


def test_counting_leaves_nothing_out():
    for match, answer in answers(r"Count from (\d+) to (\d+)\."):
        a, b = map(int, match.groups())
        assert [int(number) for number in answer.split()] == list(range(a, b + 1))


def test_days_follow_each_other():
    week = list(calendar.day_name)
    for match, answer in answers(r"What day comes (after|before) (\w+)\?"):
        step = {"after": 1, "before": -1}[match[1]]
        day = week[(week.index(match[2]) + step) % 7]
        assert answer == f"{day} comes {match[1]} {match[2]}."


def test_words_are_spelt_turned_and_counted():
    for match, answer in answers(r"Spell (\w+)\."):
        assert answer.replace("-", "") == match[1]
    for match, answer in answers(r"Write (\w+) backwards\."):
        assert answer == "".join(reversed(match[1]))
    for match, answer in answers(r"How many letters has (\w+)\?"):
        assert answer == f"{match[1]} has {len(match[1])} letters."


def test_opposites_hold_both_ways():
    pairs = {(a, b) for a, b in chat.OPPOSITES} | {(b, a) for a, b in chat.OPPOSITES}
    for match, answer in answers(r"What is the opposite of (\w+)\?"):
        found = re.fullmatch(rf"The opposite of {match[1]} is (\w+)\.", answer)
        assert found is not None
        assert (match[1], found[1]) in pairs


def test_a_name_that_was_told_is_remembered():
    asked = 0
    for messages in CHATS:
        texts = [message.content for message in messages]
        if "What is my name?" in texts:
            asked += 1
            told = re.search(r"(\w+)\.$", texts[0])
            assert told is not None
            answer = texts[texts.index("What is my name?") + 1]
            assert answer == f"Your name is {told[1]}."
    assert asked > 200
