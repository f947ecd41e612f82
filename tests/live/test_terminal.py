# SPDX-License-Identifier: Apache-2.0
"""`fdwarden run` on a terminal: job control, ^C, ^Z, the foreground group, an interactive shell."""

import os
import pty
import re
import select
import signal
import sys
import tempfile
import termios
import time
import unittest

FDWARDEN = os.environ["FDWARDEN"]
TENANT = os.path.join(os.environ["PROGRAMS"], "tenant")
PATIENCE = 30
STOPS = 20


class Terminal:
    """A program on a pseudo terminal of its own, in a session of its own."""

    def __init__(self, *argv):
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="prompt> ", TERM="dumb", HISTFILE="/dev/null")
            os.environ.pop("PROMPT_COMMAND", None)
            os.execvp(argv[0], argv)

    def read(self):
        ready, _, _ = select.select([self.master], [], [], 0.1)
        if ready:
            try:
                self.seen += os.read(self.master, 4096)
            except OSError:
                pass  # the last one on the terminal has left

    def wait_for(self, pattern):
        """Reads until the pattern comes, takes what was read so far away, returns the match."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            match = re.search(pattern.encode(), self.seen)
            if match:
                self.seen = self.seen[match.end() :]
                return match
            self.read()
        raise AssertionError(f"no {pattern!r} in {self.seen!r}")

    def send(self, text):
        os.write(self.master, text.encode())

    def foreground(self):
        return os.tcgetpgrp(self.master)

    def status(self):
        """The exit status, as a shell would say it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                if os.WIFSIGNALED(status):
                    return 128 + os.WTERMSIG(status)
                return os.WEXITSTATUS(status)
            self.read()
        raise AssertionError(f"did not end; {self.seen!r}")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)


