# `whinchat chat` at a terminal: chat_terminal.py PROGRAM MODEL STATE_FOLDER. Types as a person would, reads the screen,
# exits with an error at the first thing that is not as it should be.
import base64
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys

program, model, state = sys.argv[1:]
# What the editor writes when it begins and when it ends to read a message (bracketed paste on and off).
READS, HAS_READ = "\x1b[?2004h", "\x1b[?2004l"


class Chat:
    """A chat at a terminal of its own."""

    def __init__(self, *options, env=None, out=None):
        self.master, slave = pty.openpty()
        env = {"TERM": "xterm", **(env or {}), "XDG_STATE_HOME": state, "HF_HUB_OFFLINE": "1", "HOME": state,
               "PATH": os.environ["PATH"]}
        self.child = subprocess.Popen([program, "chat", *options], stdin=slave, stdout=out or slave, stderr=slave, env=env,
                                      start_new_session=True,
                                      preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        os.close(slave)
        self.screen, self.at = b"", 0
        self.until("/help says what can be done")
        self.until(READS)

    def read(self):
        assert select.select([self.master], [], [], 60)[0], f"nothing more comes behind {self.screen[self.at:]}"
        self.screen += os.read(self.master, 65536)

    def until(self, text):
        """Reads until `text` stands on the screen; gives what stands before it."""
        text = text.encode() if isinstance(text, str) else text
        while text not in self.screen[self.at:]:
            self.read()
        start = self.at
        self.at = self.screen.index(text, start) + len(text)
        return self.screen[start:self.at - len(text)].decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def say(self, line, *parts):
        """Types a line and reads until the next one is asked for. Gives what came; each of `parts` must be in it."""
        self.type(line + "\r")
        self.until(HAS_READ)
        said = self.until(READS)
        for part in parts:
            assert part in said, (line, part, said)
        return said

    def leave(self, how="\x04"):
        self.type(how)
        try:
            while more := os.read(self.master, 65536):
                self.screen += more
        except OSError:
            pass  # the program has ended
        assert self.child.wait(60) == 0, (self.child.returncode, self.screen[self.at:])


def messages(name):
    with open(f"{state}/{name}") as file:
        return json.load(file)["messages"]


def stops_and_remembers():
    chat = Chat("--model", model, "--temperature", "1", "--ignore-eos", "-n", "100000", "--context", "100000")
    chat.type("Tell me a story\r")
    chat.until("Tell me a story")
    while len(chat.screen) < chat.at + 200:  # the answer comes
        chat.read()
    chat.type("\x03")  # Ctrl-C stops the answer and not the program
    chat.until("stopped")
    chat.until(READS)
    chat.say("/save ~/stopped.json", "saved 2 messages")
    said = messages("stopped.json")[1]["content"]
    assert len(said) > 50, said  # what came is kept
    chat.type("\x03")  # with no answer to stop it does nothing
    chat.until("/quit")
    chat.until(READS)
    chat.type("\x1b[A\x1b[A")  # up, up: the history
    chat.until("Tell me a story")
    chat.leave("\x15/quit\r")
    with open(f"{state}/whinchat/chat_history") as file:
        assert "Tell me a story" in file.read()


def commands_do_what_help_says():
    chat = Chat("--model", model, "--temperature", "0", "-n", "6")
    help_text = chat.say("/help", "/regenerate", "/edit", "/undo", "/system", "/set", "/tools", "/timings", "/copy", "/save",
                         "/load", "/clear", "/multi", "/quit", "Ctrl-C")
    assert help_text.count("\n") < 24, "the help fits on a terminal"
    chat.say("The whinchat", "6 tokens", "tok/s", "context")
    chat.say("/save ~/a.json", "saved 2 messages to ~/a.json")
    first = messages("a.json")
    chat.say("/regenerate", "6 tokens")
    chat.say("/retry")
    chat.say("/save ~/b.json")
    assert messages("b.json") == first  # greedy: the same again
    chat.say("/edit The bird", "6 tokens")
    chat.type("/edit\r")
    chat.until("The bird")  # stands there to be changed
    chat.say(" sings", "6 tokens")
    chat.say("/save ~/c.json", "saved 2 messages")
    assert messages("c.json")[0]["content"] == "The bird sings"
    chat.say("/system Be brief.")
    chat.say("/system", "Be brief.")
    chat.say("/timings", "hidden")
    assert "tok/s" not in chat.say("Hello\\\rthere")
    chat.say("/save ~/d.json", "saved 5 messages")
    assert [m["role"] for m in messages("d.json")] == ["system", "user", "assistant", "user", "assistant"]
    assert messages("d.json")[3]["content"] == "Hello\nthere"
    chat.say("/undo")
    for line in ["/multi", "one", "", "two", "/end"]:
        chat.say(line)
    chat.say("/save ~/e.json", "saved 5 messages")
    assert messages("e.json")[3]["content"] == "one\n\ntwo"
    chat.say("/copy", "copied")
    code = re.search(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", chat.screen)[1]
    assert base64.b64decode(code).decode() == messages("e.json")[4]["content"]
    chat.say("/load ~/a.json", "loaded 2 messages")
    chat.say("/save ~/a.json", "saved 2 messages")  # its own file may be replaced, no other
    chat.say("/save ~/whinchat/chat_history", "error:", "is there already; take another name")
    chat.say("/system", "no system message")
    chat.say("/clear")
    chat.say("/save ~/f.json", "saved 0 messages")
    chat.leave("/quit\r")


def what_is_typed_ahead_is_not_lost():
    chat = Chat("--model", model, "-n", "4", "--no-timings", "--temperature", "0")
    # Three lines at once, as a paste without brackets brings them.
    chat.type("one\rtwo\rthree\r")
    for _ in range(3):
        chat.until(HAS_READ)
        chat.until(READS)
    chat.say("/save ~/ahead.json", "saved 6 messages")
    assert [m["content"] for m in messages("ahead.json")[::2]] == ["one", "two", "three"]
    # And while an answer comes.
    chat = Chat("--model", model, "-n", "2000", "--context", "4000", "--ignore-eos", "--no-timings")
    chat.type("Tell me a story\r")
    chat.until(HAS_READ)
    chat.type("/set max-tokens 3\r/save ~/typed.json\r")
    chat.until("max-tokens: 3")
    chat.until("saved 2 messages")
    chat.until(READS)
    chat.leave()


def settings_are_listed_and_set():
    chat = Chat("--model", model, "--no-timings")
    chat.say("/set", "temperature", "top-k", "max-tokens", "logit-bias")
    chat.say("/set temperature 0", "temperature: 0")
    chat.say("/set max_tokens=3", "max-tokens: 3")
    chat.say("/set", "\x1b[1m0         \x1b[0m", "\x1b[1m3         \x1b[0m")
    chat.say("The whinchat", "cut off after 3 tokens; /set max-tokens")
    chat.say("/set temperature")
    assert "\x1b[1m0 " not in chat.say("/set")
    chat.type("/set temp\t0.5\r")  # Tab
    chat.until(READS)
    chat.say("/set", "0.5")
    chat.leave()


def mistakes_are_said_and_the_chat_goes_on():
    chat = Chat("--model", model, "-n", "4", "--min-tokens", "4", "--context", "64")
    for line, error in [
        ("/nonsense", "error: there is no command /nonsense; /help lists them"),
        ("/set warmth 1", "error: there is no setting warmth; /set lists them"),
        ("/set top-p 2", "error: top-p: must be a number from 0 to 1"),
        ("/load none.json", "error: cannot read none.json"),
        ("/load", "error: say from which file: /load FILE"),
        ("/save /none/a.json", "error: cannot write /none/a.json"),
        ("/tools ~/a.json", "is no list of tools: write [{"),
        ("/regenerate", "error: there is nothing to answer again"),
        ("/undo", "error: there is nothing to undo"),
        ("/edit", "error: there is no message to edit"),
        ("/copy", "error: there is no answer to copy"),
        ("word " * 100, "in this model's context of 64 tokens. Shorten it or raise --context."),
    ]:
        said = chat.say(line, error)
        assert said.count("error:") == 1, said
    for _ in range(8):
        said = chat.say("The whinchat", "4 tokens")
    assert "the context is full: the first" in said  # the oldest exchanges are left out, the chat goes on
    chat.leave()


def tools_are_called_and_their_results_used():
    weather = {"type": "function", "function": {
        "name": "get_weather", "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    with open(f"{state}/tools.json", "w") as file:
        json.dump([weather], file)
    chat = Chat("--temperature", "0")  # the built-in model
    chat.say("/tools", "no tools")
    chat.say("/tools ~/tools.json")
    chat.say("/tools", "get_weather")
    chat.say("What is the weather in Oslo?", '→ get_weather(city: "', "what does get_weather give? (an empty line skips)")
    chat.say('{"temperature": 7, "sky": "rain"}', "tok/s")
    chat.say("/save ~/called.json", "saved 4 messages")
    with open(f"{state}/called.json") as file:
        saved = json.load(file)
    call = saved["messages"][1]["tool_calls"][0]
    assert call["function"]["name"] == "get_weather" and "city" in json.loads(call["function"]["arguments"]), call
    assert saved["messages"][2] == {"role": "tool", "name": "get_weather", "content": '{"temperature": 7, "sky": "rain"}',
                                    "tool_call_id": call["id"]}, saved
    assert saved["tools"] == [weather]
    chat.say("/undo")
    chat.say("What is the weather in Oslo?", "what does get_weather give?")
    assert "tok/s" not in chat.say("")  # skipped: the next message is asked for
    chat.say("/tools off")
    chat.say("/tools", "no tools")
    chat.leave()


def reasoning_is_dim_and_kept_apart():
    thinks = f"{state}/thinks"
    shutil.copytree(model, thinks)
    with open(f"{thinks}/chat_template.jinja", "a") as file:
        file.write("<think>")  # the answer begins with reasoning, and this model never ends it
    chat = Chat("--model", thinks, "-n", "8", "--temperature", "0")
    said = chat.say("The whinchat", "8 tokens")
    assert re.search(r"\x1b\[2m[^(\x1b]+\x1b\[0m", said), said
    chat.say("/save ~/thought.json")
    answer = messages("thought.json")[1]
    assert answer["content"] == "" and len(answer["reasoning_content"]) > 3, answer
    chat.leave()
    piped = subprocess.run([program, "chat", "--model", thinks, "-n", "8", "The whinchat"], capture_output=True, check=True)
    assert piped.stdout == b"\n" and piped.stderr == b"", piped  # reasoning is for people


def answers_may_go_to_a_file():
    with open(f"{state}/answers.txt", "w+") as file:
        chat = Chat("--model", model, "-n", "6", "--temperature", "0", out=file)
        chat.say("The whinchat", "6 tokens")  # beside the answer all is at the terminal
        chat.say("/save ~/filed.json")
        chat.leave()
        file.seek(0)
        assert file.read() == messages("filed.json")[1]["content"] + "\n"


def no_color_means_none():
    chat = Chat("--model", model, "-n", "4", "--min-tokens", "4", env={"NO_COLOR": "1"})
    chat.say("The whinchat", "4 tokens")
    chat.say("/set")
    assert not re.search(rb"\x1b\[[0-9;]*m", chat.screen), chat.screen
    chat.leave()


for test in (stops_and_remembers, commands_do_what_help_says, what_is_typed_ahead_is_not_lost, settings_are_listed_and_set,
             mistakes_are_said_and_the_chat_goes_on, tools_are_called_and_their_results_used,
             reasoning_is_dim_and_kept_apart, answers_may_go_to_a_file, no_color_means_none):
    test()
    print(test.__name__, "ok")
