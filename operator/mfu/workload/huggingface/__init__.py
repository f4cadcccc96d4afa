"""A Hugging Face config.json, understood: the architecture, the number formats, and what was not taken from it."""

from mfu.workload.huggingface.kinds import model_types
from mfu.workload.huggingface.understand import Understood, from_config, understand

__all__ = ["Understood", "from_config", "model_types", "understand"]
