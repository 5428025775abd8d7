# `whinchat chat` at a terminal: chat_terminal.py PROGRAM MODEL STATE_FOLDER. Types as a person would, reads the screen,
# exits with an error at the first thing that is not as it should be.
import os
import pty
import select
import subprocess
import sys

program, model, state = sys.argv[1:]
master, slave = pty.openpty()
env = {**os.environ, "XDG_STATE_HOME": state, "TERM": "xterm", "HF_HUB_OFFLINE": "1"}
command = [program, "chat", "--model", model, "--temperature", "1", "--ignore-eos",
           "-n", "100000", "--context", "100000"]
child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
                         preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
os.close(slave)
screen = b""


def until(text, after=0):
    """Reads until `text` stands on the screen behind `after`; returns the end of it."""
    global screen
    while text not in screen[after:]:
        assert select.select([master], [], [], 60)[0], f"no {text} in {screen[after:]}"
        screen += os.read(master, 65536)
    return screen.index(text, after) + len(text)


def type_(text):
    os.write(master, text.encode())


at = until(b"> ", until(b"/help"))
type_("Tell me a story\r")
at = until(b"story", at)
while len(screen) < at + 200:  # the answer comes
    assert select.select([master], [], [], 60)[0], screen
    screen += os.read(master, 65536)
type_("\x03")  # Ctrl-C stops the answer and not the program
at = until(b"> ", len(screen))
type_("/help\r")
at = until(b"> ", until(b"/retry", at))
type_("\x03")  # with no answer to stop it does nothing
at = until(b"> ", until(b"/quit", at))
type_("\x1b[A\x1b[A")  # up, up: the history
at = until(b"Tell me a story", at)
type_("\x15/quit\r")
try:
    while os.read(master, 65536):
        pass
except OSError:
    pass
assert child.wait(60) == 0, child.returncode
assert "Tell me a story" in open(f"{state}/whinchat/chat_history").read()
print("ok")
