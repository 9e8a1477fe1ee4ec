"""Models over their providers' HTTP interfaces, by pydantic-ai; the one module that imports it, and only when asked.

Sampling is at temperature 0, and pydantic-ai retries nothing by itself: what is tried again is decided where it is paid
(``lab.council.calls``).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
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
_TOO_MANY, _UNAVAILABLE = 429, 503


class PydanticAiPort:
    """Asks models through pydantic-ai: OpenAI's chat protocol at any address, and Anthropic's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """*clock* gives ns; it measures how long an answer takes."""
        self._clock = clock

    async def ask(self, model: CouncilModel, key: str, messages: tuple[ChatMessage, ...]) -> ModelAnswer:
        """The answer of *model*; CallFailedError says why there is none, and whether it may be billed."""
        direct, exceptions = _library()
        settings: Any = {
            "temperature": 0.0, "max_tokens": model.max_output_tokens, "max_retries": 0,
            "timeout": model.timeout_s, "request_timeout": model.timeout_s,
        }
        began_ns = self._clock()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a reasoning model that takes no temperature is asked without
                async with _model(model, key or NO_KEY) as asked:  # closes its connections
                    found = await direct.model_request(asked, _conversation(messages), model_settings=settings)
        except (exceptions.ModelTimeoutError, exceptions.ModelRequestTimeout, TimeoutError):
            raise CallFailedError(f"timed out after {model.timeout_s:g} s", may_be_billed=True) from None
        except exceptions.ModelHTTPError as error:
            raise _http_failure(error) from None
        except exceptions.ModelAPIError as error:
            raise CallFailedError(f"no connection: {_short(error)}", may_be_billed=True) from None
        except (exceptions.UnexpectedModelBehavior, exceptions.UserError) as error:
            raise CallFailedError(f"no answer that can be read: {_short(error)}", may_be_billed=True) from None
        return ModelAnswer(
            text=found.text or "", input_tokens=found.usage.input_tokens, output_tokens=found.usage.output_tokens,
            latency_s=(self._clock() - began_ns) / 1e9,
        )


def _library() -> tuple[Any, Any]:
    try:
        from pydantic_ai import direct, exceptions
    except ImportError as error:
        raise ConfigError(
            f"the council needs pydantic-ai ({error}): install it with `pip install 'quantum-trader[council]'`"
        ) from None
    return direct, exceptions


def _model(model: CouncilModel, key: str) -> Model[Any]:
    if model.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(model.model, provider=AnthropicProvider(api_key=key, base_url=model.base_url or None))
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    return OpenAIChatModel(
        model.model, provider=OpenAICompatibleProvider(model.name, base_url=model.base_url, api_key=key)
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
    return text[:_MOST_OF_A_REASON]
