"""Answers that share their words and are told apart by one of them, by an operator or by a negation."""

from __future__ import annotations

import time

import pytest

from confroute import TextEquivalence
from confroute.equivalence.negations import NEGATIONS
from confroute.equivalence.normalise import tokens
from confroute.equivalence.synonyms import CALLINGS, GROUPS

ONE_WORD = [
    ("SELECT name FROM users ORDER BY age ASC LIMIT 10", "SELECT name FROM users ORDER BY age DESC LIMIT 10"),
    ("DELETE FROM users WHERE age > 30", "SELECT * FROM users WHERE age > 30"),
    ("git reset --hard HEAD~1", "git reset --soft HEAD~1"),
    ("def largest(xs):\n    return min(xs)", "def largest(xs):\n    return max(xs)"),
    ("The overall sentiment expressed in this text is negative.", "The overall sentiment of this text is positive."),
    ("Turn left at the second traffic light", "Turn right at the second traffic light"),
    ("Take it before meals with plenty of water", "Take it after meals with plenty of water"),
    ("It is a deep, dark brown color, usually", "It is a deep, dark orange color, usually"),
    ("sales@acme.com", "support@acme.com"),
    ("ann.lee@acme.com", "ann.lee@acme.org"),
    ("https://portal.acme.com/logout", "https://portal.acme.com/login"),
    ("/var/log/nginx/nginx.conf", "/etc/nginx/nginx.conf"),
    ("Yes, the jar can be returned but not without a receipt", "No, the jar can be returned but not with a receipt"),
]

OF_THE_QUESTION = [
    ("A patient weighs 70 kg and needs 2 mg per kg. What dose is needed?", "The dose is 140 mg", "The dose is 140 g"),
    ("A train leaves at 5 PM and travels for 3 hours. When does it arrive?", "8 PM", "8 AM"),
    ("How many minutes is 2 hours?", "It takes 120 minutes", "It takes 120 seconds"),
    ("How much is it in dollars?", "$5", "€5"),
    ("Is the mushroom edible?", "It is generally edible", "It is generally toxic"),
    ("Is the store open on Sundays?", "It is open all day", "It is closed all day"),
    ("Which is robust to outliers?", "mean, by all accounts", "median, by all accounts"),
    ("Is 91 prime?", "91 is a prime number.", "91 is a composite number."),
    ("Is Sydney the capital of Australia?", "The seat of government is Sydney.", "The seat of government is Canberra."),
    ("The data is kept in Oslo. Where are the servers?", "They are hosted in Oslo.", "They are hosted in Rome."),
    ("Does coffee increase heart rate?", "Coffee increases heart rate a little", "Coffee lowers heart rate a little"),
    ("Is it safe to eat?", "It's safe to eat usually", "It's toxic to eat usually"),
    ("How many mg of it do I need a day?", "The dose is 140 mg usually", "The dose is 140 g usually"),
    ("Did Edison invent the telephone?", "Edison developed it in his lab.", "Bell developed it in his lab."),
]

BOTH_DENY = [
    ("It is safe, but not recommended.", "It is not safe."),
    ("It covers water damage but not theft.", "It does not cover water damage."),
    ("A tomato is a fruit, not a vegetable.", "A tomato is a vegetable, not a fruit."),
    ("It is not red but blue.", "It is not blue but red."),
    ("You can get a refund, but not for food.", "You cannot get a refund for food."),
    ("Es ist sicher, aber nicht empfohlen.", "Es ist nicht sicher."),
    ("C'est sûr, mais pas recommandé.", "Ce n'est pas sûr."),
]

DENY_THE_SAME = [
    ("It is not safe.", "No, it is not safe for dogs."),
    ("It is not a fish but a mammal.", "It is a mammal, not a fish."),
    ("It covers damage, not theft.", "It does not cover theft, it covers damage."),
    ("Not theft", "It does not cover theft."),
    ("It covers damage but does not cover theft.", "It does not cover theft."),
    ("Güvenli değil, tehlikeli.", "Tehlikeli, güvenli değil."),
    ("Every day except Monday", "The shop is open every day except Monday."),
]

