"""Serves the feedback route of the scratch ledger. `python -m` it like the provider."""

import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from campaigns.selftest.parent import end_with_parent
from campaigns.selftest.world import compose, read_world
from campaigns.ways_in.feedback import routes


def main(number: int, folder: Path) -> None:
    """Until it is ended."""
    app = FastAPI()
    app.include_router(routes.routes(compose(folder, read_world(folder))))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[socket.socket(fileno=number)])


if __name__ == "__main__":
    end_with_parent()
    main(int(sys.argv[1]), Path(sys.argv[2]))
