"""The world, the judge and the weights of the small model that ships with the project."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
import torch
from diffusers import StableDiffusionPipeline

from graphengine_storybook import MODELS, autoencoder
from graphengine_storybook.autoencoder import Code
from graphengine_storybook.batches import Batches, pixels, stream, unit
from graphengine_storybook.captions import (
    BEHIND,
    COLOUR_WORDS,
    NAMES,
    OPENINGS,
    PLACE_PHRASES,
    WEATHER_PHRASES,
    caption,
    words,
)
from graphengine_storybook.card import PROMPTS, SCALES
from graphengine_storybook.evaluate import GOALS, Figures, measure, paint, painter, real
from graphengine_storybook.folder import Model
from graphengine_storybook.illustration import draw
from graphengine_storybook.judge import Judge
from graphengine_storybook.stage import mixed
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
    WEATHERS,
    Labels,
    Scene,
    Thing,
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
        assert (found.other_kind < len(KINDS)) == (len(scene.things) > 1)
        assert (found.third_kind < len(KINDS)) == (len(scene.things) > 2) == (scene.relation == "row")
        assert (found.time < len(TIMES)) == (scene.place != "plain")
        assert WEATHERS[found.weather] == scene.weather


def test_the_world_is_as_large_as_the_card_says() -> None:
    scenes = some_scenes(4000)
    assert len({thing.kind for scene in scenes for thing in scene.things}) == len(KINDS) >= 16
    assert len({thing.colour for scene in scenes for thing in scene.things}) == len(COLOUR_NAMES) == 11
    assert len({scene.place for scene in scenes}) == len(PLACES) >= 8
    assert {scene.weather for scene in scenes} == set(WEATHERS)
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}
    assert {scene.relation for scene in scenes} == set(RELATIONS)
    assert len(PROMPTS) == 20
    assert SCALES == (1, 3, 5, 8)


def test_a_weather_is_always_said_and_a_place_by_its_own_words() -> None:
    rng = Random(0)
    for scene in some_scenes(400):
        text = caption(scene, rng, full=True)
        said = [
            kind for kind, phrases in WEATHER_PHRASES.items() if any(phrase in text for phrase in phrases)
        ]
        assert said == ([] if scene.weather == "clear" else [scene.weather])
        assert scene.place == "plain" or any(phrase in text for phrase in PLACE_PHRASES[scene.place])


def test_captions_of_one_scene_differ_in_words_order_articles_and_what_they_leave_out() -> None:
    things = (Thing("house", "red"), Thing("pine", "purple"))
    scene = Scene(things, "front", "forest", "night", weather="rain")
    rng = Random(0)
    texts = [caption(scene, rng) for _ in range(300)]
    assert len(set(texts)) > 250
    for some in ("red house", "scarlet", "cottage", "spruce", "violet", "in the woods", "the ", "at night"):
        assert 0 < sum(some in text for text in texts) < 300, some
    assert any(text.startswith(OPENINGS) for text in texts)
    assert any("," in text for text in texts)  # the setting comes first
    assert any(word in text.split() for text in texts for word in BEHIND)
    assert any("red" not in text and "scarlet" not in text for text in texts)  # a house is red anyway


def named(thing: Thing) -> list[str]:
    """All that a caption can call a thing of this colour."""
    return [f"{word} {name}" for word in COLOUR_WORDS[thing.colour] for name in NAMES[thing.kind]]


def test_a_full_caption_names_every_thing_with_its_colour() -> None:
    rng = Random(0)
    for scene in some_scenes(300):
        text = caption(scene, rng, full=True)
        for thing in scene.things:
            assert any(name in text for name in named(thing))


def test_the_thing_named_first_stands_on_the_left_unless_right_is_said() -> None:
    rng = Random(0)
    for scene in some_scenes(300):
        if scene.relation == "side" and scene.things[0].colour != scene.things[1].colour:
            text = caption(scene, rng, full=True)
            first, second = (min(_places_of(thing, text)) for thing in scene.things)
            assert (first > second) == ("right of" in text)


def test_things_in_a_row_are_named_from_the_left_or_the_middle_one_between_the_others() -> None:
    rng = Random(0)
    rows = [scene for scene in some_scenes(900) if len({thing.colour for thing in scene.things}) == 3]
    for scene in rows:
        text = caption(scene, rng, full=True)
        left, middle, right = (min(_places_of(thing, text)) for thing in scene.things)
        assert left < right
        assert (middle < left) if "between" in text else (left < middle < right)
    assert len(rows) > 50


def _places_of(thing: Thing, text: str) -> list[int]:
    return [text.index(name) for name in named(thing) if name in text]


def test_held_out_pairs_never_occur_in_training() -> None:
    rng = Random(0)
    for _ in range(3000):
        assert not any(HELD_OUT[thing.kind] == thing.colour for thing in make(rng, "skip").things)
    assert all(make(rng, "only").things[0].held_out for _ in range(100))


def test_every_combination_of_place_and_time_can_be_drawn() -> None:
    pictures = {
        draw(Scene((Thing("boat", "yellow"),), "one", place, time, weather=weather)).tobytes()
        for place in PLACES[:-1]
        for time in TIMES
        for weather in WEATHERS
    }
    assert len(pictures) == len(PLACES[:-1]) * len(TIMES) * len(WEATHERS)


def test_what_stands_in_front_hides_a_part_of_what_stands_behind() -> None:
    cat, house = Thing("cat", "orange"), Thing("house", "blue")
    for seed in range(6):
        both, hidden = (
            numpy.asarray(draw(Scene(things, "front", "desert", seed=seed))).astype(int)
            for things in ((cat, house), (house, cat))
        )
        orange, blue = both[..., 0] > both[..., 2] + 150, both[..., 2] > both[..., 0] + 100
        assert orange[100:].sum() > 100  # the cat, low in the picture
        assert blue.sum() > orange.sum()  # the house is large, for all that the cat hides
        assert (hidden[100:, :, 2] > hidden[100:, :, 0] + 100).sum() > 100


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
    assert encoded.shape == (4, autoencoder.CHANNELS, 16, 16)
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
    subjects = some_scenes(600, seed=77)
    truth = torch.tensor([labels(scene) for scene in subjects])
    with torch.no_grad():
        hits = Labels(*right(judge(unit(pixels(subjects))), truth).float().mean(0).tolist())
    assert min(hits) >= 0.98, hits


def test_real_drawings_score_high_in_the_measurement(judge: Judge) -> None:
    figures = measure(judge, real, 60)
    assert isinstance(figures, Figures)
    assert figures.pictures == 90
    for name, goal in GOALS.items():
        assert getattr(figures, name) >= max(goal, 0.95), name


def test_the_autoencoder_gives_back_what_it_was_given(model: Model) -> None:
    assert autoencoder.psnr(model.vae, 16) > 28


def test_a_yellow_boat_on_the_sea_at_sunset(model: Model, judge: Judge) -> None:
    pictures = paint(model.pipeline(), ["a yellow boat on the sea at sunset"] * 4, 4.5, [1, 2, 3, 4])
    wanted = labels(Scene((Thing("boat", "yellow"),), "one", "sea", "sunset"))
    with torch.no_grad():
        found = Labels(*(scores.argmax(1).tolist() for scores in judge(pictures)))
    assert found.kind.count(wanted.kind) >= 3
    assert found.colour.count(wanted.colour) >= 3
    assert found.place.count(wanted.place) >= 3
    assert found.time.count(wanted.time) >= 3


def test_the_shipped_model_draws_what_captions_say(model: Model, judge: Judge) -> None:
    figures = measure(judge, painter(model.pipeline(), 4.5, steps=12), 32)
    for name, goal in GOALS.items():  # a small sample, and fewer steps: not all of the goal
        assert getattr(figures, name) >= goal - 0.15, (name, figures)


@pytest.mark.parametrize(("able", "precision"), [(True, torch.bfloat16), (False, torch.float32)])
def test_training_computes_in_bfloat16_only_where_that_is_quick(
    monkeypatch: pytest.MonkeyPatch, able: bool, precision: torch.dtype
) -> None:
    for ability in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, ability, lambda: able)
    with mixed(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == precision


def test_a_short_training_leaves_a_folder_that_loads_and_goes_on(tmp_path: Path) -> None:
    plan = Plan(minutes=0.03, out=tmp_path)
    seen = train(plan, Model.new(tmp_path / "words", channels=(16, 16, 32)))
    assert set(seen) == {"text", "denoiser", "decoder", "judge"}
    assert all(count > 0 for count in seen.values())
    again = Model.load(tmp_path / "storybook")
    assert paint(again.pipeline(), ["a cat"], 1.0, [0], steps=1).shape == (1, 3, 128, 128)
    assert Judge.load(tmp_path / "judge")
    assert train(plan, again) == seen  # the minutes are over: nothing more is trained