OPERATORS = [
    ("density = mass * volume", "density = mass / volume"),
    ("v = d * t", "v = d / t"),
    ("v = d*t", "v = d/t"),
    ("2*x", "2/x"),
    ("3x - 2y", "3x * 2y"),
    ("a + b", "a - b"),
    ("12 × 4", "12 ÷ 4"),
    ("e^x", "e^-x"),
    ("e^{x}", "e^{-x}"),
    ("6.626e-34", "6.626e34"),
    ("6.626e-34", "6.626"),
    ("√5", "5"),
    ("±2", "2"),
    ("¬A", "A"),
    ("A ∪ B", "A ∩ B"),
    ("x && y", "x || y"),
    ("A → B", "A ← B"),
    ("5", "5K"),
    ("$300", "$300M"),
    ("It has 135M users", "It has 135 users"),
    ("-5K", "-5"),
    ("The OR gate.", "The AND gate."),
    ("not A and not B", "not A or not B"),
    ("He won.", "She won."),
    ("You might register", "You must register"),
    ("Tenants may pay a deposit.", "Tenants must pay a deposit."),
    ("sqrt(2)", "2"),
    ("the square root of 2", "2"),
    (r"\frac{\sqrt{3}}{2}", r"\frac{3}{2}"),
    (r"x = \pm 5", "x = 5"),
    (r"\neg p", "p"),
    ("1/x", "x"),
    ("O(n)", "O(log n)"),
    ("O(n log n)", "O(n)"),
    ("O(1)", "O(n)"),
    ("The complexity is $O(n^2)$", "The complexity is $O(n)$"),
    ("O(V+E)", "O(V*E)"),
    ("Passed ✅", "Passed ❌"),
    ("👍 good", "👎 good"),
    ("- [x] milk", "- [ ] milk"),
]

SAME = [
    ("5", "5 km"),
    ("5", "5m"),
    ("5K", "5k"),
    ("373K", "373 K"),
    ("x * y", "x · y"),
    ("12 / 4", "12 ÷ 4"),
    ("60 km/h", "60 km / h"),
    ("6.626E-34", "6.626e-34"),
    ("√5", "sqrt(5)"),
    ("* Paris", "- Paris"),
    ("**Paris**", "Paris"),
    ("Paris - the capital", "Paris, the capital"),
    ("Paris and/or Lyon", "Paris, Lyon"),
    ("Paris and Lyon", "Paris, Lyon"),
    ("Write to sales@acme.com.", "sales@acme.com"),
    ("See <https://acme.com/login>", "https://acme.com/login"),
    ("https://www.acme.com/", "http://acme.com"),
    ("The site is https://acme.com/login/).", "https://acme.com/login"),
    ("GET /users", "/users/"),
    ("mailto:sales@acme.com", "sales@acme.com"),
    ("sales@acme.com。", "sales@acme.com"),
    ("邮箱是sales@acme.com", "sales@acme.com"),
    ("Elon Musk", "Elon Musk, with about $200B"),
    ("Mistral", "Mistral 7B"),
    ("Llama 3.1", "Llama 3.1 with 405B parameters"),
    ("10 Downing Street", "No. 10 Downing Street"),
    ("an NDA", "an NDA (non-disclosure agreement)"),
    ("John F. Kennedy", "John Fitzgerald Kennedy"),
    ("Certainly! Paris is large", "Sure! Paris is large"),
    ("It decreases over time", "It decreased over time"),
    ("O(n log n)", "It runs in O(n·log(n)) time"),
    ("O(n²)", "O(n^2)"),
    ("Passed ✅", "Passed"),
    ("Passed ✅", "Passed ✔"),
]

SYNONYMS = [
    ("Thriller was sung by Michael Jackson.", "Thriller was performed by Michael Jackson."),
    ("It is located in Paris, France.", "It is situated in Paris, France."),
    ("It is roughly 8,849 meters tall.", "It is approximately 8,849 meters tall."),
    ("The war officially ended in 1945.", "The war formally ended in 1945."),
    ("It is classified as a dwarf planet", "It is considered a dwarf planet"),
    ("The biggest planet is Jupiter", "The largest planet is Jupiter"),
    ("Der Faust wurde von Goethe geschrieben", "Der Faust wurde von Goethe verfasst"),
    ("El Guernica fue pintado por Picasso", "El Guernica fue creado por Picasso"),
    ("Hamlet is by English playwright William Shakespeare.", "Hamlet is by famous author William Shakespeare."),
    ("The Eiffel Tower was built in 1889.", "The Eiffel Tower was completed in 1889."),
    ("The train goes 150 km.", "The train travels 150 km."),
    ("The tallest building is the Burj Khalifa.", "The tallest structure is the Burj Khalifa."),
    ("The first man on the moon was Neil Armstrong.", "The first human on the moon was Neil Armstrong."),
    ("The flight takes 2 hours.", "The journey takes 2 hours."),
    ("The plan costs $10 per month.", "The subscription costs $10 per month."),
    ("The store is open from 9 AM to 5 PM.", "The shop is open from 9 AM to 5 PM."),
    ("Employees get 25 days per year.", "Employees receive 25 days per year."),
    ("It was Scottish scientist Alexander Fleming", "It was Scottish bacteriologist Alexander Fleming"),
]

