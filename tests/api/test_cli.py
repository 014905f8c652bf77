"""The command line, as a program."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import ingot
import pytest
from ingot.cli import COMMANDS, terminal

INGOT = [sys.executable, "-m", "ingot"]


def run(*args: object, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INGOT, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | env,
        check=False,
    )


def run_well(*args: object, stdin: str = "", **env: str) -> str:
    done = run(*args, stdin=stdin, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_terminal(*args: str, typed: Sequence[tuple[str, str]] = ()) -> str:
    """What a terminal shows of a command; `typed`: what to wait for, and what to type then."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*INGOT, *args], stdin=child, stdout=child, stderr=child, env=os.environ | {"TERM": "xterm"}
    )
    os.close(child)
    left, shown, answered = list(typed), "", 0
    while select.select([parent], [], [], 60)[0]:
        try:
            piece = os.read(parent, 4096)
        except OSError:  # how Linux says that nobody has it open any more
            break
        shown += piece.decode()
        while left and left[0][0] in shown[answered:]:
            expected, answer = left.pop(0)
            answered = shown.index(expected, answered) + len(expected)
            os.write(parent, answer.encode())
    os.close(parent)
    try:
        assert process.wait(30) == 0, shown
    finally:
        process.kill()
    return shown


# --------------------------------------------------------------------------------------- in general


def test_help_and_version() -> None:
    assert run_well("--version") == f"ingot {ingot.__version__}\n"
    text = run_well("--help")
    for name in COMMANDS:
        assert name in text
        page = run_well(name, "--help")
        assert "examples:" in page
        assert f"ingot {name}" in page


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nothing"],
        ["run", "--nothing"],
        ["run", "-p", "x", "-n", "-2"],
        ["run", "-p", "x", "--threads", "0"],
        ["run", "-p", "x", "--ctx-size", "99999999999999"],
        ["run", "-p", "x", "--ctx-size", "10g"],
        ["run", "-p", "x", "--seed", "-2"],
        ["tokenize", "--decode", "abc"],
        ["tokenize", "--decode", "9999999999999999999"],
        ["run", "-p", "x", "--temperature", "warm"],
        ["run", "-p", "x", "--kv-type", "q4"],
        ["run", "-p", "x", "--cache-type-k", "q4"],
        ["run", "-p", "x", "-ctv", "q4"],
        ["run", "-p", "x", "--system", "s"],
        ["run", "-p", "x", "a.gguf", "b.gguf"],
        ["tokenize"],
        ["tokenize", "a", "b", "c"],
        ["tokenize", "--decode", "1 x"],
        ["inspect", "--ctx-size", "-1"],
    ],
)
def test_wrong_usage(args: list[str]) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: ingot" + (f" {args[0]}" if args and args[0] in COMMANDS else "") in done.stderr
    assert ": error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["run", "FILE", "-p", "x"],
        ["chat", "FILE"],
        ["inspect", "FILE"],
        ["tokenize", "FILE", "x"],
    ],
)
@pytest.mark.parametrize("kind", ["missing", "cut", "empty", "folder", "text"])
def test_files_that_are_wrong(args: list[str], kind: str, tmp_path: Path, bundled: Path) -> None:
    path = tmp_path / f"{kind}.gguf"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        content = {"cut": bundled.read_bytes()[:5000], "empty": b"", "text": b"# Title\n" * 99}
        path.write_bytes(content[kind])
    done = run(*(str(path) if arg == "FILE" else arg for arg in args))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ingot: error: ")
    assert path.name in line


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run("inspect", tmp_path / "none.gguf", INGOT_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileError" in done.stderr


def test_a_wrong_parameter_is_one_line() -> None:
    done = run("run", "-p", "x", "--temperature", "-3")
    assert done.returncode == 2
    assert done.stderr.startswith("ingot: error: temperature is -3.0; expected a number from 0 to")


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--temperature", "nan"], "temperature is nan"),
        (["--top-k", "-1"], "top_k is -1; expected an integer from 0 to 16777216"),
        (["--threads", "100000"], "threads is 100000"),
        (["--stop", ""], "stop"),
        (["--ctx-size", "2000000000"], "--ctx-size is 2000000000"),
        (["--batch-size", "2000000000"], "--batch-size is 2000000000"),
    ],
)
def test_values_out_of_range_are_wrong_usage(args: list[str], problem: str) -> None:
    done = run("run", "-p", "x", *args)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ingot: error: ")
    assert problem in line


