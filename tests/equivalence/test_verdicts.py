"""Answers to yes/no questions: a verdict for its opposite, with and without a yes before it."""

from __future__ import annotations

from time import perf_counter

import pytest

from confroute import Router, TextEquivalence
from confroute.testing import ScriptedEngine

OPPOSITE = [
    ("Is the tumor benign?", "The tumor is benign according to the biopsy.", "The tumor is malignant, by the biopsy."),
    ("Is cannabis legal there?", "Cannabis is legal in all states.", "Cannabis is illegal in all states."),
    ("Is the museum open?", "The museum is open on Mondays.", "The museum is closed on Mondays."),
    ("When is the pool closed?", "The pool is closed in winter.", "The pool is open in winter."),
    ("Is the claim covered?", "Yes, the claim is covered by it.", "Yes, the claim is excluded by it."),
    ("Is water damage covered?", "Water damage is covered up to $5,000.", "Water damage is excluded up to $5,000."),
    ("Is this drug safe?", "The drug is safe in pregnancy.", "The drug is dangerous in pregnancy."),
    ("Are pets allowed?", "Pets are allowed in rooms.", "Pets are banned in rooms."),
    ("Do prices rise then?", "Prices rise in summer.", "Prices fall in summer."),
    ("What was the net profit?", "The net profit was $5 million.", "The net loss was $5 million."),
    ("Which team won?", "The team that won is Brazil.", "The team that lost is Brazil."),
    ("Who is the oldest member?", "The oldest member is Ann.", "The youngest member is Ann."),
    ("Ist das Medikament sicher?", "Das Medikament ist sicher im Alltag.", "Das Medikament ist riskant im Alltag."),
]

WITH_MORE_BEFORE = [
    ("Is cannabis legal there?", "Yes, cannabis is legal in all states.", "Cannabis is illegal in all states."),
    ("Is the drug safe?", "Yes, the drug is safe in pregnancy.", "The drug is dangerous in pregnancy."),
    ("Is the bridge open?", "The bridge is open to traffic.", "It is closed to traffic."),
    ("Is the bridge open?", "It is open to traffic.", "The bridge is closed to traffic."),
    ("Is the bridge open?", "Yes, it is open to traffic.", "It is closed to traffic."),
    ("Does insulin lower the level?", "Insulin lowers glucose quickly.", "It raises glucose quickly."),
    ("Did shares fall?", "Shares fell because of rates.", "They rose because of rates."),
    ("Will prices rise?", "Prices rise in summer.", "They fall in summer."),
    ("Is the store open on Sunday?", "Yes, the store is open on Sunday.", "Yes, but the store is closed on Sunday."),
    ("Is the bridge open?", "Yes, the bridge is open to traffic.", "Sure, it is closed to traffic."),
    (
        "Yes? No?",
        "Yes, the jar can be returned but not without a slip",
        "No, the jar can be returned but not with a slip",
    ),
    ("Is it legal in Poland?", "Yes, in Poland it is illegal.", "Yes, it is legal in Poland."),
    ("Is the berry edible?", "Yes, the berry is toxic.", "Sure, the berry is edible."),
    ("Is the berry edible?", "Yes, it is toxic.", "Yes, the berry is edible."),
    ("Does insulin lower glucose?", "Yes, insulin lowers glucose.", "Yes, it raises glucose."),
    ("Is the patient stable?", "Yes, the patient is stable.", "Yes, he died after surgery."),
]

NAMED_ANEW = [
    ("What is the tallest mountain {}?", "The tallest mountain {} is Mount Everest.", "in the world", "on Earth"),
    ("Who is the vendor {}?", "The vendor {} is Acme Ltd.", "in the contract", "in our agreement"),
    ("What do bees {}?", "Bees {} honey.", "make", "produce"),
    ("What do pandas {}?", "Pandas {} bamboo.", "eat", "consume"),
    ("What does a gland {}?", "A gland {}s insulin.", "produce", "secrete"),
    ("What does CPU {}?", "CPU {} central processing unit.", "stands for", "means"),
    ("What does the author {}?", "The author {}s daily exercise.", "recommend", "suggest"),
    ("What is the longest river {}?", "The longest river {} is the Missouri.", "in the US", "in America"),
    ("What is the side effect {}?", "The side effect {} is nausea.", "of the drug", "of the medicine"),
    ("What is the total {}?", "The total {} is $450.", "on the invoice", "on the bill"),
    ("What is the main gas {}?", "The main gas {} is nitrogen.", "in the atmosphere", "in the air"),
]

