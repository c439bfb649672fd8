"""Answers whose words are the same but for where, when or for what: on and off, before and after, for and against."""

from __future__ import annotations

import time

import pytest

from confroute import Router, TextEquivalence
from confroute.testing import ScriptedEngine

OPPOSED = [
    ("Is the blue shirt in stock?", "The blue shirt is in stock.", "The blue shirt is out of stock."),
    ("Is the blue shirt available?", "It is in stock.", "It is currently out of stock."),
    ("Where is the cat?", "The cat is on the table.", "The cat is under the table."),
    ("Where is the key?", "in the box", "outside the box"),
    ("Where is the key?", "in our box", "behind a box"),
    ("Where is the picture?", "It hangs on the door.", "It hangs above the door."),
    ("How did the senator vote?", "He voted for the bill.", "He voted against the bill."),
    ("Where does the author stand?", "The author is for the death penalty.", "The author is against it."),
    ("Is he for or against it?", "He is for it.", "He is against it."),
    ("Is the project on schedule?", "The project is on schedule.", "The project is behind schedule."),
    ("Is the alarm on or off?", "The alarm is on.", "The alarm is off."),
    ("What should I do with the pump?", "Turn on the pump.", "Turn off the pump first."),
    ("How do I fix it?", "Turn the router on, then wait.", "Turn the router off, then wait."),
    ("When to take the pill?", "Take it with food.", "Take it after food."),
    ("Where does it stop?", "It stops at or above 5 volts.", "It stops below 5 volts."),
    ("When to take the pill?", "Take it with meals.", "Take it between meals."),
    ("When to take the pill?", "Take it at meals.", "Take it before meals."),
    ("When is it due?", "on Friday", "before Friday"),
    ("When is it due?", "by Friday", "after Friday"),
    ("When did it happen?", "in the war", "after the war"),
    ("What is the profit?", "The profit is at 5%.", "The profit is below 5%."),
    ("Who is the letter from?", "The letter is from Bob.", "The letter is to Bob."),
    ("Where does the train run?", "The train runs from Paris to Lyon.", "The train runs from Lyon to Paris."),
    ("Is it in stock?", "We have it in stock.", "Sorry, it's out of stock."),
    ("Where is it?", "It's on the shelf.", "It is under the shelf."),
    ("Where does he stand?", "He's for the bill.", "He argued against the bill."),
    ("Is he in danger?", "He is in danger.", "He is no longer at risk and out of danger."),
    ("When do I take it?", "Take one tablet with food.", "One tablet after food."),
    ("When is it due?", "It is due in July.", "It is due after July."),
    ("Do you support it?", "I am for the ban.", "I am against the ban."),
    ("Are you for it?", "I'm for it.", "I'm against it."),
    ("Is the senator for the bill?", "The senator is for the bill.", "The senator is against the bill."),
    ("When do I take it?", "Right after a meal.", "With a meal."),
]