def test_options_by_the_names_of_llama_cpp(bundled: Path) -> None:
    plain = run("run", bundled, "-p", "Once", "--seed", "3", "--temperature", "1", "-n", "9", "-q")
    short = ["-m", bundled, "-c", "64", "-t", "1", "-b", "8", "-s", "3", "--temp", "1"]
    done = run("run", "-p", "Once", *short, "--n-predict", "9", "-q")
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    for args in (["-m", "none.gguf"], ["none.gguf"]):
        assert "none.gguf" in run("inspect", *args).stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("chat <&-", 0),
        ("chat <&- >&- 2>&-", 0),
        ("run -p Once -n 5 >&-", 0),
        ("run -p Once -n 5 2>&-", 0),
        ("inspect >&-", 0),
        ("run <&-", 2),
        ("--help >/dev/full", 1),
        ("run -p Once -n 5 >/dev/full", 1),
    ],
)
def test_streams_that_are_closed_or_full(command: str, status: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m ingot {command}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": ""},  # else argparse swallows the error
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if status:
        assert done.stderr.startswith(("ingot: error: ", "usage: "))


def test_a_broken_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m ingot run -p Once -n -1 --ignore-eos | head -c 20"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert (len(done.stdout), done.stderr, done.returncode) == (20, "", 0)


def test_control_characters() -> None:
    text = "a\x1b[31mb\x9b1mc\rd\x07e\x7f\tf\n日"
    assert terminal.safe(text) == "a␛[31mb\ufffd1mc␍d␇e␡\tf\n日"


@pytest.mark.parametrize("in_terminal", [False, True])
def test_progress_is_shown_when_it_takes_long(
    in_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: in_terminal)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress("loading") as report:
        report(0.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "_PATIENCE", 0)
    with terminal.progress("loading") as report:
        report(0.5)
        time.sleep(0.2)
    shown = capsys.readouterr().err
    assert "loading" in shown
    assert "50%" in shown
    assert in_terminal == ("\x1b" in shown)


# ---------------------------------------------------------------------------------------------- run


def test_run() -> None:
    done = run("run", "-p", "Once upon a time", "-n", "12", "--seed", "4")
    assert done.returncode == 0
    with ingot.Model() as model:
        expected = model.generate("Once upon a time", max_tokens=12, seed=4)
    assert done.stdout == expected.text
    assert re.fullmatch(
        r"prompt: \d+ of \d+ tokens in [\d.]+ s \([\d.]+/s\); generated: \d+ tokens in [\d.]+ s "
        r"\([\d.]+/s\); finish: \w+; seed: 4\n",
        done.stderr,
    )


def test_run_reads_standard_input() -> None:
    args = ["run", "-n", "8", "--seed", "5", "-q"]
    done = run(*args, stdin="Once upon")
    assert done.stderr == ""
    assert done.stdout == run(*args, "-p", "Once upon").stdout
    assert done.stdout == run(*args, stdin="Once upon\n").stdout
    assert done.stdout != run(*args, stdin="Once upon\n\n").stdout


def test_a_random_seed() -> None:
    args = ["run", "-p", "x", "-n", "1", "--seed", "-1", "--json"]
    assert json.loads(run_well(*args))["seed"] != json.loads(run_well(*args))["seed"]


def test_speeds_have_a_line_of_their_own() -> None:
    command = f"{sys.executable} -m ingot run -p Once -n 5 --seed 1"
    both = subprocess.check_output(["bash", "-c", f"{command} 2>&1"], text=True)
    assert re.search(r"^prompt: ", both, re.M)
    apart = subprocess.check_output(["bash", "-c", f"{command} 2>/dev/null"], text=True)
    assert both.startswith(apart + "\nprompt: ")


def test_run_with_every_option(bundled: Path, tmp_path: Path) -> None:
    params = [
        word
        for param in ingot.sampler_params()
        for word in (f"--{param.name.replace('_', '-')}", f"{param.default:g}")
    ]
    text = run_well(
        *["run", bundled, "-p", "Once", "-n", "10", "--seed", "2", "--ignore-eos", "--special"],
        *["--ctx-size", "64", "--threads", "1", "--kv-type", "f32", "--batch-size", "8"],
        *["--no-mmap", "--stop", "xyzzy", "--stop", "plugh", "--ignore-extra-tensors", *params],
    )
    assert text
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0].content }}, {{ messages[1].content }}", encoding="utf-8")
    answer = json.loads(
        run_well(
            *["run", "-p", "two", "--chat", "--system", "one", "--template", template],
            *["-n", "3", "--json", "--temperature", "0"],
        )
    )
    with ingot.Model() as model:
        expected = model.generate("one, two", max_tokens=3, temperature=0)
    assert answer["tokens"] == expected.tokens
    assert answer.keys() == vars(expected).keys()
    assert answer["timings"].keys() == vars(expected.timings).keys()


