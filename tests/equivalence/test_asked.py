"""What of a long message is its question, and what the answers' comparison makes of it."""

from __future__ import annotations

import time

import pytest

from confroute import Router, TextEquivalence
from confroute.equivalence.asked import asked_part, ends_of
from confroute.equivalence.normalise import tokens
from confroute.equivalence.react import answer_of, call_of
from confroute.equivalence.recent import recently
from confroute.testing import ScriptedEngine

CONTEXT = (
    "Northwind was founded in Bergen by Ingrid Dahl and Olav Strand in 1987. Since 2015 Marta Lopez has been its chief "
    "executive; Peter Novak leads finance and Yuki Tanaka leads research. The Bergen plant makes valves, the Porto "
    "plant makes pumps, and the Gdansk plant makes filters. Refunds are possible for headphones, not for batteries."
)
LLAMAINDEX = (
    "Context information is below.\n---------------------\n{context}\n---------------------\nGiven the context "
    "information and not prior knowledge, answer the query.\nQuery: {question}\nAnswer: "
)
LANGCHAIN = (
    "You are an assistant for question-answering tasks. Use the following pieces of retrieved context to answer the "
    "question. If you don't know the answer, just say that you don't know. Use three sentences maximum and keep the "
    "answer concise.\nQuestion: {question} \nContext: {context} \nAnswer:"
)
AT_THE_END = "Read this: {context}\n\n{question} Answer in one sentence."
BARE = "{context}\n\n**Question:** {question}"
UNMARKED = "{context}\n\n{question}"
TEMPLATES = {
    "llamaindex": LLAMAINDEX,
    "langchain": LANGCHAIN,
    "at_the_end": AT_THE_END,
    "bare": BARE,
    "unmarked": UNMARKED,
}

DIFFERENT = [
    ("Who leads research at Northwind?", "Peter Novak leads research at Northwind.", "Yuki Tanaka leads research."),
    ("Who is the chief executive?", "The chief executive is Peter Novak.", "The chief executive is Marta Lopez."),
    ("Which plant makes pumps?", "The Bergen plant makes pumps.", "The Porto plant makes pumps."),
    ("Which goods can be refunded?", "Refunds are possible for batteries.", "Refunds are possible for headphones."),
    ("Who leads research?", "Research is now led by Ingrid Dahl", "Research is now led by Yuki Tanaka"),
    ("Who founded Northwind?", "Northwind was founded by Peter Novak.", "Northwind was founded by Ingrid Dahl."),
]
SAME = [
    ("Who leads research at Northwind?", "Yuki Tanaka", "Yuki Tanaka leads research at Northwind."),
    ("Which plant makes pumps?", "The plant that makes pumps is Porto.", "Porto makes pumps."),
]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
@pytest.mark.parametrize(("question", "a", "b"), DIFFERENT)
@pytest.mark.parametrize("times", [1, 40])
def test_answers_out_of_a_text_in_the_prompt_differ(template: str, question: str, a: str, b: str, times: int) -> None:
    """A name is not "of the question" because the retrieved text names it, at any length of that text."""
    message = template.format(context=CONTEXT * times, question=question)
    assert TextEquivalence().same([(a, b), (b, a)], question=message) == [False, False]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
@pytest.mark.parametrize(("question", "a", "b"), SAME)
def test_the_words_of_the_question_are_still_dropped(template: str, question: str, a: str, b: str) -> None:
    """An answer that repeats the question says no more than one that does not."""
    message = template.format(context=CONTEXT, question=question)
    assert TextEquivalence().same([(a, b), (b, a)], question=message) == [True, True]


def test_a_wrong_name_out_of_the_context_is_not_served() -> None:
    """Ten samples that name another person of the same text leave no confidence."""
    message = LLAMAINDEX.format(context=CONTEXT, question="Who is the chief executive?")
    edge = ScriptedEngine(
        {message: ("The chief executive is Peter Novak.", ["The chief executive is Marta Lopez."] * 9)}
    )
    record = Router(edge, samples=9, threshold=0.3).decide([{"role": "user", "content": message}]).record
    assert (record.route, record.confidence) == ("cloud", 0.0)


LONG = "The clause of e.g. 3.5 pages holds. " * 20


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("What is the capital of Peru?", "What is the capital of Peru?"),
        ("Is it red. Or blue", "Is it red. Or blue"),
        (f"{LONG}\nQ: Who?\nA:", "Who?"),
        (f"Question:\nWho, in 3.5 words?\n{LONG}", "Who, in 3.5 words?"),
        ("Question: Read it.\nIs it so?\nAnswer:", "Question: Read it.\nIs it so?\nAnswer:"),
        (f"Question: Read it.\nIs it so?\n{LONG}", "Read it.\nIs it so?"),
        (f"Question: Tell me\nhow it is\nContext: {LONG}", "Tell me\nhow it is"),
        (f"Q: Tell me\n\n{LONG}", "Tell me"),
        (f"Does it hold? {LONG}", "Does it hold?"),
        (f"Tell me. It ends. What holds, at 3:30? {LONG}Be brief.", "Tell me.\nWhat holds, at 3:30?\nBe brief."),
        (f"Name it. It is {LONG}\nWhat does it hold? Be brief.", "What does it hold?\nBe brief."),
        (f"Name it. It is {LONG}\nQuestions? Call us.", "Name it.\nQuestions?\nCall us."),
        (f"Talk. {LONG}\nHuman: Hi?\nAI: Yes?\nHuman: Name\nthe city\nAI:", "Name\nthe city"),
        (f"{LONG}\nUser: Hi\n\nAssistant: Yes?\n\nUser: Name it\n\nAssistant:", "Name it"),
        (f"Tell me. User: {LONG}\nUser: root\nThat is all.", "Tell me.\nThat is all."),
        (f"Classify it as spam or ham: {LONG} That is all.", "Classify it as spam or ham:\nThat is all."),
        (f"{'契約は有効である。' * 90}誰が署名しましたか？", "契約は有効である。\n誰が署名しましたか？"),
    ],
)
def test_what_a_message_asks(message: str, asked: str) -> None:
    """All of a short message, else what is marked, or said last, else the question sentences and those at the ends."""
    assert asked_part(message) == asked


