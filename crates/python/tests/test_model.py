"""Models: what they generate is what transformers does, whichever way it is asked for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from conftest import TINY

import whinchat
from whinchat import errors


def test_every_way_gives_what_transformers_does(model: whinchat.Model, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        prompt, wanted = case["prompt"], case["text"]
        answer = model.generate(prompt, max_tokens=24, temperature=0)
        assert (answer.text, str(answer), answer.finish_reason) == (wanted, wanted, "length")
        assert answer.generated_tokens == 24
        stream = model.stream(prompt, max_tokens=24, temperature=0)
        pieces = list(stream)
        assert "".join(pieces) == wanted and len(pieces) > 1
        assert stream.answer.text == wanted
        tokens = model.tokenizer.encode(prompt, parse_special=True)
        assert model.generate(tokens, max_tokens=24, temperature=0).text == wanted
        assert model.generate(numpy.array(tokens), max_tokens=24, temperature=0).text == wanted  # type: ignore[arg-type]


def test_event_loops_run_answers_side_by_side(model: whinchat.Model, cases: list[dict[str, Any]]) -> None:
    async def collect(prompt: str) -> str:
        return "".join([text async for text in model.stream(prompt, max_tokens=24, temperature=0)])

    async def everything() -> list[str]:
        streamed = await asyncio.gather(*(collect(case["prompt"]) for case in cases))
        whole = [await model.generate_async(case["prompt"], max_tokens=24, temperature=0) for case in cases]
        assert [answer.text for answer in whole] == streamed
        return streamed

    assert asyncio.run(everything()) == [case["text"] for case in cases]


def test_tasks_that_are_cancelled_cancel_their_generations(model: whinchat.Model) -> None:
    async def cancelled() -> None:
        stream = model.stream("The", max_tokens=200, ignore_eos=True)

        async def read() -> None:
            async with stream:
                async for _ in stream:
                    started.set()

        started = asyncio.Event()
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.answer.finish_reason is None

    asyncio.run(cancelled())


def test_events_tell_of_all_answers(model: whinchat.Model) -> None:
    stream = model.stream("The", n=3, max_tokens=5, seed=7, ignore_eos=True)
    ends = [event.choice for event in stream.events() if event.kind == "finished"]
    assert sorted(ends) == [0, 1, 2]
    assert [answer.generated_tokens for answer in stream.answers] == [5, 5, 5]
    assert stream.first_token is not None and stream.first_token > 0


def test_log_probabilities_are_those_of_the_logits(model: whinchat.Model) -> None:
    tokens = model.tokenizer.encode("The quick")
    logits = model.logits(tokens)
    assert logits.shape == (len(tokens), model.tokenizer.vocab_size) and logits.dtype == numpy.float32
    assert not logits.flags.owndata and not logits.flags.writeable, "it is where it was computed"
    assert numpy.array_equal(logits, model.logits("The quick"))
    wide = logits[-1].astype(numpy.float64)
    expected = wide - numpy.log(numpy.exp(wide - wide.max()).sum()) - wide.max()
    answer = model.generate(tokens, max_tokens=1, temperature=0, logprobs=3, ignore_eos=True)
    (first,) = answer.logprobs
    best = int(wide.argmax())
    assert first["token"] == (model.tokenizer.piece(best) or "").replace("Ġ", " ").encode() or first["logprob"] < 0
    assert abs(first["logprob"] - expected[best]) < 1e-4
    assert [top[1] for top in first["top"]] == sorted((top[1] for top in first["top"]), reverse=True)
    asked = model.generate(tokens, max_tokens=1, temperature=0, prompt_logprobs=0)
    assert [entry["id"] for entry in asked.prompt_logprobs] == tokens


def test_texts_have_the_vectors_of_transformers(model: whinchat.Model) -> None:
    known = json.loads((TINY / "embeddings.json").read_text("utf-8"))
    texts = [case["text"] for case in known]
    for pooling in ["mean", "cls", "last"]:
        vectors = model.embed(texts, pooling=pooling)
        wanted = numpy.array([case[pooling] for case in known])
        assert vectors.shape == wanted.shape and not vectors.flags.owndata
        assert numpy.abs(vectors - wanted).max() < 2e-4, pooling
    assert model.embed("one").shape[0] == 1
    assert model.embed(texts, dimensions=8).shape == (len(texts), 8)
    assert model.embed([]).shape[0] == 0


def test_conversations_go_through_the_template(builtin: whinchat.Model) -> None:
    said = builtin.render("Who are you?")
    assert "Who are you?" in said and said != "Who are you?"
    messages = [{"role": "user", "content": "Who are you?"}]
    answers = [builtin.chat(ask, max_tokens=12, temperature=0).text for ask in ("Who are you?", messages)]
    assert answers[0] == answers[1] != ""
    streamed = "".join(builtin.chat_stream(messages, max_tokens=12, temperature=0))
    assert streamed == answers[0]
    assert asyncio.run(builtin.chat_async(messages, max_tokens=12, temperature=0)).text == answers[0]


def test_answers_fit_what_they_have_to(builtin: whinchat.Model) -> None:
    ask: dict[str, Any] = {"max_tokens": 24, "temperature": 0}
    assert builtin.chat("Is a whinchat a bird?", choice=["yes", "no"], **ask).text in {"yes", "no"}
    assert json.loads(builtin.chat("A number?", json_schema={"enum": [1, 2]}, **ask).text) in (1, 2)
    assert builtin.chat("A word?", regex="[a-c]{3}", **ask).text.strip("abc") == ""
    with pytest.raises(TypeError, match="one of"):
        builtin.chat("?", regex="a", choice=["a"])


def test_batches_come_with_their_places(model: whinchat.Model, cases: list[dict[str, Any]]) -> None:
    options: whinchat.Options = {"max_tokens": 24, "temperature": 0}
    requests = [whinchat.Request(case["prompt"], options, {"name": str(at)}) for at, case in enumerate(cases)]
    got: dict[int, str] = {}
    for inference in model.infer_batch(requests):
        assert inference.status == "success" and inference.error is None
        assert inference.metadata == {"name": str(inference.place)}
        assert inference.first_token is not None and inference.took >= inference.first_token
        got[inference.place] = inference.answers[0].text
    assert got == {at: case["text"] for at, case in enumerate(cases)}
    (late,) = model.infer_batch([whinchat.Request("The", {"time_limit": 1e-9, "max_tokens": 9})])
    assert late.status == "timed_out" and isinstance(late.error, errors.TimeLimitError)


MISTAKES: list[tuple[Callable[[whinchat.Model], object], type[BaseException], str]] = [
    (lambda m: m.generate("a b c d " * 400), errors.ContextLengthError, "context of 256"),
    (lambda m: m.generate("a", temperature=-1), errors.InvalidRequestError, "temperature is -1"),
    (lambda m: m.generate("a", top_p=float("nan")), errors.InvalidRequestError, "line 1"),
    (lambda m: m.generate("a", n=0), ValueError, "n is 0"),
    (lambda m: m.generate("a", priority="urgent"), errors.InvalidRequestError, "there are high, normal, low"),
    (lambda m: m.generate("a", time_limit=0), errors.InvalidRequestError, "time_limit"),
    (lambda m: m.generate([1 << 20]), errors.InvalidRequestError, "not in the model's vocabulary"),
    (lambda m: m.generate([]), errors.InvalidRequestError, "no tokens"),
    (lambda m: m.generate("a", temprature=1), TypeError, "temprature"),  # type: ignore[call-arg]
    (lambda m: m.generate("a", tools=[]), TypeError, "only of conversations"),
    (lambda m: m.generate("a", regex="("), errors.InvalidRequestError, "regex"),
    (lambda m: m.embed(["a"], pooling="sum"), errors.InvalidRequestError, "there are mean, cls, last"),
    (lambda m: m.logits([]), errors.InvalidRequestError, "no tokens"),
    (lambda m: whinchat.Model.load("no/such/model.gguf"), errors.ModelError, "no/such/model.gguf"),
    (lambda m: whinchat.Model.load(TINY, context=0), errors.InvalidRequestError, "context"),
    (lambda m: whinchat.Model.load(TINY, kv_type="f8"), errors.InvalidRequestError, "there are"),
    (lambda m: whinchat.Model.load(TINY, policy="fair"), errors.InvalidRequestError, "fair-share"),
    (lambda m: whinchat.Model.load(TINY, policy=object()), errors.InvalidRequestError, "rank"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("mistake, error, said", MISTAKES)
def test_mistakes_are_said(
    model: whinchat.Model, mistake: Callable[[whinchat.Model], object], error: type[BaseException], said: str
) -> None:
    with pytest.raises(error, match=said):
        mistake(model)


def test_errors_are_of_one_family() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(classes) > 10 and all(issubclass(one, whinchat.Error) for one in classes)


def test_the_field_at_fault_is_named(model: whinchat.Model) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        model.generate("a", top_p=2)
    assert caught.value.param == "top_p"


class Held:
    """A policy that holds the engine up until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        self.go_on.wait()
        return sequence.id


