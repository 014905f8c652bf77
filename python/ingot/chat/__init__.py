"""Chat templates: a model's own Jinja, which turns a conversation into a prompt."""

from ingot.chat.continuing import render_unfinished
from ingot.chat.messages import pieces, prepared, unmarked
from ingot.chat.template import chosen_template, render

__all__ = ["chosen_template", "pieces", "prepared", "render", "render_unfinished", "unmarked"]
