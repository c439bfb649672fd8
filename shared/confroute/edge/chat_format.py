"""A checkpoint's chat template on torch: from messages to the prompt, and from what the model wrote to its answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from inspect import signature
from itertools import chain
from typing import Any, cast

from confroute.edge.forks import RenewedLock
from confroute.edge.spelling import spelling
from confroute.edge.thoughts import begun, has_other_marks, passing, without_thought
from confroute.errors import ModelError, UnsupportedRequestError
from confroute.records import Message, Sample, SamplingOptions, ToolCall
from confroute.tools import Tool, answer_schema, are_wanted, as_call, read_call

_THOUGHT, _THOUGHT_END = "<think>", "</think>"
_CALL = "<tool_call>"
# The forms of Hermes, Qwen 2.5 and 3, SmolLM and others, whose tokenizers mostly do not tell them.
# An answer may name the marks of a thought, which is only what it begins with.
_THOUGHTS = {"reasoning_content": {"open_pattern": rf"\A\s*{_THOUGHT}", "close": _THOUGHT_END, "content": "text"}}
_TRANSFORM = {"type": "function", "function": "{content}"}
_CALLS = {
    "tool_calls": {
        "open_pattern": rf"\s*{_CALL}",
        "close": "</tool_call>",
        "repeats": True,
        "content": "json",
        "transform": _TRANSFORM,
    }
}
_WORD = "quince"  # in no template's own words
_PROBE: Tool = {"type": "function", "function": {"name": "look_up", "description": "", "parameters": {}}}
_ASKING: Message = {"role": "user", "content": "?"}
_CALLING: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}],
}
# What comes before and after a turn of each role: templates refuse many conversations. Others begin one.
_AROUND: dict[str, tuple[Sequence[Message], Sequence[Message]]] = {
    "user": ((), ()),
    "assistant": ((_ASKING,), (_ASKING,)),
    "tool": ((_ASKING, _CALLING), ()),
}


class ChatFormat:
    """Writes prompts, tools included, and reads answers: what is thought aloud is left out, calls are told apart.

    How a model marks its thoughts and calls is read from the tokenizer's ``response_template``; those of the common
    form, and the marks that others have for thoughts, are known without. Tokens from *vocabulary* on are none of the
    model's. Thread-safe.
    """

    def __init__(self, tokenizer: Any, model: str, *, vocabulary: int = sys.maxsize) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._vocabulary = vocabulary
        self._lock = RenewedLock()  # tokenizers are not made for several threads
        self._own: Mapping[str, Any] | None = getattr(tokenizer, "response_template", None)
        # The tokenizers of an older transformers cannot read answers; thoughts are then words as any others.
        reads = "prefix" in signature(getattr(tokenizer, "parse_response", lambda: None)).parameters
        chat_template = str(tokenizer.chat_template or "")
        self._template = (self._own or _common(chat_template)) if reads else None
        self._in_parts: dict[str, bool] = {}
        self._has_other_marks = not (reads and self._own) and has_other_marks(chat_template)

    def encode(self, messages: Sequence[Message], options: SamplingOptions) -> tuple[int, ...]:
        """The prompt's tokens.

        Raises:
            ModelError: there is no chat template, or it refuses the messages, or writes nothing for them.
            UnsupportedRequestError: tools are wanted, which the template does not show or whose calls have no known
                form; or a token is added to the tokenizer, which the model has no place for.
        """
        if not self._tokenizer.chat_template:
            raise ModelError(
                f'The tokenizer of "{self._model}" has no chat template, so it cannot be asked in messages. '
                "Use an instruction-tuned checkpoint (often named -Instruct, -it or -chat); if this is one, give the "
                "engine its chat_template, which may lie beside (chat_template.json) or belong to another format."
            )
        if are_wanted(messages, options) and not self._knows_tools:
            raise UnsupportedRequestError(
                f'The chat template of "{self._model}" does not show tools, or this transformers cannot read its calls.'
            )
        prompt = self._rendered(messages, options.tools)
        if answer_schema(options) is not None:
            prompt += passing(prompt)
        if options.must_call:
            prompt += self._begun_call()
        try:
            ids = self._tokens(prompt)
        except Exception as error:
            raise ModelError(
                f'The tokenizer of "{self._model}" refused the messages ({type(error).__name__}). '
                "They may hold half of a surrogate pair, which is no text."
            ) from None  # its own error may quote them
        if not ids:
            raise ModelError(f'The chat template of "{self._model}" made an empty prompt of the messages.')
        return tuple(ids if max(ids) < self._vocabulary else chain.from_iterable(map(self._known, ids)))

    def _tokens(self, text: str, **settings: Any) -> list[int]:
        with self._lock:
            return [int(token) for token in self._tokenizer(text, add_special_tokens=False, **settings)["input_ids"]]

    def _known(self, token: int) -> list[int]:
        """The *token*, or those of its text where the model has no place for it: on a GPU it would take all along."""
        if token < self._vocabulary:
            return [token]
        spelled = self._tokens(self._tokenizer.convert_ids_to_tokens(token), split_special_tokens=True)
        if max(spelled, default=0) >= self._vocabulary:
            raise UnsupportedRequestError(
                f'The prompt has a token that "{self._model}" has no place for: it was added to the tokenizer, and the '
                "model's embeddings were not resized. Resize them, or leave the token's text out of the messages."
            )
        return spelled

    def decode(self, tokens: Sequence[int]) -> str:
        """Their text, in which the marks of thoughts and calls are left for `read`."""
        plain = self._template is None and not self._has_other_marks
        return self._tokenizer.decode(tokens, skip_special_tokens=plain, clean_up_tokenization_spaces=False)

    def continued(self, tokens: Sequence[int]) -> str:
        """The same of tokens that come after others. Decoders of SentencePiece's kind take a space away from what a
        text begins with, and a word alone would lose its own."""
        others, before = self._others
        text = self.decode([*others, *tokens])
        return text[len(before) :] if text.startswith(before) else self.decode(tokens)

    @cached_property
    def _others(self) -> tuple[list[int], str]:
        ids = self._tokens("a")
        return ids, self.decode(ids)

    def read(self, sample: Sample, prompt: Sequence[int], options: SamplingOptions) -> Sample:
        """*sample* without thoughts, its calls told apart. A call that cannot be read has no name. Tokens that are not
        the answer's alone are None; of calls, which do not tell how they were written, all are kept where nothing was
        thought."""
        if options.must_call:
            return as_call(sample)
        if (self._template is None and not self._has_other_marks) or answer_schema(options) is not None:
            return sample
        before, said = self.decode(prompt), sample.text
        if self._has_other_marks:
            before, said = "", without_thought(begun(before) + said)
        elif self._own is None:
            before = begun(before)
        text, calls, has_thought = self._parsed(said, before, options)
        has_thought = has_thought or said != sample.text
        reason = "tool_calls" if calls and sample.finish_reason == "stop" else sample.finish_reason
        read = replace(sample, text=text, tool_calls=calls, finish_reason=reason)
        if calls:
            return replace(read, tokens=None, token_logprobs=None, alternatives=None) if has_thought else read
        return read if text == sample.text else spelling(read)

    def _parsed(self, text: str, before: str, options: SamplingOptions) -> tuple[str, tuple[ToolCall, ...], bool]:
        """The words, the calls, and whether there was anything else."""
        if self._template is None:
            return text, (), False
        try:
            parsed: dict[str, Any] = self._tokenizer.parse_response(
                text, self._template, prefix=before, tools=list(options.tools)
            )
        except ValueError:
            return "", (ToolCall(name="", arguments=text),), False
        functions: list[Any] = [entry["function"] for entry in parsed.get("tool_calls") or ()]
        # SmolLM2's are lists within one mark.
        listed = [each for function in functions for each in _listed(function)]
        others = parsed.keys() - {"role", "content", "tool_calls"}
        words = "\n".join(filter(None, map(str.strip, _listed(parsed.get("content", "")))))
        return words, tuple(map(_called, listed)), any(parsed[name] for name in others)

    def _begun_call(self) -> str:
        """What a call begins with: written for the model, which is then held to the rest."""
        field = (self._template or {})["fields"]["tool_calls"]
        begin = _CALL if self._own is None else field.get("open")
        if not isinstance(begin, str) or field["content"] != "json" or field.get("transform") != _TRANSFORM:
            raise UnsupportedRequestError(f'How a call of "{self._model}" has to be begun is not known.')
        return f"{begin}\n"

    @cached_property
    def _knows_tools(self) -> bool:
        """Whether the template shows the tools, and calls have a form that can be read and begun."""
        field = (self._template or {}).get("fields", {}).get("tool_calls")
        return field is not None and self._rendered([_ASKING], [_PROBE]) != self._rendered([_ASKING], [])

    def _takes_parts(self, role: str) -> bool:
        """Whether the template shows this role's texts only within parts, as those of some models that see: of any
        other it mostly writes nothing. None does where the user's are shown as they are."""
        if role != "user" and not self._takes_parts("user"):
            return False
        if role not in self._in_parts:
            self._in_parts[role] = not self._shows(role, _WORD) and self._shows(role, _parts(_WORD))
        return self._in_parts[role]

    def _shows(self, role: str, content: Any) -> bool:
        """As a text: what is written as text alone shows parts as Python or JSON writes them."""
        before, after = _AROUND.get(role, ((), (_ASKING,)))
        turn = {"role": role, "content": content, **({"tool_call_id": "123456789"} if role == "tool" else {})}
        try:
            written = self._applied([*self._formed(before), turn, *self._formed(after)], ())
        except ModelError:
            return False
        (part,) = _parts(_WORD)
        return _WORD in written and repr(part) not in written and json.dumps(part) not in written

    def _formed(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return [_for_template(message, parts=self._takes_parts(message["role"])) for message in messages]

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._applied(self._formed(messages), tools)

    def _applied(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> str:
        try:
            with self._lock:
                return self._tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) or None,
                    add_generation_prompt=True,
                    tokenize=False,
                )
        except Exception as error:
            raise ModelError(
                f'The chat template of "{self._model}" refused the messages ({type(error).__name__}). '
                "Some models take no system message, or need user and assistant to alternate."
            ) from None  # its own error may quote them


