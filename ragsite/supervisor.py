"""Runs a set of processes: starts, logs, restarts and stops them, and leaves none behind however it ends itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ragsite import guard, processes

LOG_BYTES = 10 * 1024 * 1024  # a log that is larger when its process is first started becomes NAME.log.1
FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
GUARD_SECONDS = 10.0  # what our processes get to stop in when we are killed
STEADY_SECONDS = 60.0  # a process that ran this long is restarted as if it had never failed
TELL_SECONDS = 2.0  # how often it is told what a stop waits for


class SupervisorError(RuntimeError):
    """A process did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Service:
    """A process to be kept running. `prepare` is called before each start, and may raise OSError or RuntimeError.

    `underlies`: the others need it to end well, and are stopped before it. `grace`: seconds that it gets to stop in.
    """

    name: str
    argv: list[str]
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    underlies: bool = False
    user: str | None = None
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    prepare: Callable[[], None] = field(default=lambda: None)


class Supervisor:
    """Keeps services running from `start` until `stop`, as long as `tick`, `wait` or `run` is called."""

    def __init__(self, *, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._children: list[_Child] = []
        self._guard = _Guard()
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, service: Service) -> None:
        """Start `service`; its output goes to `logs`/NAME.log."""
        log = self.log(service.name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        child = _Child(service, log=log, guard=self._guard)
        self._children.append(child)
        child.launch()

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def tick(self) -> None:
        """Restart what is dead and due."""
        self._guard.ensure(self._children)
        for child in self._children:
            news = child.tick()
            if news:
                self._say(news)

    def wait(self, ready: Callable[[], bool], *, name: str, seconds: float) -> None:
        """Wait for `ready`, which is `name`'s to bring about.

        Raises SupervisorError after `seconds`, or as soon as any service dies: at a start that is no accident.
        """

        def dead() -> _Child | None:
            return next((child for child in self._children if not child.is_alive()), None)

        if not processes.wait_until(ready, seconds=seconds, alive=lambda: not dead()):
            culprit = dead()
            why = "ended while starting" if culprit else f"was not ready within {seconds:.0f} s"
            log = culprit.log if culprit else self.log(name)
            who = culprit.service.name if culprit else name
            raise SupervisorError(f"{who} {why}. The end of {log}:\n{processes.tail(log)}")

    def run(self) -> None:
        """Keep the services running until an exception, such as KeyboardInterrupt, ends this."""
        while True:
            self.tick()
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop all services: together, but those that underlie the others after them."""
        for underlying in (False, True):
            self._stop([child for child in self._children if child.service.underlies is underlying])
        self._children.clear()
        self._guard.dismiss()

    def _stop(self, children: "list[_Child]") -> None:
        """One deadline for all of them, the most patient one's; who is left then is killed."""
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + max((child.service.grace for child in children), default=0.0)
        while (left := _alive(children)) and (remaining := deadline - time.monotonic()) > 0:
            self._say(f"Waiting for {left}")
            processes.wait_until(lambda: not _alive(children), seconds=min(TELL_SECONDS, remaining))
        if left:
            self._say(f"Killing {left}")
        for child in children:
            child.bury()


def _alive(children: "list[_Child]") -> str:
    """The names of those that have not ended; empty once all have."""
    return ", ".join(child.service.name for child in children if child.is_alive())


class _Guard:
    """The process that ends our children's groups when we are killed. Killed itself, it is started again."""

    def __init__(self) -> None:
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-I", "-S", guard.__file__, str(GUARD_SECONDS)]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)

    def note(self, line: str) -> None:
        """Tell it a line. One that is dead is told everything anew by `ensure`."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()

    def ensure(self, children: "list[_Child]") -> None:
        if self._process.poll() is not None:
            self._process = self._start()
            for child in children:
                child.register()

    def dismiss(self) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()


class _Child:
    """One service and its process, which is None between its death and its next start."""

    def __init__(self, service: Service, *, log: Path, guard: _Guard) -> None:
        self.service = service
        self.log = log
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._failures = 0

    def launch(self) -> None:
        self.service.prepare()
        self._started = time.monotonic()
        with self.log.open("ab") as output:
            self._process = processes.spawn(
                self.service.argv,
                output=output,
                death_signal=self.service.stop_signal,
                user=self.service.user,
                cwd=self.service.cwd,
                env=self.service.env,
            )
        self.register()

    def register(self) -> None:
        if self._process:
            self._guard.note(f"+{self._process.pid} {int(self.service.stop_signal)}")

    def is_alive(self) -> bool:
        return self._process is not None and not processes.has_ended(self._process)

    def tick(self) -> str | None:
        """Notice a death, or start again what is due; return what is worth telling."""
        if self._process and processes.has_ended(self._process):
            code = self.bury()
            return (
                f"{self.service.name} ended (exit {code}); again in {self._postpone():.1f} s, see {self.log}"
            )
        if self._process is None and time.monotonic() >= self._due:
            try:
                self.launch()
            except (OSError, RuntimeError) as error:
                return f"{self.service.name} cannot start: {error}; again in {self._postpone():.1f} s"
        return None

    def ask_to_stop(self) -> None:
        if self._process:
            os.kill(self._process.pid, self.service.stop_signal)

    def bury(self) -> int | None:
        """Kill what is left of the process and its group, tell the guard, and return the exit code."""
        if self._process is None:
            return None
        code = processes.reap(self._process)
        self._guard.note(f"-{self._process.pid}")
        self._process = None
        return code

    def _postpone(self) -> float:
        """Set the time of the next start: later with every failure in a row. Returns the seconds until then."""
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._failures = 0
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._due = time.monotonic() + delay
        return delay
