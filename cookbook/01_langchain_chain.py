"""A LangChain chain whose model answers locally what it is sure of.

The edge is the real SmolLM2-135M. The cloud here is a fake that always says the same, so that the recipe runs without
a key; put ChatOpenAI(...) or any other chat model in its place.
"""

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate

from confroute import ConfidenceRecord
from confroute_langchain import ConfidenceRoutedChatModel


def log(record: ConfidenceRecord) -> None:
    """A hook is a function of the record."""
    print(f"  [{record.route}: {record.reason}, confidence {record.confidence}]")


model = ConfidenceRoutedChatModel(
    edge="smollm2-135m",
    cloud=FakeListChatModel(responses=["(the cloud's answer)"]),
    max_tokens=24,
    hooks=[log],
)
prompt = ChatPromptTemplate.from_messages(
    [("system", "Answer with just the answer, a word or a short phrase."), ("user", "{question}")]
)
chain = prompt | model

for question in ("What is the capital of France?", "Who was the third king of Bhutan?"):
    print(question)
    message = chain.invoke({"question": question})
    print(" ", message.text)
    assert message.response_metadata["confidence_routing"]["route"] in ("edge", "cloud")

print("The same, streamed:")
for chunk in chain.stream({"question": "What is the capital of France?"}):
    print(chunk.text, end="|")
print()