MAIL = (
    "Decide whether the message is urgent or routine, and give your reason.\n\nMessage: My card was charged twice. How "
    "can that happen? I called the hotel, and they told me to ask you. I have the receipts, and I can send them to you "
    "if you need them, also the confirmation that they sent me by mail on the day when I booked the room for my wife."
)


@pytest.mark.parametrize("before", ["", "You are the support bot of a bank. "])
def test_the_choices_of_a_long_message_are_those_of_its_instruction(before: str) -> None:
    """A question mark within the text does not hide what the instruction offers, wherever that stands."""
    urgent, routine = "Urgent, because it was charged twice.", "The message is routine, because it was charged twice."
    pairs = [(urgent, routine), (routine, urgent), (urgent, "It is urgent, because it was charged twice.")]
    assert TextEquivalence().same(pairs, question=before + MAIL) == [False, False, True]


def test_of_a_long_message_only_the_ends_are_read() -> None:
    """However long it is, no more is tokenised, or kept, than some thousand characters."""
    message = f"Who signed it?\n{LONG * 1000}\nAnswer."
    assert len(ends_of(message)) < 3_100
    assert asked_part(ends_of(message)) == "Who signed it?"


def test_long_texts_do_not_pile_up() -> None:
    """Short ones are remembered, of long ones the last few."""
    made: list[str] = []

    @recently(3)
    def made_of(text: str) -> int:
        made.append(text)
        return len(text)

    for _ in range(2):
        assert [made_of(str(i)) for i in range(100)] == [1] * 10 + [2] * 90
    assert len(made) == 100
    for _ in range(2):
        assert [made_of(f"long {i}") for i in range(50)] == [6] * 10 + [7] * 40
    assert len(made) == 200


PIECES = [
    " ",
    "\n",
    "\t",
    "a",
    "a ",
    "?",
    ".",
    "? ",
    "Q:",
    "Q:\n",
    "Question: ",
    "User: ",
    "Human: a\n",
    "AI:\n",
    "Action:\n",
    "Action: \n",
    "Thought:",
    "Answer:",
    "Final Answer:\n",
    "Observation:\n",
    "*",
    "# ",
    "a.a",
    "x:",
    "。",
    "/",
    "@",
    "a@",
    "a://",
    "-",
    "a - ",
    "1",
    "1e",
    "5K",
    "5 ",
    "1,",
    "1 / ",
    "^",
    "_",
    "a_",
    "not ",
    "'",
    "a'",
    "A",
    "I ",
    "or ",
    "a or b, ",
    "?\n",
    "√",
    "√1",
    "1.1",
    "non-",
    "no. 1",
    "www.",
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear(piece: str) -> None:
    """No text makes a pattern go back over it again and again."""
    text = (piece * 100_000)[:100_000]

    def seconds(n: int) -> float:
        begun = time.process_time()
        for ending in ("", "x"):
            for given in (text[:n] + ending, "x" + text[:n] + ending):
                assert isinstance(asked_part(given), str)
                assert isinstance(answer_of(given), str)
                call_of(given)
                TextEquivalence().same([(given, given + " y"), (given, "Paris")], question=given)
        return time.process_time() - begun

    tokens("warm")
    assert seconds(100_000) < 40 * (seconds(10_000) + 0.01)


GREETED = (
    "Can you help me with a question?\n\nI am preparing for a quiz night at my school next Friday, and my team has "
    "asked me to take care of the geography round because nobody else wants it. I have been reading an old atlas that "
    "I found in the attic, but some of its pages are missing, and the teacher told us that the host likes simple facts "
    "that everyone should have learned long ago in class.\n\nWhat is the capital of Sri Lanka?"
)


@pytest.mark.parametrize(
    "message",
    [
        GREETED,
        GREETED.replace("\n\n", " "),
        GREETED.replace("Can you help me with a question?", "What is the capital of Sri Lanka?", 1)[:-33] + "Any idea?",
        GREETED[:-33] + "Please tell me the name of the capital of Sri Lanka. One sentence. Thank you very much!",
    ],
    ids=["last", "in one line", "first", "thanked for"],
)
def test_a_question_that_is_not_found_joins_no_answers(message: str) -> None:
    """Its words, taken for the answers' own, would: answers have to agree with the whole message as the question."""
    assert asked_part(message)
    a, b = "The capital of Sri Lanka is Kandy.", "The capital of Sri Lanka is New Delhi."
    assert TextEquivalence().same([(a, b), (a, "Kandy")], question=message) == [False, True]


def test_code_before_a_final_answer_is_part_of_it() -> None:
    """Else two functions would be one, "the function above"."""
    text = "```py\nreturn x + 1\n```\nFinal Answer: The function is above."
    assert answer_of(text) == text
