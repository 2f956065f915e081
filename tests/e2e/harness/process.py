# SPDX-License-Identifier: Apache-2.0
"""Child processes: started here, read by line, ended by pid and by nobody else."""

import re
import signal
import subprocess
import threading
import time


class Failed(AssertionError):
    """A program did not do what the harness needs of it."""


class Process:
    """A child whose stdout and stderr are read by line as they come."""

    def __init__(self, command, name=None, env=None, cwd=None, stdin=subprocess.DEVNULL):
        self.command = [str(part) for part in command]
        self.name = name or self.command[0]
        self.lines = []
        self._arrived = threading.Condition()
        # A group of its own: Ctrl-C reaches the harness, which ends its children in order.
        self.popen = subprocess.Popen(
            self.command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=env, cwd=cwd, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def text(self):
        with self._arrived:
            return "\n".join(self.lines)

    def mark(self):
        """Where the output stands now: wait_line(since=mark) looks only at what follows."""
        with self._arrived:
            return len(self.lines)

    def _read(self):
        for raw in self.popen.stdout:
            with self._arrived:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
                self._arrived.notify_all()
        with self._arrived:
            self._arrived.notify_all()

    def wait_line(self, pattern, timeout=10.0, since=0):
        """The first line from `since` on that `pattern` is found in."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                for line in self.lines[since:]:
                    if wanted.search(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or (not self.running() and not self._reader.is_alive()):
                    break
                self._arrived.wait(min(left, 0.2))
        state = "is running" if self.running() else f"ended with {self.popen.returncode}"
        raise Failed(f"{self.name} {state} and did not say /{pattern}/ within {timeout:g} s:\n"
                     + "\n".join(self.lines[-40:]))

    def wait(self, timeout):
        """The exit status; everything that was printed has been read by then."""
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {timeout:g} s:\n"
                         + "\n".join(self.lines[-40:])) from None
        self._reader.join(5)
        return self.popen.returncode

    def stop(self, timeout=5.0, number=signal.SIGTERM):
        """Asks it to end, insists after `timeout`; the exit status."""
        if self.running():
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._reader.join(5)
        self.popen.stdout.close()
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
