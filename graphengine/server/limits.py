"""Limits: how much of everything a client may ask for. What is over one gets a 4xx that names it."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Limits(BaseSettings):
    """The numbers, each with what it bounds; sizes are in bytes, times in seconds.

    Each is also an environment variable: `GRAPHENGINE_LIMIT_` and its name in capitals.
    """

    model_config = SettingsConfigDict(env_prefix="GRAPHENGINE_LIMIT_", frozen=True, extra="forbid")

    body: int = Field(default=8 * MIB, ge=1, description="Size of a JSON body.")
    upload: int = Field(default=32 * MIB, ge=1, description="Size of a picture that is uploaded.")
    line: int = Field(default=8 * KIB, ge=64, description="Size of the address in a request.")
    header: int = Field(default=8 * KIB, ge=64, description="Size of one header.")
    headers: int = Field(default=64, ge=8, description="How many headers a request has.")
    head: int = Field(default=64 * KIB, ge=64, description="Size of the address and all headers together.")
    nodes: int = Field(default=50_000, ge=1, description="How many nodes a workflow has.")
    items: int = Field(default=100_000, ge=1, description="How many items a list or an object has.")
    string: int = Field(default=1_000_000, ge=1, description="How many characters a text has.")
    depth: int = Field(default=400, ge=1, description="How deep lists and objects nest.")
    integer: int = Field(default=1 << 64, ge=1, description="How large a whole number is, either way.")
    pixels: int = Field(default=1 << 25, ge=1, description="How many pixels a picture has.")
    problems: int = Field(default=1000, ge=1, description="How many problems one answer tells.")
    sockets: int = Field(default=512, ge=1, description="How many event streams are open.")
    sockets_per_client: int = Field(default=32, ge=1, description="How many event streams a client has open.")
    disk: int = Field(default=100 * GIB, ge=0, description="Size of all outputs and uploads together.")
    connections: int = Field(default=1024, ge=1, description="How many connections are open.")
    head_seconds: float = Field(default=10, gt=0, description="Until the head of a request is there.")
    idle_seconds: float = Field(default=75, gt=0, description="Until a connection without a request ends.")
    body_seconds: float = Field(default=15, gt=0, description="Until a body is there, however small it is.")
    body_rate: float = Field(default=16 * KIB, gt=0, description="Bytes a second of a body, beyond that.")
    stall_seconds: float = Field(
        default=20, gt=0, description="Until a client that reads nothing of its answer is given up."
    )
    ping_seconds: float = Field(default=15, gt=0, description="Between two signs of life of an event stream.")