NO_SYNONYMS = [
    ("Oslo is larger than Rome.", "Oslo is smaller than Rome."),
    ("The Reds won against Rome.", "The Reds lost against Rome."),
    ("Oslo hired Marta Lopez", "Oslo fired Marta Lopez"),
    ("She is a singer from Oslo", "She is an actor from Oslo"),
    ("Oslo hired the singer", "Oslo hired the actor"),
    ("It was President Marta Lopez", "It was Senator Marta Lopez"),
    ("It lies over 5 km north of Oslo", "It lies under 5 km north of Oslo"),
    ("The album was recorded in 1982", "The album was released in 1982"),
]

NEGATED = [
    ("Das Medikament ist sicher.", "Das Medikament ist nicht sicher."),
    ("Es gibt einen Fehler.", "Es gibt keinen Fehler."),
    ("Le médicament est sûr.", "Le médicament n'est pas sûr."),
    ("Il farmaco è sicuro.", "Il farmaco non è sicuro."),
    ("O medicamento é seguro.", "O medicamento não é seguro."),
    ("El medicamento es seguro.", "El medicamento no es seguro."),
    ("Лекарство безопасно.", "Лекарство не безопасно."),
    ("Lek jest bezpieczny.", "Lek nie jest bezpieczny."),
    ("Het medicijn is veilig.", "Het medicijn is niet veilig."),
    ("Medisinen er trygg.", "Medisinen er ikke trygg."),
    ("Medicinen är säker.", "Medicinen är inte säker."),
    ("İlaç güvenli.", "İlaç güvenli değil."),
    ("यह दवा सुरक्षित है", "यह दवा सुरक्षित नहीं है"),
    ("الدواء آمن", "الدواء ليس آمن"),
    ("Obat itu aman.", "Obat itu tidak aman."),
    ("Thuốc này an toàn.", "Thuốc này không an toàn."),
    ("The mushroom is toxic.", "The mushroom is non-toxic."),
    ("No. 10 is open.", "No. 10 is not open."),
    ("Two snowflakes are alike.", "No two snowflakes are alike."),
    ("It is open on Monday.", "It is open every day except Monday."),
    ("Everyone, students included, can apply", "Everyone, excluding students, can apply"),
    ("You can return it", "You can return it unless it is open"),
    ("It is safe", "It is hardly safe"),
    ("Montags offen", "Offen außer montags"),
    ("Ouvert le lundi", "Ouvert sauf le lundi"),
    ("Abierto el lunes", "Abierto excepto el lunes"),
    ("Открыто в понедельник", "Открыто, кроме понедельника, в понедельник"),
    ("الدواء آمن", "الدواء غير آمن"),
]


def agree(a: str, b: str, question: str = "") -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question=question)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("a", "b"), ONE_WORD)
def test_one_word_for_another(a: str, b: str) -> None:
    """What else the answers share, command, sentence or address, does not make up for it."""
    assert not agree(a, b)


@pytest.mark.parametrize(("question", "a", "b"), OF_THE_QUESTION)
def test_one_word_of_the_question_for_another(question: str, a: str, b: str) -> None:
    """A word of the question, in the place where the other answer has another one, is as good an answer as any."""
    assert not agree(a, b, question)


@pytest.mark.parametrize(("a", "b"), BOTH_DENY)
def test_what_one_denies_the_other_says(a: str, b: str) -> None:
    """That both deny something makes them no more alike."""
    assert not agree(a, b)
    assert not agree(a, b, question=a)


@pytest.mark.parametrize(("a", "b"), DENY_THE_SAME)
def test_both_deny_the_same(a: str, b: str) -> None:
    """In other words, in another order, or of more."""
    assert agree(a, b)


@pytest.mark.parametrize(
    ("question", "a", "b"),
    [
        ("Is the store open on Sunday?", "No, the store is not open on Sunday.", "No, it is open, but not on Sunday."),
        (
            "Can I return bread?",
            "No, bread is not eligible for returns.",
            "No, all are eligible except bread.",
        ),
    ],
)
def test_both_say_no(question: str, a: str, b: str) -> None:
    """Then what each denies only says more of the same; not where the question lacks it."""
    assert agree(a, b, question)
    assert not agree("No, it is not red but blue.", "No, it is not blue but red.", "Is it green?")


@pytest.mark.parametrize(("a", "b"), OPERATORS)
def test_a_sign_for_another(a: str, b: str) -> None:
    """Operators and scales of numbers count, and words such as "and" and "or" where nothing else differs."""
    assert not agree(a, b)


