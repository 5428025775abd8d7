# `whinchat` alone at a terminal: welcome_terminal.py PROGRAM. Chooses as a person would; exits with an error at the first
# thing that is not as it should be.
import os
import pty
import subprocess
import sys

QUESTION = b"q to leave: "


def session(*answers):
    """What stands on the screen when each question has got its answer and the program has ended."""
    master, slave = pty.openpty()
    child = subprocess.Popen([sys.argv[1]], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    screen = b""
    for number, answer in enumerate(answers, 1):
        while screen.count(QUESTION) < number:
            screen += os.read(master, 65536)
        os.write(master, answer.encode())
    try:
        while more := os.read(master, 65536):
            screen += more
    except OSError:
        pass  # the program has ended
    assert child.wait(60) == 0, (child.returncode, screen)
    return screen


assert b" 1 " in session("q\r")
assert session("\x04").count(QUESTION) == 1  # Ctrl-D
last = session("what?\r", "run\r").split(QUESTION)[-1]
assert b"whinchat-demo" in last, last
print("ok")