def test_run_in_a_terminal() -> None:
    shown = in_terminal("run", "-p", "Once upon a time", "-n", "5", "--seed", "4", "-q")
    plain = run_well("run", "-p", "Once upon a time", "-n", "5", "--seed", "4", "-q")
    assert shown.replace("\r\n", "\n") == plain + "\n"
    done = subprocess.run([*INGOT, "run"], stdin=pty.openpty()[1], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"no prompt" in done.stderr


def test_the_model_cannot_script_the_terminal(bundled: Path, tmp_path: Path) -> None:
    """Escape sequences are raw in a pipe and shown, not obeyed, in a terminal."""
    path = tmp_path / "esc.gguf"
    with ingot.gguf.open(bundled) as source, ingot.gguf.Writer(path) as writer:
        for key in source.metadata:
            value = source.metadata[key]
            if key == "general.name":
                value = "a\x1b]0;b\x07"
            writer.add(key, value)
        for tensor in source.tensors.values():
            writer.add_tensor(tensor.name, tensor.data, tensor.type)
    assert "\x1b]0;" not in in_terminal("inspect", str(path))
    with ingot.Model(path) as model:
        escape = model.tokenize("\x1b")
        prompt = " ".join(str(token) for token in escape)
    shown = in_terminal("tokenize", str(path), "--decode", prompt, "--special")
    assert "\x1b" not in shown
    assert "␛" in shown
    raw = run_well("tokenize", path, "--decode", prompt)
    assert raw == "\x1b"


def test_ctrl_c_ends_with_130() -> None:
    process = subprocess.Popen(
        [*INGOT, "run", "-p", "Once", "-n", "-1", "--ignore-eos"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, b"")


# --------------------------------------------------------------------------------------------- chat


def test_chat_reads_lines() -> None:
    done = run("chat", "--temperature", "0", "-n", "20", stdin='Hello!\n\n"""\nTwo\nlines\n"""\n')
    assert done.returncode == 0, done.stderr
    with ingot.Model() as model:
        messages = [{"role": "user", "content": "Hello!"}]
        first = model.chat(messages, temperature=0, max_tokens=20).text
        messages += [{"role": "assistant", "content": first}]
        messages += [{"role": "user", "content": "Two\nlines"}]
        second = model.chat(messages, temperature=0, max_tokens=20).text
    assert done.stdout == f"{first}\n{second}\n"


def test_chat_commands(tmp_path: Path) -> None:
    saved = tmp_path / "a.json"
    script = f"""\
/set temperature 0
/set max_tokens 5
/set seed 7
/system Be brief.
Hello!
/save {saved}
/reset
/show
/load {saved}
/show
/help
/nothing
/set nothing 1
/set temperature warm
/set top_p 7
/load {tmp_path}/none.json
/save
/load
/set
/set seed -2
/set max_tokens none
/quit
not read
"""
    done = run("chat", stdin=script)
    assert done.returncode == 1
    messages = json.loads(saved.read_text(encoding="utf-8"))
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[0]["content"] == "Be brief."
    assert done.stdout == messages[2]["content"] + "\n"
    assert re.findall(r"messages +(\d+)$", done.stderr, re.M) == ["1", "3"]
    for part in ("temperature        0", "max_tokens         5", "seed               7", "/reset"):
        assert part in done.stderr
    problems = re.findall("^ingot: error: (.*)$", done.stderr, re.M)
    parts = ["/nothing", "nothing", "warm", "top_p", "none.json", "/save FILE", "/load FILE"]
    parts += ["/set NAME VALUE", "'-2' is no integer from -1", "'none' is no integer"]
    for problem, part in zip(problems, parts, strict=True):
        assert part in problem
    assert "the system message is set" in done.stderr
    assert "the conversation is forgotten" in done.stderr
    assert re.search(r"^system +Be brief\.$", done.stderr, re.M)


def test_chat_ends_well_after_commands_that_are_right() -> None:
    done = run("chat", stdin="/set seed -1\n/set max_tokens 1\nHello!\n/system\n/bye\nnot read\n")
    assert done.returncode == 0
    assert done.stderr == "the system message is dropped\n"


def test_chat_with_an_unfinished_message() -> None:
    done = run("chat", stdin='"""\nHello!\n')
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'ingot: error: the input ended before the closing """' in done.stderr


def test_chat_refuses_files_that_are_no_conversation(tmp_path: Path) -> None:
    for content in ("{}", "[1]", '[{"role": "user"}]', "no json", "\x00"):
        (tmp_path / "a.json").write_text(content, encoding="utf-8")
        done = run("chat", stdin=f"/load {tmp_path}/a.json\n")
        assert done.returncode == 1
        assert done.stderr.startswith(f"ingot: error: {tmp_path}/a.json is no ")
        assert "Traceback" not in done.stderr


def test_chat_reads_what_is_no_utf8() -> None:
    done = subprocess.run(
        [*INGOT, "chat", "-n", "3"], input=b"a\xff\n", capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


def test_chat_goes_on_after_a_full_context() -> None:
    done = run("chat", "--ctx-size", "64", stdin="word " * 100 + "\nHello!\n")
    assert done.returncode == 1
    assert "64" in done.stderr
    assert "--ctx-size" in done.stderr
    assert "/reset" not in done.stderr
    assert done.stdout.strip()
    full = run("chat", "--ctx-size", "64", "--ignore-eos", stdin="Hello!\nAnd?\n/reset\nHello!\n")
    assert full.stderr.count("the context is full: /reset") == 2
    assert full.stderr.count("ingot: error: ") == 1
    assert "/reset makes room" in full.stderr


def test_chat_without_a_template(shared: Path) -> None:
    done = run("chat", shared / "golden/arch/llama/model.gguf", stdin="Hello!\n")
    assert done.returncode == 1
    assert "tokenizer.chat_template" in done.stderr
    assert "--template" in done.stderr


def test_chat_with_a_template_that_is_not_there() -> None:
    done = run("chat", "--template", "missing.jinja", stdin="Hello!\n")
    assert done.returncode == 1
    assert "no such file" in done.stderr


def test_chat_in_a_terminal() -> None:
    shown = in_terminal(
        "chat", "--temperature", "0", typed=[(">>> ", "Hello!\n"), (">>> ", "\x04")]
    )
    assert "/help lists the commands" in shown
    assert shown.count(">>> ") == 2


def test_ctrl_c_stops_the_answer_and_not_the_chat() -> None:
    process = subprocess.Popen(
        [*INGOT, "chat", "--ignore-eos", "--temperature", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"Tell me a story.\n")
    process.stdin.flush()
    process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    _, stderr = process.communicate(b"/show\n/exit\n", timeout=30)
    assert process.returncode == 0
    assert b"the answer was stopped" in stderr
    assert re.search(rb"messages +2\n", stderr)


# ------------------------------------------------------------------------------------------ inspect


def test_inspect(bundled: Path) -> None:
    text = run_well("inspect", bundled)
    with ingot.Model(bundled) as model:
        info = model.info
    assert f"weights\t{info.n_params:,}\n" in text
    assert 'general.architecture\t"llama"\n' in text
    assert "token_embd.weight" not in text
    assert "token_embd.weight\tQ8_0\t" in run_well("inspect", "--tensors")


def test_inspect_as_json(bundled: Path) -> None:
    report = json.loads(run_well("inspect", "--json", "--ctx-size", "100"))
    with ingot.Model(bundled) as model, ingot.gguf.open(bundled) as file:
        assert report["metadata"].keys() == dict(file.metadata).keys()
        assert report["metadata"]["tokenizer.ggml.tokens"] == file.metadata["tokenizer.ggml.tokens"]
        assert [t["name"] for t in report["tensors"]] == list(file.tensors)
        assert report["tensor_bytes"] == sum(tensor.nbytes for tensor in file.tensors.values())
        kv = 100 * model.info.kv_bytes_per_token_f16
        assert report["memory"]["kv_bytes_f16"] == kv
        assert report["memory"]["total_bytes"] == model.info.weight_bytes + kv
        assert sum(row["tensors"] for row in report["types"]) == report["tensor_count"]


def test_inspect_any_gguf(tmp_path: Path) -> None:
    """A file that is no model, with values that JSON has no word for."""
    path = tmp_path / "odd.gguf"
    with ingot.gguf.Writer(path) as writer:
        writer.add("odd.nan", float("nan"))
        writer.add("odd.text", b"\xff\x1b\n")
        writer.add("odd.nested", [[1.5, float("inf")], [2.0]])
        writer.add("odd.empty", [], "float32")
    text = run_well("inspect", path)
    assert "not usable as a model\t" in text
    assert "odd.nested\t2 of [" in text
    report = json.loads(run_well("inspect", path, "--json"), parse_constant=pytest.fail)
    assert report["metadata"]["odd.nan"] == "nan"
    assert report["metadata"]["odd.nested"] == [[1.5, "inf"], [2.0]]
    assert "error" in report["memory"]
    assert in_terminal("inspect", str(path))


def test_columns_of_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their last digits stand below each other."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rows = [("a", "1.0000", "1", "-"), ("b", "-0.2500", "-10", "10"), ("-c", "0.5000", "7", "x")]
    terminal.table("", ["text", "cosine", "count", "mixed"], rows)
    lines = [line for line in capsys.readouterr().out.splitlines() if "." in line]
    at = [[(word.start(), word.end()) for word in re.finditer(r"\S+", line)] for line in lines]
    for column, edge in enumerate((0, 1, 1, 0)):  # where the words of a column meet
        assert len({row[column][edge] for row in at}) == 1, lines
        assert len({row[column][1 - edge] for row in at}) > 1, lines


def test_inspect_in_a_terminal() -> None:
    shown = in_terminal("inspect", "--tensors")
    assert "metadata" in shown
    assert "bits per weight" in shown


# ----------------------------------------------------------------------------------------- tokenize


def test_tokenize(bundled: Path) -> None:
    with ingot.Model(bundled, vocab_only=True) as model:
        ids = model.tokenize("Hello, world")
        special = model.tokenize("<|im_end|>", add_special=True, parse_special=True)
    rows = [line.split("\t") for line in run_well("tokenize", "Hello, world").splitlines()]
    assert [int(row[0]) for row in rows] == ids
    assert "".join(json.loads(row[1]) for row in rows) == "Hello, world"
    found = json.loads(run_well("tokenize", bundled, "Hello, world", "--json"))
    assert [row["id"] for row in found] == ids
    assert "".join(row["piece"] for row in found) == "Hello, world"
    found = json.loads(run_well("tokenize", "<|im_end|>", "--special", "--json"))
    assert [row["id"] for row in found] == special
    assert run_well("tokenize", "-", stdin="Hello, world") == run_well("tokenize", "Hello, world")


def test_tokenize_a_file_without_a_text(bundled: Path) -> None:
    done = run("tokenize", bundled)
    assert done.returncode == 0
    assert f"{bundled} is a file, and taken for the text" in done.stderr


def test_tokenize_what_is_too_long_for_a_name() -> None:
    text = "word " * 1000
    found = json.loads(run_well("tokenize", text, "--json"))
    assert "".join(row["piece"] for row in found) == text


def test_tokenize_parts_of_characters() -> None:
    found = json.loads(run_well("tokenize", "🙂", "--json"))
    data = b"".join(
        bytes(row["piece"]) if isinstance(row["piece"], list) else row["piece"].encode()
        for row in found
    )
    assert data.decode() == "🙂"
    assert '"\\xf0"' in run_well("tokenize", "🙂")


def test_decode() -> None:
    with ingot.Model(vocab_only=True) as model:
        ids = model.tokenize("Hello, 🙂")
    for text in (" ".join(map(str, ids)), ",".join(map(str, ids)), json.dumps(ids)):
        assert run_well("tokenize", "--decode", text) == "Hello, 🙂"
    assert json.loads(run_well("tokenize", "--decode", str(ids), "--json")) == {"text": "Hello, 🙂"}
    done = run("tokenize", "--decode", "99999999")
    assert done.returncode == 2
    assert done.stderr.startswith("ingot: error: ")


# ------------------------------------------------------------------------------------------ devices


def test_devices() -> None:
    report = json.loads(run_well("devices", "--json", INGOT_ISA="generic"))
    assert [isa["name"] for isa in report["instruction_sets"] if isa["active"]] == ["generic"]
    assert report["devices"][0]["name"] == "cpu"
    assert "generic\tin use" in run_well("devices", INGOT_ISA="generic")
    assert in_terminal("devices")
    done = run("devices", INGOT_ISA="abacus")
    assert done.returncode == 1
    assert "abacus" in done.stderr