def job_control(stops):
    """The least that a shell does for a job that stops and goes on. A real one would add races of
    its own: bash loses sight of what is typed while it takes the terminal back."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(FDWARDEN, [FDWARDEN, "run", "--", "cat"])
    for _ in range(stops):
        _, status = os.waitpid(job, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return 1
        os.tcsetpgrp(0, os.getpgrp())
        os.write(1, b"stopped\n")
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)
    _, status = os.waitpid(job, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 2


class TerminalTest(unittest.TestCase):
    def start(self, *argv):
        terminal = Terminal(*argv)
        self.addCleanup(terminal.close)
        return terminal

    def shell(self):
        terminal = self.start("bash", "--norc", "--noprofile", "-i")
        terminal.wait_for("prompt> ")
        return terminal

    def test_interrupt_ends_the_command(self):
        terminal = self.start(FDWARDEN, "run", "--", "sh", "-c", "echo re''ady; exec sleep 60")
        terminal.wait_for("ready")
        terminal.send("\x03")
        self.assertEqual(terminal.status(), 130)

    def test_interrupt_reaches_a_handler_once(self):
        script = "trap 'n=$((n+1)); echo got=$n' INT; echo re''ady; while :; do sleep 0.05; done"
        terminal = self.start(FDWARDEN, "run", "--", "bash", "-c", script)
        terminal.wait_for("ready")
        terminal.send("\x03")
        terminal.wait_for("got=1")
        time.sleep(0.3)
        terminal.send("\x03")
        terminal.wait_for("got=2")
        time.sleep(0.3)
        terminal.read()
        self.assertNotIn(b"got=3", terminal.seen)

    def test_quit_ends_the_command(self):
        script = "ulimit -c 0; echo re''ady; exec sleep 60"
        terminal = self.start(FDWARDEN, "run", "--", "sh", "-c", script)
        terminal.wait_for("ready")
        terminal.send("\x1c")
        self.assertEqual(terminal.status(), 128 + signal.SIGQUIT)

    def test_stop_and_go_on(self):
        terminal = self.start(sys.executable, __file__, "job-control", str(STOPS))
        terminal.send("one\n")
        terminal.wait_for("one\r\none\r\n")
        for _ in range(STOPS):
            terminal.send("\x1a")
            terminal.wait_for("stopped\r\n")
            terminal.send("two\n")
            terminal.wait_for("two\r\ntwo\r\n")
        terminal.send("\x04")
        self.assertEqual(terminal.status(), 0)

    def test_background(self):
        terminal = self.shell()
        terminal.send(f"{FDWARDEN} run -- sh -c 'sleep 0.3; {TENANT} calls 3; exit 5' &\n")
        terminal.wait_for("prompt> ")
        terminal.wait_for("ok 3")
        terminal.send('wait $!; echo "status=$?"\n')
        terminal.wait_for("status=5")

    def test_background_reader_is_stopped(self):
        terminal = self.shell()
        terminal.send(f"{FDWARDEN} run -- cat &\n")
        terminal.wait_for("prompt> ")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            terminal.send("jobs\n")
            text = terminal.wait_for("(?s)jobs\r\n(.*?)prompt> ")[1]
            if b"Stopped" in text:
                break
            time.sleep(0.1)
        self.assertIn(b"Stopped", text)
        terminal.send("fg\n")
        terminal.wait_for("fdwarden run[^\n]*\n")
        terminal.send("hello\n")
        terminal.wait_for("hello\r\nhello\r\n")
        terminal.send("\x04")
        terminal.wait_for("prompt> ")

    def test_foreground_group_is_given_back(self):
        terminal = self.shell()
        terminal.send(f"{FDWARDEN} run -- true\n")
        terminal.wait_for("prompt> ")
        self.assertEqual(terminal.foreground(), terminal.pid)
        terminal.send("echo st''ill=$?\n")
        terminal.wait_for("still=0")

    def test_interactive_shell_inside(self):
        terminal = self.start(FDWARDEN, "run", "--", "bash", "--norc", "--noprofile", "-i")
        terminal.wait_for("prompt> ")
        self.assertNotIn(b"no job control", terminal.seen)
        terminal.send("sleep 60\n")
        time.sleep(0.3)
        terminal.send("\x1a")
        terminal.wait_for("Stopped")
        terminal.wait_for("prompt> ")
        terminal.send("bg; jobs; kill %1; wait; echo do''ne\n")
        terminal.wait_for("done")
        terminal.send("sleep 60\n")
        time.sleep(0.3)
        terminal.send("\x03")
        terminal.wait_for("prompt> ")
        terminal.send(f"{TENANT} calls 4\n")
        terminal.wait_for("ok 4")
        terminal.send("exit 7\n")
        self.assertEqual(terminal.status(), 7)

    def test_interactive_shell_in_a_shell(self):
        terminal = self.shell()
        terminal.send(f"PS1='inner> ' {FDWARDEN} run -- bash --norc --noprofile -i\n")
        terminal.wait_for("inner> $")
        terminal.send("sleep 60\n")
        time.sleep(0.3)
        terminal.send("\x1a")
        terminal.wait_for("Stopped")
        terminal.wait_for("inner> $")
        terminal.send("fg\n")
        terminal.wait_for("sleep 60\r\n")
        time.sleep(0.3)
        terminal.send("\x03")
        terminal.wait_for("inner> $")
        terminal.send("exit 4\n")
        terminal.wait_for("prompt> ")
        terminal.send("echo in''ner=$?\n")
        terminal.wait_for("inner=")
        self.assertEqual(terminal.foreground(), terminal.pid)

    def test_terminal_settings_stay(self):
        terminal = self.shell()
        terminal.send("stty -g; stty rows 33 columns 77\n")
        terminal.wait_for("prompt> ")
        before = termios.tcgetattr(terminal.master)
        terminal.send(f"{FDWARDEN} run -- stty size\n")
        terminal.wait_for("33 77")
        terminal.wait_for("prompt> ")
        self.assertEqual(termios.tcgetattr(terminal.master)[:4], before[:4])

    def test_window_size_signal_reaches_the_command(self):
        script = "trap 'stty size' WINCH; echo re''ady; while :; do sleep 0.05; done"
        terminal = self.start(FDWARDEN, "run", "--", "bash", "-c", script)
        terminal.wait_for("ready")
        termios.tcsetwinsize(terminal.master, (41, 101))
        terminal.wait_for("41 101")

    def test_hang_up_ends_the_command(self):
        with tempfile.TemporaryDirectory() as directory:
            mark = os.path.join(directory, "hung-up")
            script = f"trap 'echo yes > {mark}; exit 1' HUP; echo re''ady; while :; do sleep 0.05; done"
            terminal = self.start(FDWARDEN, "run", "--", "bash", "-c", script)
            terminal.wait_for("ready")
            os.close(terminal.master)
            terminal.master = os.open("/dev/null", os.O_RDONLY)
            end = time.monotonic() + PATIENCE
            while not os.path.exists(mark) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertTrue(os.path.exists(mark))


if __name__ == "__main__":
    if sys.argv[1:2] == ["job-control"]:
        sys.exit(job_control(int(sys.argv[2])))
    unittest.main(argv=[sys.argv[0], "-v"])
