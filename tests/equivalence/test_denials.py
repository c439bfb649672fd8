"""Words that deny, wholly or in part, and are no "not": lacks, refused to, gluten-free, partly."""

from __future__ import annotations

import pytest

from confroute import Router, TextEquivalence
from confroute.testing import ScriptedEngine

DENIED = [
    ("Does the app have dark mode?", "The app has dark mode.", "The app lacks dark mode."),
    ("What symptoms?", "The patient has a fever.", "The patient denies a fever."),
    ("Did he pay?", "He did pay the bill.", "He failed to pay the bill."),
    ("Will he pay?", "He will pay the bill.", "He refuses to pay the bill."),
    ("Will they sign?", "They will sign the deal.", "They declined to sign the deal."),
    ("Can I park here?", "You can park here.", "You are forbidden to park here."),
    ("Can I park here?", "You can park here.", "You are prohibited from parking here, so you can park elsewhere."),
    ("Can he walk?", "He can walk.", "He is unable to walk."),
    ("Should I take aspirin?", "Keep taking aspirin with food.", "Keep calm and stop taking aspirin with food."),
    ("Is it safe?", "It is safe.", "It is far from safe."),
    ("Is gluten in it?", "It has gluten.", "It is free of gluten."),
    ("Is gluten in it?", "It has gluten.", "It is gluten free."),
    ("Does the bread have seeds?", "The bread has seeds.", "The bread is seed-free."),
    ("Is it safe?", "It is safe.", "It is rarely safe."),
    ("Do bats see?", "Bats can see.", "Bats can barely see."),
    ("Is it true?", "It is true.", "It is partly true."),
    ("Is the claim covered?", "The claim is covered.", "The claim is only partially covered."),
    ("Is it approved?", "It is approved.", "It is almost approved."),
    ("Is rain likely?", "Rain is likely.", "Rain is less likely."),
    ("Is he the CEO?", "He is the CEO.", "He is the former CEO."),
    ("Did he pay?", "He did pay 50 dollars.", "He failed to pay 50 dollars."),
    ("Can I smoke here?", "You may smoke here.", "You are prohibited from smoking here."),
    ("Should I use it?", "Use the cream.", "Stop using the cream."),
    ("Who is she?", "She is CEO of Acme.", "She is a former CEO of Acme."),
    ("Is Bob the CEO?", "Bob is the CEO.", "Bob is the former CEO."),
    ("Does it have dark mode or not?", "It has dark mode.", "It lacks dark mode."),
    ("Do mammals lay eggs?", "Mammals lay eggs.", "Mammals rarely lay eggs."),
]

