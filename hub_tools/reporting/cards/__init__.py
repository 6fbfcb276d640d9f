"""Cards of the published repos, written from the report alone; names, texts and paths are escaped for their place."""

from hub_tools.reporting.cards.dataset import dataset_card
from hub_tools.reporting.cards.licenses import notice
from hub_tools.reporting.cards.model import model_card
from hub_tools.reporting.cards.shared import teacher_name
from hub_tools.reporting.cards.tokenizer import tokenizer_card

__all__ = ["dataset_card", "model_card", "notice", "teacher_name", "tokenizer_card"]
