"""The world, the judge and the weights of the small model that ships with the project."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from graphengine_storybook import MODELS, autoencoder
from graphengine_storybook.autoencoder import Code
from graphengine_storybook.batches import Batches, pixels, stream, unit
from graphengine_storybook.captions import NAMES, caption, words
from graphengine_storybook.evaluate import Figures, measure, paint, painter, real
from graphengine_storybook.folder import Model
from graphengine_storybook.judge import Judge
from graphengine_storybook.text_encoder import right
from graphengine_storybook.tokenizer import LENGTH, Encoder
from graphengine_storybook.train import Plan, train
from graphengine_storybook.world import (
    CLASSES,
    COLOUR_NAMES,
    HELD_OUT,
    KINDS,
    PLACES,
    RELATIONS,
    TIMES,
    Labels,
    Scene,
    Thing,
    draw,
    labels,
    make,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(MODELS / "storybook")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(MODELS / "judge")


def some_scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = Random(seed)
    return [make(rng, "any") for _ in range(count)]


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, graphengine_storybook; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=MODELS.parent.parent)


def test_a_seed_gives_one_world() -> None:
    assert some_scenes(50, seed=3) == some_scenes(50, seed=3) != some_scenes(50, seed=4)
    for scene in some_scenes(20):
        assert draw(scene).tobytes() == draw(scene).tobytes()
        assert draw(scene).size == (128, 128)


def test_labels_say_what_the_scene_holds() -> None:
    for scene in some_scenes(300):
        found = labels(scene)
        assert all(0 <= label < count for label, count in zip(found, CLASSES, strict=True))
        assert (KINDS[found.kind], COLOUR_NAMES[found.colour]) == (
            scene.things[0].kind,
            scene.things[0].colour,
        )
        assert PLACES[found.place] == scene.place
        assert RELATIONS[found.relation] == scene.relation
        assert (found.other_kind < len(KINDS)) == (len(scene.things) == 2)
        assert (found.time < len(TIMES)) == (scene.place != "plain")


def test_a_full_caption_names_every_thing_with_its_colour() -> None:
    rng = Random(0)
    for scene in some_scenes(300):
        text = caption(scene, rng, full=True)
        for thing in scene.things:
            assert any(f"{thing.colour} {name}" in text for name in NAMES[thing.kind])


def test_the_thing_named_first_stands_on_the_left_unless_right_is_said() -> None:
    rng = Random(0)
    for scene in some_scenes(300):
        if scene.relation == "side" and scene.things[0].colour != scene.things[1].colour:
            text = caption(scene, rng, full=True)
            first, second = (min(_places_of(thing, text)) for thing in scene.things)
            assert (first > second) == ("right of" in text)


def _places_of(thing: Thing, text: str) -> list[int]:
    names = [f"{thing.colour} {name}" for name in NAMES[thing.kind]]
    return [text.index(name) for name in names if name in text]


def test_held_out_pairs_never_occur_in_training() -> None:
    rng = Random(0)
    for _ in range(3000):
        assert not any(HELD_OUT[thing.kind] == thing.colour for thing in make(rng, "skip").things)
    assert all(make(rng, "only").things[0].held_out for _ in range(100))


def test_every_combination_of_place_and_time_can_be_drawn() -> None:
    pictures = {
        draw(Scene((Thing("boat", "yellow"),), "one", place, time)).tobytes()
        for place in PLACES[:-1]
        for time in TIMES
    }
    assert len(pictures) == len(PLACES[:-1]) * len(TIMES)


def test_every_word_of_the_world_is_one_token(model: Model) -> None:
    for word in words():
        assert len(model.tokenizer(word, add_special_tokens=False)["input_ids"]) == 1, word


def test_the_quick_encoder_agrees_with_the_tokenizer(model: Model) -> None:
    rng = Random(0)
    texts = ["", *(caption(scene, rng) for scene in some_scenes(200)), "a zebra, of course"]
    given = model.tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True)
    assert Encoder(model.tokenizer)(texts).tolist() == given["input_ids"]
    assert max(len(model.tokenizer(text)["input_ids"]) for text in texts) <= LENGTH


def test_the_code_is_what_the_encoder_computes() -> None:
    vae = autoencoder.build()
    code = Code.fit(40)
    code.write(vae)
    pictures = unit(pixels(some_scenes(4)))
    with torch.no_grad():
        encoded = vae.encode(pictures).latent_dist.mode()
    assert encoded.shape == (4, 4, 16, 16)
    torch.testing.assert_close(encoded, code.encode(pictures), atol=5e-3, rtol=0)
    torch.testing.assert_close(Code.read(vae).axes, code.axes, atol=1e-3, rtol=0)


def test_batches_leave_out_captions_and_pictures_as_asked(model: Model) -> None:
    encode = Encoder(model.tokenizer)
    batch = next(stream(Batches(8, 64, encode, empty=1.0), 0))
    assert batch.pixels.shape == (8, 3, 64, 64)
    assert batch.ids.tolist() == encode([""] * 8).tolist()
    assert next(stream(Batches(8, 0, encode), 0)).pixels.numel() == 0


def test_the_weights_are_small_and_know_no_machine() -> None:
    files = [file for file in MODELS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 40_000_000
    for file in files:
        if file.suffix == ".json" and file.parent.name != "tokenizer":
            assert "_name_or_path" not in json.loads(file.read_text(encoding="utf-8"))


def test_the_folder_loads_in_diffusers_own_pipeline() -> None:
    loader: Any = StableDiffusionPipeline  # diffusers leaves its classmethod untyped
    pipeline = loader.from_pretrained(MODELS / "storybook", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.vae_scale_factor == 8
    generator = torch.Generator().manual_seed(0)
    result = pipeline("a red house", num_inference_steps=2, generator=generator)
    assert result.images[0].size == (128, 128)


def test_the_judge_reads_real_drawings(judge: Judge) -> None:
    subjects = some_scenes(200, seed=77)
    truth = torch.tensor([labels(scene) for scene in subjects])
    with torch.no_grad():
        hits = Labels(*right(judge(unit(pixels(subjects))), truth).float().mean(0).tolist())
    assert min(hits.kind, hits.colour, hits.other_kind, hits.other_colour) >= 0.97
    assert min(hits.place, hits.time, hits.relation, hits.backdrop) >= 0.97


def test_real_drawings_score_high_in_the_measurement(judge: Judge) -> None:
    figures = measure(judge, real, 60)
    assert isinstance(figures, Figures)
    assert figures.pictures == 90
    assert min(filter(None, [figures.kind, figures.colour, figures.unseen_kind])) >= 0.9


def test_the_autoencoder_gives_back_what_it_was_given(model: Model) -> None:
    assert autoencoder.psnr(model.vae, 8) > 24


def test_a_yellow_boat_on_the_sea_at_sunset(model: Model, judge: Judge) -> None:
    pictures = paint(model.pipeline(), ["a yellow boat on the sea at sunset"] * 4, 4.5, [1, 2, 3, 4])
    wanted = labels(Scene((Thing("boat", "yellow"),), "one", "sea", "sunset"))
    with torch.no_grad():
        found = Labels(*(scores.argmax(1).tolist() for scores in judge(pictures)))
    assert found.kind.count(wanted.kind) >= 3
    assert found.colour.count(wanted.colour) >= 3
    assert found.place.count(wanted.place) >= 3
    assert found.time.count(wanted.time) >= 3


def test_pictures_show_what_the_caption_says(model: Model, judge: Judge) -> None:
    rng = Random(5)
    subjects = [make(rng, "skip", 1) for _ in range(16)]
    truth = torch.tensor([labels(scene) for scene in subjects])
    drawn = painter(model.pipeline(), 4.5, steps=12)(subjects)
    with torch.no_grad():
        hits = Labels(*right(judge(drawn), truth).float().mean(0).tolist())
    assert hits.kind >= 0.85
    assert hits.colour >= 0.85
    assert min(hits.place, hits.time) >= 0.9


def test_a_short_training_leaves_a_folder_that_loads_and_goes_on(tmp_path: Path) -> None:
    plan = Plan(minutes=0.03, out=tmp_path)
    seen = train(plan, Model.new(tmp_path / "words", channels=(16, 16, 32)))
    assert set(seen) == {"text", "denoiser", "decoder", "judge"}
    assert all(count > 0 for count in seen.values())
    again = Model.load(tmp_path / "storybook")
    assert paint(again.pipeline(), ["a cat"], 1.0, [0], steps=1).shape == (1, 3, 128, 128)
    assert Judge.load(tmp_path / "judge")
    assert train(plan, again) == seen  # the minutes are over: nothing more is trained
