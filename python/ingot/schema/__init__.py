"""JSON Schema: which values a schema allows, as a grammar (docs/schema.md).

document.py  references, pointers          text.py     languages of characters, an algebra
reader.py    keywords of one value         pattern.py  regular expressions
scalars.py arrays.py objects.py combine.py: the keywords; formats.py numbers.py
forms.py     what values may be            tape.py     a grammar, noted down
emit.py emit_arrays.py digits.py: how JSON writes them
report.py    what became of each keyword   gbnf.py     the grammar printed
"""

from __future__ import annotations

from ingot.schema.gbnf import to_gbnf
from ingot.schema.report import Line, Report, report

__all__ = ["Line", "Report", "report", "to_gbnf"]