@pytest.fixture
def held() -> Iterator[tuple[whinchat.Model, Held]]:
    policy = Held()
    with whinchat.Model.load(TINY, threads=1, policy=policy) as model:
        yield model, policy
        policy.go_on.set()


def test_other_threads_run_while_one_waits(held: tuple[whinchat.Model, Held]) -> None:
    """The interpreter is let go: else the thread that ends the wait would never run."""
    model, policy = held
    threading.Timer(0, policy.go_on.set).start()
    assert model.generate("The", max_tokens=3, ignore_eos=True).generated_tokens == 3


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as Python has it. Where tests run in the background, the shell has told them to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_generation(held: tuple[whinchat.Model, Held]) -> None:
    model, policy = held
    stream = model.stream("The", max_tokens=3, ignore_eos=True)
    waiting = threading.Event()

    def interrupt() -> None:
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        waiting.set()
        # The engine is held up: without the signal this would never end.
        stream.finish()
    stream.cancel()
    assert list(stream) == [] and stream.answer.finish_reason is None
    policy.go_on.set()
    assert model.generate("The", max_tokens=3, ignore_eos=True).generated_tokens == 3


def test_another_thread_may_cancel_who_waits(held: tuple[whinchat.Model, Held]) -> None:
    model, _ = held
    stream = model.stream("The", max_tokens=3, ignore_eos=True)
    threading.Timer(0, stream.cancel).start()
    try:
        stream.finish()
    except errors.ClosedError:
        pass
    assert stream.answer.finish_reason is None


def test_streams_that_are_left_make_room(model: whinchat.Model) -> None:
    for _ in range(100):
        with model.stream("The", max_tokens=200, ignore_eos=True) as stream:
            next(stream)
    assert list(stream) == []
    assert model.generate("The", max_tokens=3, ignore_eos=True).generated_tokens == 3


def test_a_closed_model_says_so() -> None:
    stages: list[str] = []
    own = whinchat.Model.load(TINY, name="own", progress=lambda stage, done, total: stages.append(stage))
    assert own.name == "own" and own.context == 256 and stages
    stream = own.stream("The", max_tokens=9, ignore_eos=True)
    own.close()
    assert stream.finish().generated_tokens == 9, "what is under way keeps it"
    with pytest.raises(errors.ClosedError):
        own.generate("The")


def test_counters_count(model: whinchat.Model) -> None:
    before = model.stats()["generated_tokens"]
    # A step's counts are told after its tokens, and before the next request begins.
    for _ in range(2):
        model.generate("The", max_tokens=4, ignore_eos=True)
    assert model.stats()["generated_tokens"] >= before + 4
