"""`graphengine models`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.opening import settings
from graphengine.cli.status import Status

if TYPE_CHECKING:
    from graphengine.catalogue import Card, Catalogue

models = typer.Typer(
    name="models",
    help="Look at, check or add the models that workflows may name.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME_HELP = "A model's name, as in `graphengine models list`."


@models.command(name="list")
def listed(
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
) -> None:
    """List everything under the model roots; weights are not read."""
    import json

    from graphengine.catalogue import size_of

    cards = opened().cards()
    if as_json:
        rows = [{"name": name, **summary(path, card)} for name, (path, card) in cards.items()]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from graphengine.cli.console import results

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("name", "type", "family", "size", "precision"):
        table.add_column(title, no_wrap=title == "name", justify="right" if title == "size" else "left")
    for name, (path, card) in cards.items():
        kind = f"{card.kind} (!)" if card.problem or card.missing else card.kind
        cells = (name, kind, card.family, sized(size_of(path)), card.precision)
        table.add_row(*(Text(cell) for cell in cells))
    if cards:
        results().print(table)
    else:
        typer.echo("there are no models; `graphengine models add PATH` puts one in its place", err=True)


@models.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the data as JSON.")] = False,
) -> None:
    """Show what a model is made of, what it lacks, and the hash of its content."""
    import json

    catalogue = opened()
    path = catalogue.folders.model(name)
    card = catalogue.card(path)
    found = {"name": name, **summary(path, card), "hash": catalogue.folders.content_hash(path)}
    found |= {"parts": dict(card.parts), "metadata": dict(card.metadata), "missing": list(card.missing)}
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for title in ("name", "type", "family", "precision", "path", "hash", "problem"):
        if found[title]:
            typer.echo(f"{title:<10} {found[title]}")
    typer.echo(f"{'size':<10} {sized(found['bytes'])}")
    for title in ("parts", "metadata"):
        for key, value in found[title].items():
            typer.echo(f"{title:<10} {key}: {shortened(value)}")
    for lack in card.missing:
        typer.echo(f"{'missing':<10} {lack}")


@models.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)],
    deep: Annotated[bool, typer.Option("--deep", help="Read every weight and count bad numbers.")] = False,
) -> None:
    """Check a model's headers, and its content against the hash of an earlier day."""
    catalogue = opened()
    path = catalogue.folders.model(name)
    problems = catalogue.verify(path, deep)
    for problem in problems:
        typer.secho(problem, fg="red")
    if problems:
        raise typer.Exit(Status.FAILED)
    typer.echo(f"{name}: whole, content hash {catalogue.folders.content_hash(path)}")


@models.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A .safetensors file or a model folder.")],
) -> None:
    """Check a model and put it into its place under the first model root; nothing is replaced."""
    catalogue = opened()
    target = catalogue.add(path, settings().models)
    typer.echo(f"{catalogue.card(target).kind}: {target}")


@models.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .ckpt, .bin, .pt or .pth file.")],
) -> None:
    """Write the tensors of a pickle into a .safetensors file beside it, in a process of its own."""
    typer.echo(str(opened().convert(file)))


def opened() -> Catalogue:
    """The catalogue of this machine's models."""
    from graphengine.catalogue import Catalogue
    from graphengine.session import Session

    session = Session(settings())
    return Catalogue(session.folders, session.manifest.catalogues)


def summary(path: Path, card: Card) -> dict[str, Any]:
    """What is known of a model in a line, as data."""
    from graphengine.catalogue import size_of

    return {
        "type": card.kind,
        "family": card.family,
        "precision": card.precision,
        "bytes": size_of(path),
        "path": str(path),
        "problem": card.problem,
    }


def sized(bytes: int) -> str:
    """A number of bytes for people: `1.5GiB`."""
    from pydantic import ByteSize

    return ByteSize(bytes).human_readable()


def shortened(text: str) -> str:
    """A text of at most a line."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
