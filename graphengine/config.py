"""Settings: what the user decides about this machine. Made once, in the command line, and passed down.

Each field is also an environment variable: `GRAPHENGINE_` and its name in capitals.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_cache_path, user_data_path
from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from graphengine.errors import GraphEngineError

GIB = 1 << 30


class Settings(BaseSettings):
    """Where things are and how much of the machine may be used.

    Sizes are bytes, or a text with a unit such as `8GB` or `512MiB`; 0 switches that tier of the cache off.
    """

    model_config = SettingsConfigDict(env_prefix="GRAPHENGINE_", frozen=True, extra="forbid")

    models: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda: (user_data_path("graphengine", appauthor=False) / "models",),
        description="Folders in which model names are looked up, in order, before those that packs ship; "
        "as an environment variable separated as in PATH.",
    )
    nodes: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda: (user_data_path("graphengine", appauthor=False) / "nodes",),
        description="Folders of packs that are not installed: single .py files, and packages; as an "
        "environment variable separated as in PATH.",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("graphengine", appauthor=False),
        description="Folder of everything that can be computed again.",
    )
    outputs: Path = Field(default=Path("outputs"), description="Folder that results are saved into.")
    data: Path = Field(
        default_factory=lambda: user_data_path("graphengine", appauthor=False),
        description="Folder that the server keeps its jobs, their outputs, saved workflows and uploads in, "
        "and the environments of isolated packs.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address that the server listens on.")
    port: int = Field(default=8420, ge=0, le=65535, description="Port that the server listens on; 0: any.")
    token: SecretStr | None = Field(
        default=None, min_length=16, description="What the server's clients must show; made anew if not set."
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of the server that commands speak to, such as https://paint.example:8420; "
        "without it, the server of this machine.",
    )
    memory_cache: ByteSize = Field(
        default=ByteSize(GIB), ge=0, description="Size of the cache in memory, such as 2GB; 0 is off."
    )
    disk_cache: ByteSize = Field(
        default=ByteSize(10 * GIB), ge=0, description="Size of the cache on disk, such as 20GB; 0 is off."
    )
    loop_states: int = Field(
        default=5,
        ge=0,
        description="How often the state of a slow loop is kept on disk, for a later process to resume it: "
        "5 is after every fifth round; 0 is never. In memory each state is kept.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Where models run: `cpu`, `mps`, `cuda`, `cuda:1`; `auto` takes a GPU if there is one.",
    )
    dev: bool = Field(
        default=False, description="Read packs anew when their files change, for who writes nodes."
    )
    executor: Literal["local", "ray"] = Field(
        default="local",
        description="Where the server runs jobs: `local` is processes of this machine, `ray` a Ray cluster.",
    )
    ray_address: str | None = Field(
        default=None,
        min_length=1,
        description="Address of the Ray cluster, such as 10.0.0.7:6379; without it, the server makes one of "
        "this machine.",
    )
    attempts: int = Field(
        default=3, ge=1, le=100, description="How often the server begins a job whose worker is lost."
    )
    jobs_per_client: int = Field(
        default=1000, ge=1, description="How many jobs of one client may wait and run at once."
    )
    node_limit: float | None = Field(
        default=None, gt=0, description="Seconds that each node of a job may take; any number if not set."
    )
    stall: float | None = Field(
        default=3600.0,
        gt=0,
        description="Seconds without any event of a job after which its worker is taken for stuck.",
    )
    outputs_limit: ByteSize = Field(
        default=ByteSize(50 * GIB),
        ge=0,
        description="Size of all outputs of jobs, such as 50GB; the oldest that are not pinned go first.",
    )
    outputs_days: float | None = Field(
        default=None, gt=0, description="Days that outputs of jobs are kept; for ever if not set."
    )
    events_kept: int = Field(default=500_000, ge=1000, description="How many events of jobs are kept.")

    @field_validator("models", "nodes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [p for p in value.split(os.pathsep) if p] if isinstance(value, str) else value

    @field_validator("models", "nodes", "cache", "outputs", "data")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        return tuple(p.expanduser() for p in value) if isinstance(value, tuple) else value.expanduser()

    @property
    def environments(self) -> Path:
        """Where the environments of isolated packs are."""
        return self.data / "environments"

    @classmethod
    def read(cls, **given: Any) -> Settings:
        """The settings of this machine; what is given (and not None) goes before the environment.

        GraphEngineError names the environment variable or the argument that cannot be used.
        """
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            raise GraphEngineError("; ".join(_told(e, given) for e in error.errors())) from None


def _told(error: Any, given: dict[str, Any]) -> str:
    """One of pydantic's errors, with the name that the user wrote."""
    field = str(error["loc"][0]) if error["loc"] else "settings"
    name = field if field in given else f"GRAPHENGINE_{field.upper()}"
    about = Settings.model_fields[field].description if field in Settings.model_fields else None
    if field == "token":
        return f"{name}: a text of 16 characters or more is wanted. {about}"
    return f"{name}: {error['input']!r} cannot be used. {about or error['msg']}"