def _common(chat_template: str) -> Mapping[str, Any] | None:
    """The response template of a chat template that has marks of the common forms."""
    # Calls in XML within the same mark are another form.
    calls = _CALLS if _CALL in chat_template and "<function=" not in chat_template else {}
    # Where the model begins them, a template names but their end, to cut them out of earlier turns.
    thoughts = _THOUGHTS if _THOUGHT in chat_template or _THOUGHT_END in chat_template else {}
    if not calls and not thoughts:
        return None
    # Else only the words after the last call are kept.
    words = {"content": "text", "repeats": True}
    return {"start_anchor_pattern": r"\A", "fields": {**thoughts, **calls, "content": words}}


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _for_template(message: Message, *, parts: bool) -> dict[str, Any]:
    """*message* with its text in *parts*, if these are wanted, and with the arguments of its calls as objects, which
    templates write as JSON themselves."""
    content = message.get("content")
    if parts and isinstance(content, str):
        message = {**message, "content": _parts(content)}
    if not message.get("tool_calls"):
        return dict(message)
    calls = [
        {**call, "function": {**call["function"], "arguments": _json(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _json(text: Any) -> Any:
    """The value of a JSON text; what is none stays as it is."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _called(written: Any) -> ToolCall:
    """The call that the model wrote. One with anything else beside its arguments has no name: those may be arguments,
    and a call without them would be another one."""
    if not isinstance(written, dict):
        return read_call(written)
    call = cast("dict[str, Any]", written)
    rest = {key: value for key, value in call.items() if key not in ("name", "id", "type")}
    if not rest.keys() <= {"arguments", "parameters"} or len(rest) > 1:  # Llama's are called parameters
        return ToolCall(name="", arguments=json.dumps(rest))
    return read_call({"name": call.get("name"), "arguments": next(iter(rest.values()), None)})


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
