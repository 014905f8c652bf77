"""``ingot chat``: a conversation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingot import errors
from ingot.chat import chosen_template
from ingot.cli import files, options, terminal
from ingot.cli.run import speeds
from ingot.generation import Stream
from ingot.model import Model
from ingot.sampling import sampler_params, sampling_values

_EPILOG = """\
examples:
  ingot chat
  ingot chat model.gguf --system "Answer in one sentence." --temperature 0.2
  echo "What is the capital of Portugal?" | ingot chat model.gguf

In the conversation /help lists the commands. Ctrl-C stops an answer, Ctrl-D ends the conversation.
"""

_QUOTES = '"""'


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    options.add_template(parser)
    options.add_max_tokens(parser, None, "-1, as many as the context holds")
    options.add_sampling(parser)
    options.add_speculation(parser)
    options.add_grammar(parser)
    options.add_adapters(parser)
    options.add_engine(parser, keeps=True)


def execute(args: argparse.Namespace) -> int:
    with suppress(ImportError):
        import readline  # noqa: F401  (gives input() a history and editing)
    settings = options.sampling(args) | options.grammar(args) | {"max_tokens": args.max_tokens}
    with options.open_model(args) as model:
        settings["adapters"] = options.load_adapters(model, args)
        template = options.template(args)
        chosen_template(model.metadata, template, tools=False)  # none: better said now than later
        conversation = Conversation(model, template, settings, args.system)
        if sys.stdin.isatty():
            terminal.note(f"{Path(model.path).name}: /help lists the commands, Ctrl-D ends")
        conversation.run()
    return 1 if conversation.failed and not sys.stdin.isatty() else 0


