"""Runs the whole site on this machine in the foreground, and shows how to use it."""

import http.client
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from accounts.models import Tenant
from ragsite import demo, embedded, instance, processes
from ragsite.supervisor import Service, Supervisor, SupervisorError

READY_SECONDS = 60.0
CORPUS_SECONDS = 180.0
_PREPARE_MODEL = (
    "import sys, pathlib; from ragsite.lib.inference import local_model;"
    " local_model.prepare(pathlib.Path(sys.argv[1]), precision=sys.argv[2])"
)


class Command(BaseCommand):
    help = "Run everything on this machine: servers, web, worker, scheduler; with a demo tenant to try it on."
    requires_system_checks = []  # some ask the database, which this is about to start

    def handle(self, **_: Any) -> None:
        os.umask(0o077)  # logs, uploads and secrets are nobody else's
        began = time.monotonic()
        try:
            with instance.hold(settings.DATA_DIR) as tell:
                self._run(began, tell)
        except (instance.AlreadyRunningError, embedded.EmbeddedError, SupervisorError) as error:
            raise CommandError(str(error)) from error

    def _run(self, began: float, tell: Callable[[str], None]) -> None:
        """Bring the site up, and keep it up until a signal. What it says is for `make down` as well."""

        def say(line: str) -> None:
            for listener in (self._say, tell):
                with suppress(OSError):  # a closed terminal or a full disk keeps nothing from being stopped
                    listener(line)

        supervisor = Supervisor(logs=settings.DATA_DIR / "logs", say=say)
        try:
            _interrupt_on_signals()
            facts = self._start(supervisor)
            self._show(facts, seconds=time.monotonic() - began)
            supervisor.run()
        except KeyboardInterrupt:
            say("Stopping")
        finally:
            for stopper in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(stopper, signal.SIG_IGN)  # one is enough: stopping is under way and bounded
            supervisor.stop()
        self._say("Stopped")

    def _start(self, supervisor: Supervisor) -> dict[str, str]:
        for server in _embedded_servers():
            with self._phase(f"Starting {server.name}"):
                supervisor.start(_service_of(server))
                supervisor.wait(server.is_ready, name=server.name, seconds=READY_SECONDS)
                server.provision()
        with self._phase("Preparing the tables"):
            call_command("migrate", verbosity=0, interactive=False)
        services = _site_services()
        supervisor.start(services["web"])  # first, and alone: it is what a person waits for
        if settings.EMBEDDING_PROVIDER == "local" and not _has_model():
            with self._phase("Preparing the local model"):
                _prepare_model(supervisor.log("model"))
        with self._phase("Making accounts and a key"):
            tenant, facts = _accounts()
        with self._phase("Loading the sample corpus"):
            demo.queue_corpus(tenant)
        with self._phase("Waiting for the web server"):
            supervisor.wait(_is_site_ready, name="web", seconds=READY_SECONDS)
        for name in ("worker", "large", "critical", "beat", "record"):
            supervisor.start(services[name])
        with self._phase("Indexing the sample corpus"):
            self._await_corpus(supervisor, tenant)
        _forget_database()
        return facts

    def _await_corpus(self, supervisor: Supervisor, tenant: Tenant) -> None:
        """Wait until the samples are searchable; a site that is merely slow at it is still up."""
        deadline = time.monotonic() + CORPUS_SECONDS
        done, total = demo.corpus_progress(tenant)
        while done < total:
            if time.monotonic() > deadline:
                self._say(f"{done} of {total} ready, the rest later; see {supervisor.log('worker')}")
                return
            if sys.stdout.isatty():
                self.stdout.write(f"\r  Indexing the sample corpus {f'{done}/{total}':>9}", ending="")
                self.stdout.flush()
            supervisor.tick()
            time.sleep(0.1)
            done, total = demo.corpus_progress(tenant)

    @contextmanager
    def _phase(self, label: str) -> Iterator[None]:
        """Show `label`, and the time that the block took."""
        began = time.monotonic()
        self.stdout.write(f"  {label:<36}", ending="")
        self.stdout.flush()
        try:
            yield
        except BaseException:
            self._say("")
            raise
        if sys.stdout.isatty():
            self.stdout.write(f"\r  {label:<36}", ending="")
        self._say(f"{time.monotonic() - began:6.1f} s")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _show(self, facts: dict[str, str], *, seconds: float) -> None:
        self._say(f"\nragsite is up at {facts['url']} after {seconds:.1f} s\n")
        for who, name in (("operator", "admin"), ("business user", "business"), ("user", "user")):
            self._say(f"  {who:<15} {facts[f'{name}_username']} / {facts[f'{name}_password']}")
        self._say(f"  {'tenant':<15} {facts['tenant']}\n  {'API key':<15} {facts['api_key']}\n")
        question = json.dumps({"question": "How do I rotate an API key?"})
        self._say(
            f"  curl -s {facts['url']}/api/query -H 'X-API-Key: {facts['api_key']}'"
            f" -H 'Content-Type: application/json' -d {shlex.quote(question)}\n"
        )
        self._say(
            f"  Admin: {facts['url']}/admin/   Logs: {settings.DATA_DIR / 'logs'}   Stop: Ctrl-C or make down"
        )


