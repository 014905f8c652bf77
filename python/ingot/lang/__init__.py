"""Programs of texts and answers: what a model is asked for depends on what it said before.

>>> import ingot
>>> from ingot.lang import gen, program, select
>>> @program
... def story(s, hero):
...     s += f"Once upon a time there was a {hero}. " + gen("story", max_tokens=24, stop=".")
...     s += ". The end was" + select("end", [" happy", " sad"])
>>> state = story.run("dog", model=ingot.Model(), seed=1)
>>> state["end"] in (" happy", " sad")
True

docs/lang.md is the manual.
"""

from ingot.lang.backend import Selection
from ingot.lang.expressions import Expression, assistant, gen, role, select, system, user
from ingot.lang.program import Program, Running, program
from ingot.lang.state import Fork, State, Usage

__all__ = [
    "Expression",
    "Fork",
    "Program",
    "Running",
    "Selection",
    "State",
    "Usage",
    "assistant",
    "gen",
    "program",
    "role",
    "select",
    "system",
    "user",
]