class Conversation:
    """The messages so far, and what is typed next."""

    def __init__(
        self, model: Model, template: str | None, settings: dict[str, Any], system: str | None
    ) -> None:
        self._model, self._template, self._settings = model, template, settings
        self._messages: list[dict[str, Any]] = []
        self._set_system(system or "")
        self._last = "nothing was answered yet"
        self.failed = False

    def run(self) -> None:
        while True:
            try:
                typed = _read_message()
            except EOFError:
                terminal.end_line()
                return
            except KeyboardInterrupt:
                terminal.note("\nCtrl-D or /exit ends the conversation")
                continue
            except errors.FormatError as e:
                self._fail(e)
                return
            if not typed.strip():
                continue
            if not typed.startswith("/"):
                self._answer(typed)
                continue
            name, _, rest = typed[1:].partition(" ")
            if name in ("exit", "quit", "bye"):
                return
            try:
                self._command(name, rest.strip())
            except (errors.IngotError, OSError, argparse.ArgumentTypeError) as e:
                self._fail(e)

    def _fail(self, problem: Exception) -> None:
        self.failed = True
        terminal.error(str(problem))

    # -------------------------------------------------------------------------------------- answers

    def _answer(self, typed: str) -> None:
        """One turn; what goes wrong leaves the conversation as it was."""
        asked = [*self._messages, {"role": "user", "content": typed}]
        said: list[str] = []
        try:
            with self._stream(asked) as stream:
                for chunk in stream:
                    said.append(chunk.text)
                    terminal.write(chunk.text)
            self._last = speeds(stream.completion)
            if stream.completion.finish_reason == "context":
                terminal.note("\nthe context is full: /reset starts anew")
        except KeyboardInterrupt:
            self._last = "the answer was stopped"
        except errors.IngotError as e:
            self._fail(e)
            if isinstance(e, errors.LimitError) and len(asked) > 1:
                terminal.note("/reset makes room, by forgetting the conversation")
            return
        terminal.write("\n")
        self._messages = [*asked, {"role": "assistant", "content": "".join(said)}]

    def _stream(self, messages: list[dict[str, Any]]) -> Stream:
        stream: Stream = self._model.chat(
            messages, template=self._template, stream=True, **self._settings
        )
        return stream

    # ------------------------------------------------------------------------------------- commands

    def _command(self, name: str, rest: str) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "reset": self._reset,
            "system": self._system,
            "save": self._save,
            "load": self._load,
            "set": self._set,
            "show": self._show,
        }
        if name not in commands:
            raise errors.ArgumentError(f"no command /{name}; /help lists them")
        commands[name](rest)

    def _help(self, _: str) -> None:
        terminal.note(
            "/reset             forget the conversation, but not the system message\n"
            "/system [TEXT]     set or drop the system message\n"
            "/save FILE         write the conversation as JSON; /load FILE reads it\n"
            "/set NAME VALUE    change max_tokens, seed or a sampling parameter\n"
            "/show              the model, the settings, the last answer's speed\n"
            "/exit              end (Ctrl-D)\n"
            f"{_QUOTES} begins and ends a message of several lines; Ctrl-C stops an answer"
        )

    def _reset(self, _: str) -> None:
        self._messages = [message for message in self._messages if message["role"] == "system"]
        terminal.note("the conversation is forgotten")

    def _system(self, text: str) -> None:
        self._set_system(text)
        terminal.note(f"the system message is {'set' if text else 'dropped'}")

    def _set_system(self, text: str) -> None:
        rest = [message for message in self._messages if message["role"] != "system"]
        self._messages = ([{"role": "system", "content": text}] if text else []) + rest

    def _save(self, path: str) -> None:
        if not path:
            raise errors.ArgumentError("expected /save FILE")
        text = json.dumps(self._messages, ensure_ascii=False, indent=1) + "\n"
        Path(path).write_text(text, encoding="utf-8", errors="replace")
        terminal.note(f"{len(self._messages)} messages saved")

    def _load(self, path: str) -> None:
        if not path:
            raise errors.ArgumentError("expected /load FILE")
        messages = files.read_json(path)
        if not isinstance(messages, list) or not all(map(_is_message, messages)):
            raise errors.FormatError(f"{path} is no list of messages with a role and a content")
        self._messages = messages
        terminal.note(f"{len(messages)} messages loaded")

    def _set(self, text: str) -> None:
        name, _, value = text.partition(" ")
        if not value:
            raise errors.ArgumentError("expected /set NAME VALUE")
        if name == "max_tokens":
            self._settings[name] = options.max_tokens(value)
        elif name == "seed":
            self._settings[name] = options.seed(value)
        else:
            number = _number(value)
            sampling_values({name: number})
            self._settings[name] = number

    def _show(self, _: str) -> None:
        rows: dict[str, object] = {"model": self._model.path, "context": self._model.n_ctx}
        rows |= {"messages": len(self._messages), "last answer": self._last}
        rows |= {name: self._settings[name] for name in ("max_tokens", "seed")}
        rows |= {p.name: self._settings.get(p.name, p.default) for p in sampler_params()}
        system = [m["content"] for m in self._messages if m["role"] == "system"]
        rows |= {"system": system[0]} if system else {}
        for name, value in rows.items():
            shown = f"{value:g}" if isinstance(value, float) else "-" if value is None else value
            terminal.note(f"{name:18} {shown}")


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and {"role", "content"} <= value.keys()


def _number(text: str) -> float | str:
    """A number, or the text that is none, which the table's own message then quotes."""
    try:
        return float(text)
    except ValueError:
        return text


def _read_message() -> str:
    """A line, or the lines between triple quotes.

    EOFError at the end of the input, FormatError if that is between the quotes.
    """
    prompts = (">>> ", "... ") if sys.stdin.isatty() else ("", "")
    line = input(prompts[0])
    if not line.lstrip().startswith(_QUOTES):
        return line
    lines = [line.lstrip()[len(_QUOTES) :]]
    while not lines[-1].rstrip().endswith(_QUOTES):
        try:
            lines.append(input(prompts[1]))
        except EOFError:
            raise errors.FormatError(f"the input ended before the closing {_QUOTES}") from None
    lines[-1] = lines[-1].rstrip()[: -len(_QUOTES)]
    return "\n".join(lines).strip("\n")
