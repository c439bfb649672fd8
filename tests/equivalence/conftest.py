"""Tiny encoders for the equivalences that run one, made here: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

WORDS = "paris lutetia rome somewhere where is it ? not the a b c 1 2".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LABELS = ("entailment", "neutral", "contradiction")
QUESTION = "where is it ?"
MAX_TOKENS = 48


def judgement(premise: str, hypothesis: str) -> int:
    """What the trained model has learnt, as an index of LABELS."""
    city = {"lutetia": "paris"}
    if hypothesis == "somewhere" or city.get(premise, premise) == city.get(hypothesis, hypothesis):
        return 0
    return 1 if premise == "somewhere" else 2


def tokenizer() -> Any:
    """One token for each word; BERT's special tokens and segments."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: i for i, token in enumerate(SPECIAL + WORDS)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def bert(cls: str, **options: Any) -> Any:
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, cls)(config)


def save(model: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def trained() -> Any:
    """An NLI model that has learnt `judgement`, of single words and of words behind QUESTION."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = bert("BertForSequenceClassification", id2label=dict(enumerate(LABELS)))
    places = WORDS[:4]
    pairs = [(a, b) for a in places for b in places]
    texts = [(f"{prefix}{a}", f"{prefix}{b}") for prefix in ("", f"{QUESTION} ") for a, b in pairs]
    batch = tokenizer()([a for a, _ in texts], [b for _, b in texts], padding=True, return_tensors="pt")
    labels = torch.tensor([judgement(a, b) for a, b in pairs] * 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    return model.eval()


@pytest.fixture(scope="session")
def nli_folder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], str]:
    """Folders of the trained model, its outputs in the order of the labels given."""
    folders: dict[tuple[str, ...], str] = {}

    def folder(labels: Sequence[str] = LABELS) -> str:
        if tuple(labels) not in folders:
            model = bert("BertForSequenceClassification", id2label=dict(enumerate(labels)))
            state = trained.state_dict()
            order = [[label.lower() for label in labels].index(label) for label in LABELS]
            inverse = [order.index(i) for i in range(3)]
            for name in ("classifier.weight", "classifier.bias"):
                state = {**state, name: state[name][inverse]}
            model.load_state_dict(state)
            folders[tuple(labels)] = save(model, tmp_path_factory.mktemp("nli") / "tiny-nli")
        return folders[tuple(labels)]

    return folder


@pytest.fixture(scope="session")
def random_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with an encoder that has learnt nothing."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return save(bert("BertModel"), tmp_path_factory.mktemp("encoder") / "tiny-encoder")


@pytest.fixture
def generic_folder(tmp_path: Path) -> str:
    """A classifier of three classes that nobody named."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return save(bert("BertForSequenceClassification", num_labels=3), tmp_path / "generic")
