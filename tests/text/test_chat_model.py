"""A chat model from a folder: a tiny random Llama with a template, made here."""

from pathlib import Path
from typing import Any

import pytest

from henasy.errors import ConfigError
from henasy.text.chat_model import ChatModel, Prompt

transformers = pytest.importorskip("transformers")

WITH_SYSTEM = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WITHOUT_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"
)
NO_MESSAGES = "{{ raise_exception('closed') }}"
SPECIALS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def write_model(folder: Path, template: str | None) -> Path:
    """A Llama of two tiny layers over bytes, with weights of seed 0."""
    import tokenizers
    import torch

    words = tokenizers.Tokenizer(tokenizers.models.BPE())
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIALS,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["picking up the cup"] * 4, trainer)
    kept: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|end|>")
    kept.chat_template = template
    kept.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(kept),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        eos_token_id=kept.eos_token_id,
        bos_token_id=None,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat"), WITH_SYSTEM)


PROMPTS = [Prompt("Be brief.", "What?"), Prompt("Be brief.", "What is done with the cup, and why?"), Prompt("", "No")]


def test_answers_do_not_depend_on_the_batch_and_begin_after_the_prompt(model: Path) -> None:
    single = ChatModel(str(model), batch_size=1, max_new_tokens=6).answers(PROMPTS)
    batched = ChatModel(str(model), batch_size=3, max_new_tokens=6).answers(PROMPTS)
    assert single == batched
    assert len(single) == 3
    assert not any("Be brief" in answer or "<|" in answer for answer in single)


def test_answers_are_what_the_model_finds_likeliest(model: Path) -> None:
    import torch

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    text = "<|system|>Be brief.<|end|><|user|>What?<|end|><|assistant|>"
    tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    told = []
    for _ in range(5):
        with torch.no_grad():
            told.append(int(network(tokens).logits[0, -1].argmax()))
        tokens = torch.cat([tokens, torch.tensor([[told[-1]]])], dim=1)
        if told[-1] == tokenizer.eos_token_id:
            break
    expected = tokenizer.decode(told, skip_special_tokens=True)
    assert ChatModel(str(model), max_new_tokens=5).answers(PROMPTS[:1]) == [expected]


def test_no_prompts_have_no_answers(model: Path) -> None:
    assert ChatModel(str(model)).answers([]) == []


def test_template_without_a_system_role_is_told_by_the_user(tmp_path: Path) -> None:
    chat = ChatModel(str(write_model(tmp_path, WITHOUT_SYSTEM)), max_new_tokens=2)
    assert chat.worded(PROMPTS[0]) == "<|user|>Be brief.\n\nWhat?<|end|><|assistant|>"
    assert len(chat.answers(PROMPTS)) == 3


def test_template_that_refuses_everything_is_said(tmp_path: Path) -> None:
    chat = ChatModel(str(write_model(tmp_path, NO_MESSAGES)))
    with pytest.raises(ConfigError, match="its chat template refuses a prompt: closed"):
        chat.answers(PROMPTS)


def test_what_is_no_chat_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no chat model can be loaded"):
        ChatModel(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="has no chat template"):
        ChatModel(str(write_model(tmp_path / "plain", None)))
    with pytest.raises(ConfigError, match="batch_size is 0"):
        ChatModel(str(tmp_path), batch_size=0)
