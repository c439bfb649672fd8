"""Pronouns and verbs that say little, where they are the answer: who pays, what one must do."""

from __future__ import annotations

import pytest

from confroute import TextEquivalence

OPPOSED = [
    ("Who pays for returns?", "You pay for returns.", "We pay for returns."),
    ("Who has the key?", "I have it.", "They have it."),
    ("Whose is it?", "It is my car.", "It is your car."),
    ("Whose is it?", "our house", "their house"),
    ("What must I do?", "You must pay now.", "You can pay now."),
    ("What must I do?", "You must pay now.", "You could pay now."),
    ("Do I have to register?", "You must register online.", "You can register online."),
    ("Is a helmet mandatory?", "You must wear a helmet.", "You can wear a helmet."),
    ("Must I pay?", "You must pay.", "You can pay."),
    ("Who pays?", "We.", "You."),
    ("Whose is it?", "your house", "their house"),
    ("What must I do?", "You must return it in person.", "You can return it in person."),
    ("What must I do?", "You must register by phone.", "You can register by phone."),
]

SAME = [
    ("Do you deliver on Sunday?", "We deliver on Sunday.", "They deliver on Sunday."),
    ("What do we get of 2 and 3?", "We get 5.", "You get 5."),
    ("Who pays for returns?", "You pay for your returns.", "You pay for the returns."),
    ("Who wrote it?", "I think it was Bob.", "It was Bob."),
    ("Can I pay now?", "Yes, you can pay now.", "Yes, you could pay now."),
    ("Who can vote?", "Citizens who must pay taxes can vote.", "Citizens can vote who must pay taxes."),
    ("How old do you have to be to vote?", "You must be 18 to vote.", "You can vote at 18."),
    ("What is the minimum age I must have?", "You must be 18 to vote.", "You can vote at 18."),
    ("What is the return window?", "Items must be returned within 30 days.", "Items can be returned within 30 days."),
    ("When is checkout?", "Guests must check out by 11 AM.", "Guests can check out by 11 AM."),
    ("Who handles complaints?", "Our service team handles complaints.", "The service team handles your complaints."),
    ("Who do I contact for refunds?", "You should contact customer support.", "Contact our customer support."),
    ("Who approves leave?", "The manager approves your leave.", "The manager approves their leave."),
    ("Who is eligible?", "You are eligible if you are over 18.", "They are eligible if they are over 18."),
    ("Is it safe for people who are pregnant?", "They should ask their doctor.", "You should ask your doctor."),
    (
        "What is our leave policy, and who is eligible?",
        "You get 16 weeks of paid leave.",
        "They get 16 weeks of paid leave.",
    ),
    (
        "What do I need to know about returns?",
        "You must return items with a receipt.",
        "You can return items with a receipt.",
    ),
    ("What do I need to do to reset it?", "You must hold the button.", "You can hold the button."),
    ("What must I do?", "You must return it within 30 days.", "You can return it within 30 days."),
    ("What must I do?", "You must check in after 3 PM.", "After 3 PM, you can check in."),
]


def agree(a: str, b: str, question: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("question", "a", "b"), OPPOSED)
def test_who_it_is_and_whether_it_has_to_be(question: str, a: str, b: str) -> None:
    """Where nothing else differs, a pronoun is the answer to a question for somebody, and "must" is not "can"."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_who_does_not_matter(question: str, a: str, b: str) -> None:
    """Nobody is asked for, or both name the same."""
    assert agree(a, b, question)
