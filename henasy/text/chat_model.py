"""A language model that is talked to: any chat model of Hugging Face's, from a folder or the hub."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from henasy.errors import ConfigError, missing_extra


class Prompt(NamedTuple):
    """What a model is told: a role, then a task."""

    system: str
    user: str


class ChatModel:
    """Answers prompts, the same one always alike: the likeliest token is taken each time."""

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 16, max_new_tokens: int = 64) -> None:
        """Loads the model.

        Args:
            name: folder, or id on the hub.
            device: where it computes.
            batch_size: prompts that are answered at a time.
            max_new_tokens: an answer is cut after so many.

        Raises:
            ConfigError: transformers is not installed, the model cannot be loaded or has no chat template.
        """
        for field, value in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise ConfigError(f"{field} is {value}; it must be at least 1")
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise missing_extra(f"a chat model needs the transformers library ({error})", "chat") from error
        self.name, self.batch_size, self.max_new_tokens = name, batch_size, max_new_tokens
        try:
            # shorter prompts are filled up on the left, so that every answer begins at the same place
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left")
            model: Any = AutoModelForCausalLM.from_pretrained(name, dtype="auto")
            self._model = model.to(device).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{name}: no chat model can be loaded: {error}") from error
        if self._tokenizer.chat_template is None:
            raise ConfigError(f"{name} has no chat template: it is no chat model")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """The answer to each prompt.

        Raises:
            ConfigError: the model's template takes no such messages.
        """
        texts = [self.worded(prompt) for prompt in prompts]
        # prompts of one length next to each other need the least filling
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        answered = [""] * len(texts)
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            for row, answer in zip(rows, self._generated([texts[row] for row in rows]), strict=True):
                answered[row] = answer
        return answered

    def worded(self, prompt: Prompt) -> str:
        """A prompt as the model's template puts it; one without a system role is told everything by the user."""
        apart = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        together = [{"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"}]
        refusal: Exception | None = None
        for messages in (apart, together):
            try:
                text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # templates raise errors of the template engine's own
                refusal = error
            else:
                return text
        raise ConfigError(f"{self.name}: its chat template refuses a prompt: {refusal}")

    def _generated(self, texts: list[str]) -> list[str]:
        # the template has put the special tokens in already
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        batch = {name: value.to(self._model.device) for name, value in batch.items() if name != "token_type_ids"}
        tokens = self._model.generate(
            **batch,
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        answers: list[str] = self._tokenizer.batch_decode(
            tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return answers
