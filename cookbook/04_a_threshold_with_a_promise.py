"""A threshold that escalates at most 60 % of questions like these, as a certificate that a router checks.

The same as `confroute calibrate questions.jsonl --target cost=0.6`, in Python. Thirty questions are few: the promise
holds with a probability of 80 % only, and a promise about quality would take some hundreds, with their answers. Needs
`pip install 'confroute[llamacpp,train]'`.
"""

import tempfile
from pathlib import Path

from rich.progress import track

from confroute import ConfigurationError, Disagreement, Router, SamplingOptions, resolve_edge
from confroute.calibration.certify import Target, certify
from confroute.calibration.collection import Collection
from confroute.calibration.prompts import Prompt
from confroute.demo.questions import SYSTEM, load_questions

system = {"role": "system", "content": SYSTEM}
questions = [question.question for question in load_questions("calibration")[:30]]
prompts = [Prompt(messages=(system, {"role": "user", "content": question})) for question in questions]
edge = resolve_edge("smollm2-135m")
estimator = Disagreement()
options = SamplingOptions(max_tokens=16, seed=7)
collection = Collection(edge=edge, estimators=[estimator], samples=5, options=options)

with tempfile.TemporaryDirectory() as folder:
    # Interrupted, it would go on from this file.
    answers = collection.gather(prompts, Path(folder) / "answers.jsonl")
    collected = list(track(answers, "asking the edge", total=len(prompts)))
    target = Target(kind="cost", value=0.6, delta=0.2)
    certificate = certify(collection, estimator, prompts, collected, target, task="general knowledge").certificate
    certificate.save(Path(folder) / "certificate.json")

    router = Router(edge, estimator=estimator, samples=5, certificate=Path(folder) / "certificate.json")
    japan = {"role": "user", "content": "What is the capital of Japan?"}
    record = router.decide([system, japan], options).record
    print(f"threshold {certificate.threshold}, kept {certificate.kept:.0%}; Japan: {record.route} ({record.reason})")
    assert record.certificate == certificate.id

    # Other system messages are other traffic, longer answers are other answers: neither is covered.
    assert router.decide([japan], options).record.reason == "uncertified"
    assert router.decide([system, japan], SamplingOptions(max_tokens=64)).record.reason == "uncertified"

    # Another number of samples is another signal, and refused.
    try:
        Router(edge, estimator=estimator, samples=10, certificate=certificate)
    except ConfigurationError as error:
        print(error)
    else:
        raise AssertionError("A certificate for five samples was taken with ten.")
