# SPDX-License-Identifier: Apache-2.0
"""Child processes: started here, read by line, ended by pid and by nobody else."""

import os
import re
import signal
import subprocess
import tempfile
import time


class Failed(AssertionError):
    """A program did not do what the harness needs of it."""


class Process:
    """A child whose stdout and stderr go to a file, `output` or one without a name, and may be
    read and waited for by line. It lives on when the harness ends without stop()."""

    def __init__(self, command, name=None, env=None, cwd=None, output=None):
        self.command = [str(part) for part in command]
        self.name = name or self.command[0]
        self._output = open(output, "w+b") if output else tempfile.TemporaryFile()
        # A session of its own: Ctrl-C reaches the harness, which ends its children in order.
        self.popen = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output,
            env=env, cwd=cwd, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    @property
    def lines(self):
        """Whole lines so far; of a child that has ended, everything."""
        ended = not self.running()
        data = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)
        lines = data.decode("utf-8", "replace").split("\n")
        rest = lines.pop()
        return lines + ([rest] if rest and ended else [])

    def text(self):
        return "\n".join(self.lines)

    def mark(self):
        """Where the output stands now: wait_line(since=mark) looks only at what follows."""
        return len(self.lines)

    def wait_line(self, pattern, timeout=10.0, since=0):
        """The first line from `since` on that `pattern` is found in."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            running = self.running()
            for line in self.lines[since:]:
                if wanted.search(line):
                    return line
            if not running or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        state = "is running" if running else f"ended with {self.popen.returncode}"
        raise Failed(f"{self.name} {state} and did not say /{pattern}/ within {timeout:g} s:\n"
                     + "\n".join(self.lines[-40:]))

    def wait(self, timeout):
        """The exit status."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {timeout:g} s:\n"
                         + "\n".join(self.lines[-40:])) from None

    def stop(self, timeout=5.0, number=signal.SIGTERM):
        """Asks it to end, insists after `timeout`; the exit status."""
        if self.running():
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


def run(command, timeout=30, check=True, stdin=None):
    """Runs a command to its end; stdout and stderr are text, kept apart."""
    command = [str(part) for part in command]
    done = subprocess.run(command, input=stdin, timeout=timeout, capture_output=True,
                          text=not isinstance(stdin, bytes),
                          stdin=subprocess.DEVNULL if stdin is None else None)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n"
                     f"{done.stdout}\n{done.stderr}")
    return done
