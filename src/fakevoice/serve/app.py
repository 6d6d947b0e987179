"""HTTP application and server: the answers of `predict` and `stream` for a browser and for programs.

Command: `./run.sh serve`.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Awaitable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import threadpoolctl
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fakevoice.audio.windows import MIN_HOP_S
from fakevoice.core.config import Config, config_hash
from fakevoice.core.errors import ConfigError, FakevoiceError
from fakevoice.core.paths import paths
from fakevoice.data.synthetic import is_synthetic
from fakevoice.inference.predictor import Predictor
from fakevoice.inference.recordings import Answers
from fakevoice.serve.access import Address, Guarded
from fakevoice.serve.connections import Connection, Deadlines
from fakevoice.serve.limits import Gate, Limits
from fakevoice.serve.metrics import Metered, ServiceMetrics
from fakevoice.serve.schema import ABOUT, CHECKS, REFUSED, About, Health, Predicted, parse_number, refusals, upload
from fakevoice.serve.scoring import InProcessPredictor, as_json, explained, in_thread, score_uploads
from fakevoice.serve.uploads import receive
from fakevoice.serve.websocket import Streams

PAGE = Path(__file__).parent / "page"
SHUTDOWN_S = 5  # for requests in progress when the server is told to stop
POLL_S = 0.5  # between two checks whether the client is still connected
MAX_HEAD_BYTES = 2**17  # the server closes connections beyond it; `access` refuses less with 431
Result = TypeVar("Result")


def create_app(predictor: Predictor, address: Address | None = None, limits: Limits | None = None) -> FastAPI:
    """The page, its API and its metrics.

    Args:
        address: where it listens; 127.0.0.1:8000 if None.
    """
    predictor, limits = InProcessPredictor(**vars(predictor)), limits or Limits()
    meters = ServiceMetrics()
    checks = refusals(*CHECKS)
    app = FastAPI(title="fakevoice", description=ABOUT, docs_url=None, redoc_url=None, responses=checks)
    app.add_middleware(Guarded, address=address or Address())
    app.add_middleware(Metered, meters=meters)
    app.add_middleware(HeadAsGet)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(FakevoiceError, _problem)
    _add_facts(app, predictor, limits, meters)
    _add_scoring(app, predictor, limits, meters)
    for file in sorted(PAGE.iterdir()):  # a closed list: no path of a request ever reaches the disk
        app.add_route("/" if file.name == "index.html" else f"/{file.name}", _sender(file), include_in_schema=False)
    return app


class HeadAsGet:
    """ASGI middleware: routes answer HEAD as GET, and the server leaves out the body."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app(scope | {"method": "GET"} if is_head else scope, receive, send)


def _add_facts(app: FastAPI, predictor: Predictor, limits: Limits, meters: ServiceMetrics) -> None:
    config = predictor.config
    run = f"{config.competition}/{config.experiment}"

    @app.get("/healthz", response_model=Health)
    async def healthz():
        return Health(run=run, version=predictor.version, config=config_hash(config))

    @app.get("/metrics", response_class=PlainTextResponse, responses=refusals(401))
    async def metrics():
        return PlainTextResponse(meters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/api/about", response_model=About, responses=refusals(401))
    async def about():
        facts = {key: getattr(limits, key) for key in About.model_fields if hasattr(limits, key)}
        facts |= {key: getattr(config, key) for key in ("outputs", "task", "clip_duration_s", "sample_rate_hz")}
        return About(run=run, is_synthetic=is_synthetic(config), **facts)


def _add_scoring(app: FastAPI, predictor: Predictor, limits: Limits, meters: ServiceMetrics) -> None:
    config, gate = predictor.config, Gate(limits)
    streams = Streams(predictor, limits, meters)
    fixed = {
        "run": f"{config.competition}/{config.experiment}",
        "version": predictor.version,
        "outputs": config.outputs,
        "columns": explained(config),
    }

    form = upload(limits.max_files, MIN_HOP_S, config.clip_duration_s)

    @app.post("/api/predict", response_model=Predicted, responses=refusals(*REFUSED), openapi_extra=form)
    async def predict(request: Request):
        """Score one or several recordings of any format that `predict` reads."""
        with gate.place(), tempfile.TemporaryDirectory(prefix="fakevoice-") as folder:
            uploads, fields = await receive(request, Path(folder), limits)
            async with gate.turn:
                work = in_thread(score_uploads, predictor, uploads, _seconds(fields.get("hop_s")), limits)
                answers = await _while_wanted(request, work)
        _count(meters, answers, config)
        return fixed | {"recordings": list(as_json(answers, uploads))}

    @app.websocket("/api/stream")
    async def stream(websocket: WebSocket):
        await streams.serve(websocket)


async def _while_wanted(request: Request, work: Awaitable[Result]) -> Result:
    """The result of some work; it is given up when the client goes away."""

    async def give_up() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(POLL_S)
        scope.cancel()

    with anyio.CancelScope() as scope:
        watcher = asyncio.create_task(give_up())
        try:
            return await work
        finally:
            watcher.cancel()
    raise HTTPException(400, "the client went away")


def _seconds(text: str | None) -> float | None:
    try:
        return parse_number(text) if text else None
    except ValueError as error:
        raise ConfigError(f"hop_s: {error} of seconds") from None


def _count(meters: ServiceMetrics, answers: Answers, config: Config) -> None:
    windows = answers.timeline[~answers.timeline["id"].isin(answers.unreadable["id"])]
    probability = {output: windows[output].tolist() for output in config.outputs}
    meters.heard(probability, windows["distance"].tolist(), windows.groupby("id")["end_s"].max().sum())


async def _http_problem(request: Request, error: HTTPException) -> Response:
    said = f"nothing at {request.url.path}" if error.status_code == 404 else error.detail
    return JSONResponse({"error": said}, error.status_code, error.headers)


async def _problem(request: Request, error: FakevoiceError) -> Response:
    return JSONResponse({"error": str(error)}, 422)


def _sender(file: Path):
    async def send(request: Request) -> Response:
        return FileResponse(file)

    return send


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listening:
            yield listening
    except OSError as error:
        raise ConfigError(f"{host}:{port}: {error.strerror}; choose another with --port N") from error


def make_server(predictor: Predictor, address: Address, limits: Limits) -> uvicorn.Server:
    """The server for a socket that listens at `address`."""
    settings = uvicorn.Config(
        Deadlines(create_app(predictor, address, limits)),
        http=partial(Connection, limits),
        ws=Connection.upgraded,
        log_level="error",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        limit_concurrency=limits.n_connections + 1,  # it counts the connection that asks
        ws_max_size=limits.max_message_bytes,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(settings)


def serve(config: Config, host: str, port: int, token: str) -> None:
    """Serve a finished run until a signal ends it; 0 as `port` takes a free one.

    Raises:
        ArtifactError: the run is not finished.
        ConfigError: the address is taken, or open to others without a token.
    """
    Address(host, port, token).check()
    predictor = Predictor.load(paths(config))
    with _listening(host, port) as listening, threadpoolctl.threadpool_limits(1):
        address = Address(host, listening.getsockname()[1], token)
        print(f"{config.competition}/{config.experiment} at {address.url} (Ctrl-C ends it)", flush=True)
        make_server(predictor, address, Limits()).run([listening])