NOT_OPPOSED = [
    ("Where is the cat?", "The cat is on the table.", "It is on the table, under a lamp."),
    ("How do I fix it?", "Turn the router off and on again.", "Turn it off, then turn it on again."),
    ("How do I fix it?", "Turn the router off and on.", "Turn the router off and back on."),
    ("What is it made of?", "It is made of wood.", "It is made out of wood."),
    ("Where do I find it?", "It is in Settings.", "It is under Settings."),
    ("Is it allowed?", "It is allowed in German law.", "It is allowed under German law."),
    ("What does it do?", "It is a vaccine for measles.", "It is a vaccine against measles."),
    ("What is covered?", "You are insured for theft.", "You are insured against theft."),
    ("What is the deal?", "You get 20% on all orders.", "You get 20% off all orders."),
    ("When does it arrive?", "It arrives in 5 days.", "It arrives after 5 days."),
    ("When does it arrive?", "It arrives in a week.", "It arrives after a week."),
    ("Why is he called Tom?", "He was named for his uncle.", "He was named after his uncle."),
    ("Why did he die?", "He died due to cancer.", "He died from cancer."),
    ("Is it the same?", "It is different from tea.", "It is different to tea."),
    ("When was it made?", "It dates to the Bronze Age.", "It dates from the Bronze Age."),
    (
        "When did it end?",
        "It ended in 1945 with the surrender of Japan.",
        "It ended in 1945 after the surrender of Japan.",
    ),
    ("How did he die?", "He died in a car crash.", "He died after a car crash."),
    ("What do I do with the lid?", "Leave the lid on.", "Leave the lid on, with the heat off."),
    ("When does water freeze?", "Water freezes at 0 degrees.", "Water freezes at and below 0 degrees."),
    ("How do I sign out?", "Sign out from the menu.", "Go to the menu and sign out."),
    ("When is it due?", "It is due by Friday.", "It is due before Friday."),
    ("When is it due?", "It is due on Friday.", "It is due by Friday."),
    ("What is the capital of Peru?", "Lima, in Peru", "The capital is Lima, on the coast, below the hills of Peru."),
    ("Where was he born?", "He was born in Paris.", "In Paris, outside the walls"),
    ("When is it open?", "Monday to Friday", "It is open from Monday to Friday."),
    ("How long is the trip?", "It takes a day from Rome.", "It takes a day from Rome to Oslo."),
    (
        "How far is it?",
        "The Earth is 150 million km from the Sun.",
        "The distance from the Earth to the Sun is 150 million km.",
    ),
    ("How do I export?", "Select Export from the File menu.", "Navigate to the File menu and select Export."),
    ("How do I log in?", "Log in to the site with your email.", "From the site, log in with your email."),
    ("How do we get vitamin D?", "From sunlight.", "Through exposure to sunlight."),
    ("What does the heart do?", "It pumps blood to the lungs and body.", "It pumps blood from the lungs to the body."),
    ("When will it come?", "It will arrive in 5-7 business days.", "It will arrive after 5-7 business days."),
    ("When is the cake done?", "In about 30 minutes.", "After about 30 minutes."),
    ("When is it due?", "Payment is due on receipt of the invoice.", "Payment is due after receipt of the invoice."),
    ("Can I work from home?", "Yes, with approval from your manager.", "Yes, after approval from your manager."),
    ("How did it end?", "It ended with Germany's surrender.", "It ended after Germany's surrender."),
    ("Who fought?", "The war between Germany and the Allies.", "The Allies' war with Germany."),
    (
        "What are antibiotics used for?",
        "They are used for bacterial infections.",
        "They fight against bacterial infections.",
    ),
    ("What does it cover?", "It covers you for defects.", "It covers you against defects."),
    ("How do I reset it?", "Turn off your phone and hold the power button.", "Hold the power button on your phone."),
    ("How do I bake it?", "Bake in the oven for 10 minutes.", "Bake for 10 minutes, then take out of the oven."),
    ("Where do I find it?", "Under the Account tab.", "On the Account tab."),
    (
        "Where is the invoice?",
        "It is under Billing on your account page.",
        "It is on the Billing page of your account.",
    ),
    ("Where is the button?", "It is on the page, below the video.", "It is on the video page."),
    ("What is the deposit?", "A $100 deposit is due at check-in.", "A $100 deposit is due before check-in."),
    ("What is the vaccine for?", "It is for measles.", "It is against measles."),
    ("What are antibiotics?", "They are for infections.", "They are against infections."),
    ("When do I take it?", "With or just after a meal.", "With a meal."),
]


def agree(a: str, b: str, question: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("question", "a", "b"), OPPOSED)
def test_a_preposition_for_its_opposite(question: str, a: str, b: str) -> None:
    """Before the same word, or at the end, it is the answer, however little it says by itself."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), NOT_OPPOSED)
def test_a_preposition_for_another(question: str, a: str, b: str) -> None:
    """Most say the same, and before another word, or where both answers have both, none is an opposite."""
    assert agree(a, b, question)


def test_ten_that_are_against_do_not_make_one_sure_that_is_for() -> None:
    """The router asks the cloud where all samples say the opposite of the answer."""
    engine = ScriptedEngine({"How did he vote?": ("He voted for the bill.", ["He voted against the bill."] * 10)})
    record = Router(engine, samples=10, threshold=0.5).decide([{"role": "user", "content": "How did he vote?"}]).record
    assert (record.route, record.confidence) == ("cloud", 0)


def test_time_is_linear_in_the_prepositions() -> None:
    """Thousands of them take a fraction of a second."""
    a, b = ("".join(f" {word} w{i}x" for i in range(8_000)) for word in ("in", "behind"))
    start = time.process_time()
    agree(a, b, "")
    assert time.process_time() - start < 2