def _interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this as Ctrl-C does, SIGINT even where a shell started us with it ignored."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, interrupt)
    if "MAKELEVEL" in os.environ:  # make passes SIGTERM on, but cannot when it is killed
        processes.end_with_parent(signal.SIGTERM)


def _embedded_servers() -> list[embedded.Server]:
    """Return the servers that settings point at and that are therefore ours to run."""
    postgres = embedded.Postgres(settings.DATA_DIR)
    redis = embedded.Redis(settings.DATA_DIR, appendfsync=settings.REDIS_APPENDFSYNC)
    sockets = str(embedded.socket_directory(settings.DATA_DIR) / "postgres")
    servers: list[embedded.Server] = [postgres] if settings.DATABASES["default"]["HOST"] == sockets else []
    return [*servers, redis] if embedded.redis_url(settings.DATA_DIR) == settings.REDIS_URL else servers


def _service_of(server: embedded.Server) -> Service:
    server.prepare()  # makes the directory that it is started in
    return Service(
        name=server.name,
        argv=server.argv,
        stop_signal=server.stop_signal,
        grace=server.grace,
        user=server.user,
        cwd=server.directory,
        prepare=server.prepare,
        underlies=True,
    )


def _site_services() -> dict[str, Service]:
    celery = [sys.executable, "-m", "celery", "-A", "ragsite"]
    schedule = settings.DATA_DIR / "beat" / "schedule"
    schedule.parent.mkdir(parents=True, exist_ok=True)
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "docker/gunicorn.conf.py")]
    commands = {
        "record": [sys.executable, "manage.py", "record"],
        "worker": [*celery, *_node("default", processes=min((os.cpu_count() or 1) - 1, 8))],
        "large": [*celery, *_node("low,default", name="large")],
        "critical": [*celery, *_node("critical", processes=4), "--pool", "threads"],
        "beat": [*celery, "beat", "--schedule", str(schedule)],
        "web": [*gunicorn, "ragsite.wsgi"],
    }
    return {name: Service(name=name, argv=argv, cwd=settings.BASE_DIR) for name, argv in commands.items()}


def _node(queues: str, *, name: str = "", processes: int = 1) -> list[str]:
    """The arguments of a worker. Small files have one that large ones cannot hold up, and chores one of their own,
    which loads no model; what processes large files helps with small ones in between."""
    # Told apart by their names, and no more: they have nothing to tell each other.
    quiet = ["--without-gossip", "--without-mingle"]
    return ["worker", "-Q", queues, "-n", f"{name or queues}@%h", "-c", str(max(1, processes)), *quiet]


def _forget_database() -> None:
    """Close the connections and their pool: its threads have no business in a process that only starts others."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if isinstance(connection, DatabaseWrapper):
            connection.close_pool()


def _has_model() -> bool:
    """Tell whether a model was prepared before; one of an older version is replaced when it is first needed."""
    models: Path = settings.DATA_DIR / "models"
    return any(models.glob(f"*-{settings.EMBEDDING_PRECISION}-*.onnx"))


def _prepare_model(log: Path) -> None:
    """Prepare the model in a process of its own: its libraries start threads and take memory for good."""
    argv = [
        sys.executable,
        "-c",
        _PREPARE_MODEL,
        str(settings.DATA_DIR / "models"),
        settings.EMBEDDING_PRECISION,
    ]
    with log.open("wb") as output:
        process = processes.spawn(argv, output=output, cwd=settings.BASE_DIR)
    try:
        code = process.wait()
    finally:
        processes.stop(process, stop_signal=signal.SIGTERM, grace=1)
    if code:
        raise CommandError(f"the local model cannot be prepared:\n{processes.tail(log)}")


def _accounts() -> tuple[Tenant, dict[str, str]]:
    """Make the demo accounts and the key, write what a client needs to know into up.json and return it."""
    path = settings.DATA_DIR / "up.json"
    known: dict[str, str] = {}
    with suppress(FileNotFoundError, ValueError):
        known = json.loads(path.read_text())
    made = embedded.secrets(settings.DATA_DIR)
    names = (demo.ADMIN, demo.BUSINESS, demo.USER)
    tenant = demo.make_accounts({name: made[f"{name}_password"] for name in names})
    facts = {"url": _url()}
    for name in names:
        facts |= {f"{name}_username": name, f"{name}_password": made[f"{name}_password"]}
    facts |= {"tenant": tenant.slug, "api_key": demo.make_key(tenant, known=known.get("api_key"))}
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps(facts, indent=1))  # 0600 by the umask
    draft.replace(path)
    return tenant, facts


def _address() -> tuple[str, int]:
    """Return where this machine reaches the site: a wildcard address is one to listen on, not to call."""
    bind = os.environ.get("BIND", "127.0.0.1").strip("[]")
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104  compared
    return reached, int(os.environ.get("PORT", "8000"))


def _url() -> str:
    host, port = _address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_site_ready() -> bool:
    connection = http.client.HTTPConnection(*_address(), timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
