"""`graphengine gallery`"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphengine.cli.opening import Nodes, settings
from graphengine.cli.status import Status

if TYPE_CHECKING:
    from graphengine.session import Session
    from graphengine.workflow import Workflow

LARGEST = 640, 480
"""The width and height that a picture fits into."""
COLOURS = 128


def gallery(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Where they are; left out, those shipped."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the page is up to date.")] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Run the workflows and make their pictures anew.")
    ] = False,
    nodes: Nodes = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Make this picture only.")] = None,
) -> None:
    """Make a page of a folder of workflows: the picture, the inputs and the graph of each."""
    from graphengine import resources
    from graphengine.gallery import PAGE, files, page
    from graphengine.session import Session

    session, place = Session(settings(nodes)), folder or resources.workflows()
    workflows = {path.stem: session.load(path) for path in files(place)}
    if unknown := [name for name in only or () if name not in workflows]:
        raise typer.BadParameter(f"there is no workflow {unknown[0]!r} in {place}")
    if pictures and not check:
        with TemporaryDirectory() as aside:  # what they save is not wanted here
            given, models = session.settings, (Path(aside, "models"), *session.settings.models)
            painter = Session(given.model_copy(update={"outputs": Path(aside), "models": models}))
            for name in only or workflows:
                typer.echo(picture(painter, name, workflows[name], place))
    text = page(place, workflows, session.manifest.types)
    target = place / PAGE
    if check:
        same = target.is_file() and target.read_text(encoding="utf-8") == text
        typer.echo(f"{target}: {'up to date' if same else 'run graphengine gallery'}")
        raise typer.Exit(Status.DONE if same else Status.FAILED)
    target.write_text(text, encoding="utf-8")
    typer.echo(target)


def picture(session: Session, name: str, workflow: Workflow, folder: Path) -> Path:
    """Run a workflow and make a small PNG of the first picture that it gives."""
    from PIL import Image

    from graphengine.errors import GraphEngineError
    from graphengine.gallery import PICTURES

    outcome = session.run(workflow)
    outcome.raise_for_failure()
    found: Any = next((v for v in outcome.outputs.values() if getattr(v, "ndim", 0) == 4), None)
    if found is None:
        raise GraphEngineError(f"{name} gives no picture; name an image among its outputs")
    pixels = (found[0, ..., :3].clamp(0, 1) * 255).round().byte().numpy()
    made = Image.fromarray(pixels)
    if max(made.size) < 256:
        made = made.resize((made.width * 2, made.height * 2), Image.Resampling.LANCZOS)
    made.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    path = folder / PICTURES / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    made.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