FURTHER_VERDICTS = [
    ("Is the order in stock?", "The order is in stock today.", "The order is in transit today."),
    (
        "Was Einstein born in Germany?",
        "Einstein was born in Germany to a Jew.",
        "Einstein was born in Austria to a Jew.",
    ),
    ("Do you deliver on Sunday?", "We deliver on Sunday for free.", "We deliver on Monday for free."),
    ("Is glass made of sand?", "Glass is made of sand mainly.", "Glass is made of plastic mainly."),
    ("Does it work in children?", "The vaccine works in children very well.", "The vaccine works in adults very well."),
    ("What is Australia's capital?", "The capital of Australia is Bern.", "The capital of Austria is Bern."),
    ("Is the pain on the left?", "The pain on the left is sharp.", "The pain on the right is sharp."),
    ("Is the water hot?", "The water is hot in winter.", "The water is very cold in winter."),
    ("Is the flight early?", "The flight is early today.", "It is late today."),
    ("Is rain likely?", "Rain is likely today.", "It is unlikely today."),
    ("Is the house lovely?", "The house is lovely inside.", "It is ugly inside."),
    ("Is the lump benign?", "Yes, the lump is likely benign.", "Yes, it is likely malignant."),
    ("Did the net profit grow?", "The net profit grew fast.", "The net loss grew fast."),
    ("Who won?", "The team that won is Brazil.", "The team that lost is Brazil."),
    ("Is Tom the winner?", "Tom is the winner in Paris.", "Tom is the loser in Paris."),
    ("Is the old bridge open?", "Yes, the old bridge is open.", "Yes, it is currently closed."),
    ("Is New York bigger?", "Yes, New York is bigger.", "Yes, it is much smaller."),
    ("Is peanut butter vegan?", "Yes, peanut butter is vegan.", "Yes, it is deadly."),
    ("Does insulin lower glucose?", "Yes, insulin lowers glucose, which is good.", "Yes, it raises glucose."),
    ("Does it lower glucose?", "Yes, it lowers glucose and is safe.", "Yes, it raises glucose."),
]

