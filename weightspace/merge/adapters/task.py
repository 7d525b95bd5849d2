"""What PEFT calls the task of a model, and which modules it then looks for in an adapter, whatever the adapter says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_TASKS = {
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}
_HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}


def task_of(architectures: Iterable[str]) -> str | None:
    """The `task_type` for what a `config.json` lists as architectures; None where PEFT has none."""
    return next((task for one in architectures for end, task in _TASKS.items() if one.endswith(end)), None)


def heads_of(task: str | None, modules: Iterable[str]) -> list[str]:
    """Modules that PEFT takes from every adapter of a task."""
    ends = _HEADS.get(task or "", ())
    return [module for module in modules if ends and module.endswith(ends)]


def task_with(task: str | None, modules: Iterable[str], saved: Sequence[str]) -> str | None:
    """The task, unless PEFT would then look for a module that is not among those saved whole."""
    return task if all(head in saved for head in heads_of(task, modules)) else None
