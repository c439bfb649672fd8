"""Why a server gave no completion: the errors of requests to it, and what its error statuses mean."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from typing import Any, cast

from confroute.edge.addresses import PLACE, redirected
from confroute.edge.context_limits import shortage
from confroute.errors import ConfigurationError, ConfrouteError, ContextLengthError, ModelError

_BUSY = (408, 409, 425, 429)
"""Statuses of a server that may do later what it does not now, as those above 501 are."""
_LISTING_SECONDS = 2.0
"""Longest wait for the names of a server's models, which only complete an error's words."""
_OF_PROXIES = (401, 402, 403, 502, 503)
"""Statuses that a proxy on the way may have of its own."""
_OF_PARAMETERS = (402, 403, 404, 405)
"""Statuses that some have for what one model, or all they reach, does not do: they are of the request only where others
are answered."""
_SAYING = ("code", "detail", "error", "loc", "message", "msg", "param", "type")
"""Where an error's own words are; FastAPI tells the whole request beside them."""
ECHO = re.compile(r"""['"]input['"]:.*""", re.DOTALL)
_PARAMETERS = ("max_completion_tokens", "seed", "temperature", "top_p")


_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")


class RefusedError(ModelError):
    """The server takes no such request; *named* are parameters that it speaks of."""

    def __init__(self, message: str, named: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.named = named


class DeniedError(ModelError):
    """A server that answered before does not answer this: for the key, the model, what stands before it, or what it
    can by now."""


class BusyError(ModelError):
    """The server has no time for the request, is starting or is not there, and says so."""


class LoadingError(BusyError):
    """The server still loads its model: it was started anew."""


class BrokenError(ModelError):
    """The server broke on this request, as some do on what they do not know."""


class StrangeError(ModelError):
    """What the server replied with is no completion."""


class OverdueError(ModelError):
    """The server was too slow."""


class LostError(ModelError):
    """The server is out of reach, or broke off: the next at its address may be another."""


class FullError(ModelError):
    """The samples under way together outgrew the context that they share."""


class UnfitError(ModelError):
    """The prompt does not fit, by the word of a server that tells no numbers."""


class CutError(UnfitError):
    """The server answered to a part of the prompt, and did not say so."""


class Refusals:
    """Makes the errors of one server and model. A server's own words may quote the prompt and are left out.

    Args:
        client: the SDK's, which is asked for the names of the models.
        model: the name that the server knows the model by.
        host: what the server is named by, with its port.
        proxy: the variable of the environment that names the proxy on the way to it, if there is one.
    """

    def __init__(self, client: Any, model: str, host: str, proxy: str | None = None) -> None:
        self._client = client
        self._model = model
        self._host = host
        self._proxy = proxy
        self._gate = "something before the server" if proxy is None else f"the proxy that {proxy} names"

    def strange(self) -> StrangeError:
        return StrangeError(f"The server at {self._host} did not reply with a chat completion.")

    def overdue(self) -> OverdueError:
        return OverdueError(f'The server at {self._host} did not answer "{self._model}" in time; see timeout_seconds.')

    def unencrypted(self, error: BaseException) -> LostError | None:
        """Where there is no https with this server, which will not pass."""
        failure = next((link for link in _causes(error) if isinstance(link, ssl.SSLError)), None)
        if isinstance(failure, ssl.SSLCertVerificationError):
            return LostError(
                f"The certificate of the server at {self._host} is not trusted ({failure.verify_message}). If it is of "
                "an authority of your own, have SSL_CERT_FILE name the file of that one's certificate."
            )
        if failure is not None and failure.reason in _NO_TLS:
            return LostError(f"The server at {self._host} speaks http, not https: have base_url begin with http://.")
        return None

    def lost(self, error: BaseException) -> LostError:
        what = f"The server at {self._host} cannot be reached, or broke off ({type(error.__cause__ or error).__name__})"
        if self._proxy is None:
            return LostError(f"{what}. Is it running?")
        return LostError(
            f"{what}, through the proxy that {self._proxy} names. Is that proxy right, and the server running? "
            "NO_PROXY is for hosts that are to be asked without it."
        )

    def unsent(self, error: Exception) -> ModelError:
        """The request cannot be written."""
        why = (
            "They hold half of a surrogate pair, which is no text."
            if isinstance(error, UnicodeError)
            else "They hold something that JSON has no form for, such as an object or a number that is not finite."
        )
        return ModelError(
            f'The messages for "{self._model}", or what goes with them, cannot be encoded and were not sent. {why}'
        )

    async def told(
        self, error: Any, max_tokens: int, *, seconds: float, answered: bool, tentative: bool = False
    ) -> ConfrouteError:
        """What an error status means. To tell more of it takes at most *seconds*; a server that *answered* before is
        the right one, whatever it says now. A *tentative* request has a plainer one after it, which tells more."""
        status = int(error.status_code)
        what = f'a request to "{self._model}" (status {status})'
        if status == 407 and self._proxy is not None:
            return (DeniedError if answered else ConfigurationError)(
                f"The proxy that {self._proxy} names wants a login (status 407): have it name one like "
                "http://name:password@host:port. NO_PROXY is for hosts that are to be asked without it."
            )
        body: Any = _unwrapped(error.body)
        text = _read(body)[1]
        if status == 400 and not answered and await self._misnamed(text, seconds):
            return await self._astray(error, 404, what, seconds=seconds, answered=False)
        if tentative and status in _OF_PARAMETERS:
            return RefusedError(f"The server at {self._host} refused {what}.")
        if status < 400 or status in (401, 403, 404):
            return await self._astray(error, status, what, seconds=seconds, answered=answered)
        if status >= 500 and text.startswith("Context size has been exceeded"):
            return FullError(
                f'The context of "{self._model}" on the server at {self._host}, which requests under way together '
                "share, is full. Give the server a larger one, or ask it fewer things at a time."
            )
        refused = self._refused(status, what, body, max_tokens)
        if refused is not None:
            return refused
        if status == 500:
            return BrokenError(f"The server at {self._host} failed on {what}.")
        if status in _BUSY or status > 501:
            # A page is a gateway's, and of itself.
            is_loading = "loading" in text.lower() and not text.lstrip().startswith("<")
            state = "still loads its model" if is_loading else "is busy or starting"
            kind = LoadingError if is_loading else BusyError
            advice = " If it takes fewer requests at a time, lower connections to that." if status == 429 else ""
            return kind(f"{self._who(status)} {state}, and did not take {what}. Try again later.{advice}")
        return ModelError(f"{self._who(status)} failed on {what}.")

    def _refused(self, status: int, what: str, body: Any, max_tokens: int) -> ConfrouteError | None:
        """What a server will not do the next time either."""
        details, text = _read(body)
        short = shortage(details, text)
        if short is not None and short.prompt and short.context:
            return ContextLengthError(short.prompt, max_tokens, short.context, at_least=short.at_least)
        refused = f"The server at {self._host} refused {what}"
        kinds = (details.get("code"), details.get("type"))
        if "insufficient_quota" in kinds:
            return ModelError(f"{refused}: the quota of its api_key is used up.")
        if "content_filter" in kinds:
            return ModelError(f"{refused}: its content filter held the prompt back.")
        if status not in (400, 413, 422, 501):
            return None
        if short is not None:
            return UnfitError(f"{refused}: the prompt does not fit its context.")
        said = words_in(body)
        return RefusedError(f"{refused}.", frozenset(name for name in _PARAMETERS if name in said))

    async def _astray(
        self, error: Any, status: int, what: str, *, seconds: float, answered: bool
    ) -> ConfigurationError | DeniedError:
        """What is wrong with the address, the key or the model's name; or with the request, where the server *answered*
        others."""
        wrong = DeniedError if answered else ConfigurationError
        if status < 400:
            place = redirected(str(error.request.url), error.response.headers.get(PLACE, ""))
            return wrong(
                f"The server at {self._host} redirects {what} to {place}. That is not followed, for the prompt would "
                "go with it: if its API is there, that is to be the base_url."
            )
        if status == 404:
            return wrong(await self._not_found(what, seconds=seconds, answered=answered))
        if answered:
            return wrong(
                f"The server at {self._host} answered before and refused {what}: for its api_key, or for what it "
                f"holds, which {self._gate} may not let pass."
            )
        asked = "the api_key" if self._proxy is None else "the api_key or the address"
        return wrong(f"{self._who(status)} refused {asked} (status {status}).")

    def _who(self, status: int) -> str:
        """Who may have answered so: a proxy on the way to the server has errors of its own."""
        if self._proxy is None or status not in _OF_PROXIES:
            return f"The server at {self._host}"
        return f"The server at {self._host}, or the proxy that {self._proxy} names,"

    async def _not_found(self, what: str, *, seconds: float, answered: bool) -> str:
        names = await self._names(seconds)
        if self._model in names:
            return (
                f'The server at {self._host} lists "{self._model}", and finds nothing for {what}: chat completions may '
                "be at another base_url, or nobody behind it takes such requests."
            )
        told = [name for name in names if name.isprintable() and len(name) <= 200][:20]
        served = f"It has: {', '.join(told)}." if told else "It does not tell which models it has."
        if answered:
            return (
                f"The server at {self._host} answered before, and finds nothing for {what}: the model was renamed or "
                f"taken away, or the API moved. {served}"
            )
        return (
            f'The server at {self._host} has no model "{self._model}", or its API begins at another base_url. {served}'
        )

    async def _misnamed(self, text: str, seconds: float) -> bool:
        """Whether a refusal is one of the model's name. transformers serve, started for one model, has no status for
        it; llama-server goes by another name in its list, but takes any."""
        quoted = re.search(rf"""['"`]{re.escape(self._model)}['"`]""", text)
        names = await self._names(seconds) if quoted else []
        return bool(names) and self._model not in names

    async def _names(self, seconds: float) -> list[str]:
        try:
            told = await asyncio.wait_for(self._client.models.list(), min(seconds, _LISTING_SECONDS))
            return [model.id for model in told.data if isinstance(model.id, str)]
        except Exception:
            # They complete an error, which says what is wrong without them.
            return []


def status_in(reply: Any) -> int | None:
    """The status of an error that a gateway tells in a *reply* of the status 200, as it does where it had begun to
    answer, and LM Studio for a path that it does not know."""
    told = cast("dict[str, Any]", reply) if isinstance(reply, dict) else {}
    error = told.get("error")
    if isinstance(error, str) and error.startswith("Unexpected endpoint") and not told.get("choices"):
        return 404
    code: Any = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    if told.get("choices") or isinstance(code, bool) or not re.fullmatch(r"[45]\d\d", str(code)):
        return None
    return int(code)


def was_cut(error: BaseException) -> bool:
    """Whether a reply had begun that the *error* ended."""
    return any("without sending complete message body" in str(link) for link in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _unwrapped(body: Any) -> Any:
    """What an error says, which Gemini has in a list."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        first = cast("dict[str, Any]", body[0])
        return first.get("error", first)
    return cast("Any", body)


def _read(body: Any) -> tuple[dict[str, Any], str]:
    """What an error tells by name, and its text: TGI and LM Studio have nothing else."""
    details = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    given: list[Any] = [body, *(details.get(key) for key in ("message", "detail", "error"))]
    return details, next((each for each in given if isinstance(each, str)), "")


def words_in(body: Any) -> str:
    """The words of an error, without the request that it may repeat."""
    said: list[str] = []
    left: list[Any] = [body]
    while left:
        each: Any = left.pop()
        if isinstance(each, dict):
            told = cast("dict[str, Any]", each)
            left += [told[name] for name in _SAYING if name in told]
        elif isinstance(each, list):
            left += cast("list[Any]", each)
        elif isinstance(each, str):
            said.append(ECHO.sub("", each))
    return " ".join(said)