SAME = [
    ("Is New York bigger than Boston?", "Yes, New York is bigger than Boston.", "Yes, it is much bigger."),
    ("Is the swimming pool open?", "Yes, the swimming pool is open.", "Yes, it is currently open."),
    ("Is olive oil healthy?", "Yes, olive oil is healthy.", "Yes, it is considered healthy."),
    ("Are solar panels recyclable?", "Yes, solar panels are recyclable.", "Yes, they are mostly recyclable."),
    ("Is the bridge open?", "Yes.", "Yes, the bridge is open to traffic."),
    ("Is the bridge open?", "Yes, it is.", "Yes, the bridge is open."),
    ("Is the bridge open?", "The bridge is open to traffic.", "It is open to traffic."),
    ("Is the bridge open?", "Yes, it is open to traffic.", "The bridge is open to traffic."),
    ("Is the bridge open?", "Yes, the bridge is open.", "Yes, it is open to traffic."),
    ("Is Python interpreted?", "Yes, Python is interpreted.", "Yes, it is an interpreted language."),
    ("Is a whale a mammal?", "Yes, a whale is a mammal.", "Yes, it breathes air with lungs."),
    ("Is a tomato a fruit?", "Yes, a tomato is a fruit.", "Yes, it has seeds."),
    ("Can dogs eat apples?", "Yes, dogs can eat apples.", "Yes, in moderation."),
    ("Can dogs eat apples?", "Yes, dogs can eat apples.", "Yes, apples are safe."),
    ("Is a tomato a fruit?", "Yes, it has seeds", "Yes, a tomato is a fruit, as it has seeds."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo.", "The capital city is Tokyo."),
    ("Who is the author of Dune?", "The author of Dune is Frank Herbert.", "The author of the novel is Frank Herbert."),
    ("Who is the CEO of Apple?", "The CEO of Apple is Tim Cook.", "The CEO of the corporation is Tim Cook."),
    ("Who is the singer of Queen?", "The singer of Queen is Mercury.", "The singer of the band is Mercury."),
    (
        "Which is the largest lake in Africa?",
        "The largest lake in Africa is Victoria.",
        "The largest on the continent is Victoria.",
    ),
    (
        "What is the sentiment of this review?",
        "The sentiment of this review is bad.",
        "The sentiment of the text is bad.",
    ),
    ("Is smoking harmful?", "Yes, smoking is harmful.", "Yes, it is very harmful to your health."),
    ("Is the water hot?", "Yes, the water is hot.", "Yes, it is really hot."),
    ("What is the currency of Japan?", "The currency of Japan is the yen.", "The currency used is the yen."),
    ("Who is the CEO of Tesla?", "The CEO of Tesla is Elon Musk.", "The CEO of the automaker is Elon Musk."),
    (
        "Which gas do plants take in for photosynthesis?",
        "The gas plants take in is carbon dioxide.",
        "The gas used for photosynthesis is carbon dioxide.",
    ),
    (
        "What is the name of the gray wolf?",
        "The name for the gray wolf is Canis lupus.",
        "The name for gray wolves is Canis lupus.",
    ),
    ("Which city?", "The oldest city there is Rome.", "The oldest of the cities there is Rome."),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by da Vinci.", "Leonardo da Vinci"),
    (
        "What is the idea of the passage?",
        "The idea of the passage is that exercise helps.",
        "The idea of the article is that exercise helps.",
    ),
    (
        "What is the purpose of the email?",
        "The purpose of the email is to thank.",
        "The purpose of the message is to thank.",
    ),
    (
        "What is the capital of Holland?",
        "The capital of Holland is Amsterdam.",
        "The capital of the Netherlands is Amsterdam.",
    ),
    (
        "Who is the president of the USA?",
        "The president of the USA is Joe Biden.",
        "The president of America is Joe Biden.",
    ),
    (
        "What is the main idea of the passage?",
        "The main idea of the passage is hope.",
        "The main idea of the essay is hope.",
    ),
    ("What is the price of the laptop?", "The price of the laptop is $900.", "The price of the product is $900."),
    (
        "What is the conclusion of the study?",
        "The conclusion of the study is clear.",
        "The conclusion of the paper is clear.",
    ),
]


def agree(a: str, b: str, question: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("question", "a", "b"), OPPOSITE)
def test_a_verdict_of_the_question_for_its_opposite(question: str, a: str, b: str) -> None:
    """That the question has one of two verdicts makes that no less a verdict."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), WITH_MORE_BEFORE)
def test_what_stands_before_a_verdict_hides_no_swap(question: str, a: str, b: str) -> None:
    """A "yes", or the question's subject, before one of two verdicts does not make them one."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_the_same_verdict_with_more_words(question: str, a: str, b: str) -> None:
    """With a "yes", with a reason, with the subject of the question."""
    assert agree(a, b, question)


@pytest.mark.parametrize(("question", "answer", "one", "other"), NAMED_ANEW)
def test_the_question_in_another_word(question: str, answer: str, one: str, other: str) -> None:
    """Whose or where the thing is, and what it does, may be said by another word than the question's."""
    for said in (one, other):
        assert agree(answer.format(one), answer.format(other), question.format(said))


@pytest.mark.parametrize(("question", "a", "b"), FURTHER_VERDICTS)
def test_a_verdict_is_no_other_word_for_the_question(question: str, a: str, b: str) -> None:
    """Nor is the opposite hidden by a subject of two words, or by an adverb before it."""
    assert not agree(a, b, question)


def test_a_long_answer_is_read_once() -> None:
    """Twenty thousand distinct words beside a yes take no square of them."""
    long = "Yes, it is " + " ".join(f"w{'abcdefghij'[i % 10]}{i}x" for i in range(20_000))
    start = perf_counter()
    TextEquivalence().same([(long, "Yes, it does help.")], question="Does it help?")
    assert perf_counter() - start < 2


@pytest.mark.parametrize("assent", ["yes", "sure", "certainly"])
@pytest.mark.parametrize("other", ["sure", "true", "no", "open"])
def test_the_order_of_two_that_assent_does_not_matter(assent: str, other: str) -> None:
    """Nor that the question says what an answer is to begin with."""
    for question in ("Is the bridge open?", "Say yes, sure or no: is the bridge open?", "Yes? Sure? No? Certainly?"):
        for a, b in [(f"{assent} bridge to traffic", f"{other} to traffic"), (f"{assent} traffic", f"{other} traffic")]:
            agree(a, b, question)


def test_an_unsure_answer_is_no_sure_one() -> None:
    """A "yes" is no content of its own, but neither is it a "maybe"."""
    assert not agree("Yes, the museum is open.", "Maybe the museum is open.", "Is the museum open?")


def test_an_opposite_verdict_is_not_served_as_sure() -> None:
    """Ten samples that call malignant what the answer calls benign leave no confidence."""
    question = "Is the tumor benign?"
    served, drawn = (
        "Yes, the tumor is benign according to the biopsy.",
        "The tumor is malignant according to the biopsy.",
    )
    edge = ScriptedEngine({question: (served, [drawn] * 10)})

    record = Router(edge, samples=10, threshold=0.3).decide([{"role": "user", "content": question}]).record

    assert (record.route, record.confidence) == ("cloud", 0.0)
