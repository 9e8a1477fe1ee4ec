"""Models over their providers' HTTP interfaces, by pydantic-ai; the one module that imports it, and only when asked.

Sampling is at temperature 0, and pydantic-ai retries nothing by itself: what is tried again is decided where it is paid
(``lab.council.calls``).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.council.answers import ChatMessage, ModelAnswer
from quantum_trader.lab.council.calls import CallFailedError
from quantum_trader.lab.council.settings import CouncilModel

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model

NO_KEY: Final = "none"  # what a local server without keys is sent
_MOST_OF_A_REASON: Final = 200
_MOST_ANSWER_BYTES: Final = 8 << 20  # of a response's body; a report has some ten thousand
_MOST_TOKENS: Final = 1_000_000_000  # what a server may say that it used; more is no count
_UNREADABLE: Final = (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError)  # of a hostile body
_TOO_MANY, _UNAVAILABLE = 429, 503


class PydanticAiPort:
    """Asks models through pydantic-ai: OpenAI's chat protocol at any address, and Anthropic's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """*clock* gives ns; it measures how long an answer takes."""
        self._clock = clock

    async def ask(self, model: CouncilModel, key: str, messages: tuple[ChatMessage, ...]) -> ModelAnswer:
        """The answer of *model*; CallFailedError says why there is none, and whether it may be billed."""
        try:
            return await self._asked(model, key, messages)
        except CallFailedError as error:
            if key and key in str(error):  # a server that echoes the request must not put it into a report
                raise CallFailedError(
                    str(error).replace(key, "(key)"), may_be_billed=error.may_be_billed,
                    retry_after_s=error.retry_after_s,
                ) from None
            raise

    async def _asked(self, model: CouncilModel, key: str, messages: tuple[ChatMessage, ...]) -> ModelAnswer:
        direct, exceptions = _library()
        settings: Any = {
            "temperature": 0.0, "max_tokens": model.max_output_tokens, "max_retries": 0,
            "timeout": model.timeout_s, "request_timeout": model.timeout_s,
        }
        began_ns = self._clock()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a reasoning model that takes no temperature is asked without
                async with _bounded_client() as client, _model(model, key or NO_KEY, client) as asked:
                    found = await direct.model_request(asked, _conversation(messages), model_settings=settings)
        except (exceptions.ModelTimeoutError, exceptions.ModelRequestTimeout, TimeoutError):
            raise CallFailedError(f"timed out after {model.timeout_s:g} s", may_be_billed=True) from None
        except exceptions.ModelHTTPError as error:
            raise _http_failure(error) from None
        except exceptions.ModelAPIError as error:
            raise _connection_failure(error) from None
        except (exceptions.UnexpectedModelBehavior, exceptions.UserError) as error:
            raise CallFailedError(f"no answer that can be read: {_short(error)}", may_be_billed=True) from None
        except _UNREADABLE as error:
            why = f"no answer that can be read: {type(error).__name__}"
            raise CallFailedError(why, may_be_billed=True) from None
        return ModelAnswer(
            text=(found.text or "").encode("utf-8", "replace").decode(), input_tokens=_count(found.usage.input_tokens),
            output_tokens=_count(found.usage.output_tokens), latency_s=(self._clock() - began_ns) / 1e9,
        )


def _count(tokens: int) -> int:
    """*tokens* as a server counts them; 0 for what is no count."""
    return tokens if 0 <= tokens <= _MOST_TOKENS else 0


def _bounded_client() -> Any:
    """An HTTP client that follows no redirect, which would carry the key elsewhere, and reads no endless body."""
    import httpx2

    class BoundedBody(httpx2.AsyncByteStream):
        """A response's body that fails past the limit."""

        def __init__(self, body: Any) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for chunk in self._body:
                read += len(chunk)
                if read > _MOST_ANSWER_BYTES:
                    raise httpx2.RemoteProtocolError(f"the answer is longer than {_MOST_ANSWER_BYTES:,} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._body.aclose()

    async def bound(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":  # some kilobytes may be gigabytes
            raise httpx2.RemoteProtocolError("the answer is compressed, and nobody asked for that")
        response.stream = BoundedBody(response.stream)

    return httpx2.AsyncClient(
        follow_redirects=False, headers={"accept-encoding": "identity"}, event_hooks={"response": [bound]}
    )


def _library() -> tuple[Any, Any]:
    try:
        from pydantic_ai import direct, exceptions
    except ImportError as error:
        raise ConfigError(
            f"the council needs pydantic-ai ({error}): install it with `pip install 'quantum-trader[council]'`"
        ) from None
    return direct, exceptions


def _model(model: CouncilModel, key: str, client: Any) -> Model[Any]:
    if model.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(
            model.model, provider=AnthropicProvider(api_key=key, base_url=model.base_url or None, http_client=client)
        )
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    return OpenAIChatModel(
        model.model,
        provider=OpenAICompatibleProvider(model.name, base_url=model.base_url, api_key=key, http_client=client),
    )


def _conversation(messages: tuple[ChatMessage, ...]) -> list[ModelMessage]:
    from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, TextPart, UserPromptPart

    made: list[ModelMessage] = []
    for one in messages:
        if one.role == "assistant":
            made.append(ModelResponse(parts=[TextPart(content=one.text)]))
        elif one.role == "system":
            made.append(ModelRequest(parts=[SystemPromptPart(content=one.text)]))
        else:
            made.append(ModelRequest(parts=[UserPromptPart(content=one.text)]))
    return made


def _http_failure(error: Any) -> CallFailedError:
    """A refused request is not billed; one that failed on the server may be. 429 and 503 are tried again."""
    status = error.status_code
    why = f"HTTP {status}: {_short(error.body)}"
    if status in (_TOO_MANY, _UNAVAILABLE):
        return CallFailedError(why, may_be_billed=False, retry_after_s=_retry_after(error.headers))
    return CallFailedError(why, may_be_billed=status >= 500 or status < 400)


def _connection_failure(error: BaseException) -> CallFailedError:
    """A redirect, which is not followed, or a connection that failed; with the reason at its root."""
    if found := re.search(r"Error code: (3\d\d)", str(error)):
        why = f"HTTP {found[1]}: the server redirects; write the address that it redirects to as base_url"
        return CallFailedError(why, may_be_billed=False)
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return CallFailedError(f"no connection: {_short(root)}", may_be_billed=True)


def _retry_after(headers: dict[str, str] | None) -> float:
    """Seconds of a Retry-After header; 0 where there is none that can be read."""
    try:
        seconds = float((headers or {}).get("retry-after", "0"))
    except ValueError:
        return 0.0
    return max(seconds, 0.0) if not math.isnan(seconds) else 0.0


def _short(what: object) -> str:
    """*what* a server said, on one line, without control characters."""
    text = "".join(char if char.isprintable() else " " for char in str(what))
    return text if len(text) <= _MOST_OF_A_REASON else f"{text[:_MOST_OF_A_REASON]}..."