AGREE = [
    ("Does the app have dark mode?", "No, the app lacks dark mode.", "No."),
    ("Does the app lack dark mode?", "Yes, it lacks dark mode.", "Yes."),
    ("Why did the engine fail?", "It failed to start because of water.", "Because of water."),
    ("Which vitamin do they lack?", "They lack vitamin C.", "vitamin C"),
    ("What should I avoid eating?", "Avoid eating nuts.", "nuts"),
    ("How do I call them?", "Call the hotline.", "Call the toll-free hotline."),
    ("Is entry free?", "Entry is free on Sunday.", "On Sunday"),
    ("Is parking included?", "Parking is included.", "Yes, parking is included and free."),
    ("How long does it take?", "It takes an hour.", "It takes almost an hour."),
    ("How many?", "5 million", "almost 5 million"),
    ("How many?", "Less than 5", "fewer, less than 5"),
    ("What is it made of?", "It is made of iron.", "It is made almost entirely of iron."),
    ("How far is the moon?", "384,400 km", "It is 384,400 km far from the Earth."),
    ("Did the test fail?", "Yes.", "Yes, the test failed."),
    ("Why did it stop?", "The bus stopped at noon.", "It stopped at noon."),
    ("Is it partly true?", "Yes, it is partly true.", "Yes."),
    ("What causes scurvy?", "Scurvy is caused by a lack of vitamin C.", "Scurvy is caused by vitamin C deficiency."),
    ("Why was it cancelled?", "It was cancelled due to lack of funding.", "It was cancelled due to funding cuts."),
    ("What is type 1 diabetes?", "The body lacks insulin.", "The body makes too little insulin."),
    ("How can I save?", "Eat less sugar and exercise.", "Reduce sugar and exercise."),
    ("How can I save?", "Use less energy.", "Save energy."),
    ("How fast does it work?", "It works almost instantly.", "It works instantly."),
    ("How fast does it work?", "almost immediately", "immediately"),
    ("How big is it?", "It is almost twice the size of Texas.", "It is about twice the size of Texas."),
    ("How did revenue change?", "Revenue nearly doubled to 10 million.", "Revenue doubled to 10 million."),
    ("How full is it?", "It is nearly 90% full.", "It is 90% full."),
    (
        "What happens if I do not pay?",
        "If you fail to pay, a late fee of $25 is charged.",
        "A late fee of $25 is charged.",
    ),
    ("What is the penalty?", "Anyone who fails to comply pays a fine of $500.", "A fine of $500."),
    ("What is insomnia?", "It is a disorder in which you are unable to sleep.", "It is a sleep disorder."),
    (
        "What is overfitting?",
        "A model learns noise and fails to generalize.",
        "A model learns noise and generalizes poorly.",
    ),
    ("What is underfitting?", "A model fails to capture the pattern.", "A model is too simple to capture the pattern."),
    ("How did it change?", "The population declined from 5 million to 3 million.", "From 5 million to 3 million."),
    ("How did the price change?", "It declined to $50.", "to $50"),
    ("How do I treat a cut?", "Apply pressure to stop bleeding.", "Apply pressure until the bleeding stops."),
    ("What did Parks do?", "She refused to give up her seat.", "She is known for her refusal to give up her seat."),
    (
        "Is shipping free?",
        "Shipping is free of charge on Sunday.",
        "On Sunday, shipping is free; otherwise there is a charge.",
    ),
    ("Who is Bill Gates?", "He is the former CEO of Microsoft.", "He was the CEO of Microsoft."),
    ("Who was Tony Blair?", "He was a former prime minister.", "He was a prime minister."),
    ("What is Alcatraz?", "It is a former federal prison.", "It was a federal prison until 1963."),
    ("How common is it?", "It rarely causes death.", "It can cause death in rare cases."),
    ("What is anemia?", "The body lacks iron.", "The body needs more iron."),
    ("What feature is missing?", "It lacks offline mode.", "Offline mode."),
    ("What should I not do after surgery?", "Avoid lifting heavy objects.", "Lifting heavy objects."),
    ("What won't she do?", "She refuses to sign.", "Sign."),
]

NO_FLIGHT = [
    "No, penguins cannot fly.",
    "No, penguins can't fly.",
    "No, penguins can not fly.",
    "No, they cannot fly.",
    "No, they can\u2019t fly.",
    "Penguins can't fly.",
    "Penguins cannot fly.",
]


def agree(a: str, b: str, question: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("question", "a", "b"), DENIED)
def test_what_denies_without_a_not(question: str, a: str, b: str) -> None:
    """An answer that says more than another says nothing of the sort if that denies the other."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), AGREE)
def test_what_denies_nothing_of_the_other(question: str, a: str, b: str) -> None:
    """Where both deny it, where the question has the word, of numbers, and of what the other does not say."""
    assert agree(a, b, question)


@pytest.mark.parametrize("a", NO_FLIGHT)
@pytest.mark.parametrize("b", NO_FLIGHT)
def test_cannot_is_can_not(a: str, b: str) -> None:
    """However it is written."""
    assert agree(a, b, "Can penguins fly?")


def test_a_no_before_what_is_said_instead() -> None:
    """A "no" only adds to an answer of other words than the question's, which the other gives as well; not to one that
    says yes, nor to the question's own words."""
    question = "Is the store open on Sunday?"
    assert agree("The store is closed on Sunday.", "No, the store is closed on Sunday.", question)
    assert not agree("The store is open on Sunday.", "No, the store is open on Sunday.", question)
    assert not agree("Yes, the store is closed on Sunday.", "No, the store is closed on Sunday.", question)
    assert not agree("The store is closed on Sunday.", "No, the store is not closed on Sunday.", question)
    assert not agree("Two snowflakes are alike.", "No two snowflakes are alike.", question)


def test_ten_that_lack_it_do_not_make_one_sure_that_has_it() -> None:
    """The router asks the cloud where all samples deny the answer."""
    question = "Does the app have dark mode?"
    engine = ScriptedEngine({question: ("The app has dark mode.", ["The app lacks dark mode."] * 10)})
    record = Router(engine, samples=10, threshold=0.5).decide([{"role": "user", "content": question}]).record
    assert (record.route, record.confidence) == ("cloud", 0)