@pytest.mark.parametrize(("a", "b"), SAME)
def test_signs_that_change_nothing(a: str, b: str) -> None:
    """Units, punctuation, other signs for the same operator, initials and endings."""
    assert agree(a, b)


@pytest.mark.parametrize(
    ("question", "a", "b"),
    [
        ("Is √2 irrational?", "Yes", "Yes, √2 is irrational."),
        ("What is the square root of 144?", "12", "The square root of 144 is 12 (12 * 12 = 144)."),
        ("What is √144?", "12", "√144 = 12"),
        ("What is the square root of 144?", "12, as 12 × 12 = 144", "The square root of 144 is 12."),
    ],
)
def test_signs_of_the_question(question: str, a: str, b: str) -> None:
    """A root that the question names is no other answer for standing in only one of them."""
    assert agree(a, b, question)
    assert not agree("√5", "5", "Is it √5 or 5?")
    assert not agree("5K", "5", "How much is 5K?")


@pytest.mark.parametrize(("a", "b"), SYNONYMS)
def test_a_word_for_the_same(a: str, b: str) -> None:
    """Of the words that answers swap most, those of one meaning, and what somebody is called before the name."""
    assert agree(a, b)


@pytest.mark.parametrize(("a", "b"), NO_SYNONYMS)
def test_a_word_for_something_else(a: str, b: str) -> None:
    """What stands before a name that both have is still another verb, place or office."""
    assert not agree(a, b)


def test_synonyms_are_tokens() -> None:
    """Each is written as the comparison sees it, without capitals, accents and an s at its end, unless of two."""
    words = [word for group in GROUPS for word in group.split()] + list(CALLINGS)
    assert [word for word in words if (word,) != tokens(word)] == []
    assert [word for word in words if len(word) > 3 and word.endswith("s") and not word.endswith("ss")] == []
    assert all(len(group.split()) > 1 for group in GROUPS)


@pytest.mark.parametrize(
    ("question", "a", "b"),
    [
        ("Onde nasceu Pelé?", "Pelé nasceu no Brasil.", "Brasil"),
        ("Quando foi a independência?", "1822", "A independência foi no ano de 1822."),
        ("", "A capital fica no Brasil.", "Fica, a capital do Brasil"),
    ],
)
def test_in_the_of_portuguese_denies_nothing(question: str, a: str, b: str) -> None:
    """Its "no" is no negation, that of Spanish is."""
    assert agree(a, b, question)
    assert not agree("Não fica no Brasil", "Fica no Brasil", "Onde fica?")
    assert not agree("Es seguro", "No es seguro", "¿Es seguro el medicamento?")


@pytest.mark.parametrize(("a", "b"), NEGATED)
def test_negated_in_other_languages(a: str, b: str) -> None:
    """One that denies what the other says is another answer, also where the question said all the words."""
    assert not agree(a, b)
    assert not agree(a, b, question=a)


def test_negations_are_tokens() -> None:
    """Each is written as the comparison sees it, without capitals and accents."""
    assert [word for word in NEGATIONS if tokens(word) != (word,)] == []


def test_a_word_of_the_question_is_no_swap() -> None:
    """Where one answer names the question's own subject and the other says more, none replaces the other's word."""
    question = "What is the capital of Japan?"
    assert agree("The capital of Japan is Tokyo", "The capital city is Tokyo", question)
    assert agree("It was discovered by Fleming in 1928", "Alexander Fleming", "Who discovered penicillin?")
    assert agree("Paris is the capital of France", "Yes, Paris is the capital", "Is Paris the capital of France?")


def test_choices_out_of_a_text_differ() -> None:
    """Two answers of the question's words alone, each with one that the other lacks."""
    question = "The blue team from Oslo beat the red team from Rome. Which team won?"
    assert not agree("The red team won.", "The blue team won.", question)
    assert agree("The blue team won.", "The blue team", question)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("city japan {}", "city town {}"),
        ("1 hour 2 minutes {}", "3 hours 4 minutes {}"),
        ("not {} and", "never {} or"),
        ("```\n{}", "``` {}"),
        ("1. {}\n\n", "O(({} "),
    ],
)
def test_time_is_linear_in_the_answers(a: str, b: str) -> None:
    """Thousands of places to compare take a fraction of a second, not one for each pair of them."""
    words = ["".join("abcdefghij"[int(digit)] for digit in str(100_000 + i)) for i in range(4_000)]
    texts = [" ".join(map(form.format, words)) for form in (a, b)]
    start = time.process_time()
    agree(*texts, question="the city of japan")
    assert time.process_time() - start < 2
