"""Sheets of pictures: where each picture lies, how large the sheet is, and that captions can be read."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphengine_nodes import images, lettering, sheets

torch.set_num_threads(1)


def pictures(count: int, width: int = 12, height: int = 8) -> Tensor:
    """Random pixels."""
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(count))


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 6))
@settings(deadline=None)
def test_a_grid_holds_each_picture_at_its_place(count: int, columns: int, gap: int) -> None:
    given = pictures(count)
    sheet = sheets.grid(given, columns, gap, "#000000")
    wide = (sheet.shape[2] - gap) // (12 + gap)
    assert not columns or wide == min(columns, count)
    for number, single in enumerate(given):
        row, column = divmod(number, wide)
        top, left = gap + row * (8 + gap), gap + column * (12 + gap)
        assert torch.equal(sheet[0, top : top + 8, left : left + 12], single)
    assert torch.allclose(sheet.sum(), given.sum(), rtol=1e-4), "the rest is background"


@pytest.mark.parametrize(("count", "width", "height", "columns"), [
    (1, 64, 64, 1), (4, 64, 64, 2), (9, 64, 64, 3), (5, 64, 64, 3), (6, 64, 64, 3), (16, 64, 64, 4),
    (2, 64, 128, 2), (2, 128, 32, 1), (3, 1, 1000, 3),
])  # fmt: skip
def test_a_grid_is_about_square(count: int, width: int, height: int, columns: int) -> None:
    assert sheets.squarest(count, width, height) == columns


def test_transparency_shows_the_background() -> None:
    sheet = sheets.grid(torch.zeros(1, 4, 4, 4), 0, 2, "#ff0000")
    assert torch.equal(sheet, images.solid(8, 8, "#ff0000"))


def test_a_grey_batch_becomes_a_sheet_of_three_channels() -> None:
    assert sheets.grid(torch.rand(4, 8, 8, 1), gap=0).shape == (1, 16, 16, 3)


def test_a_sheet_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels is refused"):
        sheets.grid(torch.zeros(1, 1, 1, 3).expand(40, 1, 1, 3), 40, 512)


def test_a_film_strip_shows_steps_in_a_row_and_a_batch_in_a_column() -> None:
    frames = list(pictures(3).split(1))
    strip = sheets.film_strip(frames, gap=4)
    assert strip.shape == (1, 8 + 8, 3 * 16 + 4, 3)
    assert torch.equal(strip[0, 4:12, 4 + 16 : 16 + 16], frames[1][0])
    both = sheets.film_strip([torch.cat([f, 1 - f]) for f in frames], gap=4)
    assert both.shape == (1, 2 * 12 + 4, 3 * 16 + 4, 3)
    assert torch.equal(both[0, 4:12, 20:32], frames[1][0])
    assert torch.equal(both[0, 16:24, 20:32], 1 - frames[1][0])


def test_a_film_strip_wraps_into_rows() -> None:
    frames = list(pictures(5).split(1))
    strip = sheets.film_strip(frames, columns=2, gap=0)
    assert strip.shape == (1, 24, 24, 3)
    assert torch.equal(strip[0, 16:, :12], frames[4][0])
    assert torch.equal(strip[0, 16:, 12:], torch.ones(8, 12, 3))


def test_frames_of_different_sizes_are_centred() -> None:
    strip = sheets.film_strip([pictures(1), torch.zeros(1, 4, 6, 3)], gap=0)
    assert strip.shape == (1, 8, 24, 3)
    assert strip[0, 2:6, 15:21].max() == 0
    assert strip[0, :2, 12:].min() == 1


def test_labels_stand_below_their_frames() -> None:
    frames = [images.solid(64, 32, "#ffffff")] * 3
    strip = sheets.film_strip(frames, gap=0, labels=["one", "", "three"])
    below = strip[0, 32:]
    assert below.shape[0] > 10
    dark = [(below[:, 64 * k : 64 * (k + 1)] < 0.5).any().item() for k in range(3)]
    assert dark == [True, False, True]
    with pytest.raises(ValueError, match="there are 4 labels for 3 frames; leave some out"):
        sheets.film_strip(frames, labels=["a"] * 4)


def test_sheets_need_a_picture() -> None:
    for make in (sheets.film_strip, lambda p: sheets.table(p, ["a"])):
        with pytest.raises(ValueError, match="there is no picture to show; link at least one"):
            make([])


@pytest.mark.parametrize("gap", [0, 5])
def test_a_table_has_its_pictures_row_by_row_below_the_headings(gap: int) -> None:
    given = pictures(6, 40, 30)
    sheet = sheets.table(list(given.split(2)), ["a", "b", "c"], ["first", "second"], gap)
    top, left = sheet.shape[1] - 2 * (30 + gap), sheet.shape[2] - 3 * (40 + gap)
    assert top > 10
    assert left > 10
    for number, single in enumerate(given):
        row, column = divmod(number, 3)
        y, x = top + row * (30 + gap), left + column * (40 + gap)
        assert torch.equal(sheet[0, y : y + 30, x : x + 40], single)
    assert (sheet[0, :top] < 0.5).any()
    assert (sheet[0, top:, : left - gap] < 0.5).any()


def test_a_long_name_of_a_row_makes_room_for_itself() -> None:
    sheet = sheets.table([pictures(2)], ["a"], ["one two three four five six seven eight", "b"])
    assert sheet.shape[1] > 100


def test_a_table_that_is_not_filled_is_refused() -> None:
    with pytest.raises(
        ValueError, match="3 pictures do not fill a table of 2 columns and 2 rows; give one label"
    ):
        sheets.table([pictures(3)], ["a", "b"], ["c", "d"])
    with pytest.raises(ValueError, match="3 pictures do not fill a table of 2 columns;"):
        sheets.table([pictures(3)], ["a", "b"])


def test_a_label_leaves_the_picture_whole() -> None:
    given = pictures(2, 80, 20)
    below, above = sheets.label(given, "a red house"), sheets.label(given, "a red house", "above")
    assert torch.equal(below[:, :20], given)
    assert torch.equal(above[:, -20:], given)
    assert torch.equal(below[:, 20:], above[:, :-20])


def test_letters_can_be_read_on_any_background() -> None:
    given = torch.zeros(1, 4, 80, 3)
    assert sheets.label(given, "house")[:, 4:].min() < 0.3
    assert sheets.label(given, "house", background="#101010")[:, 4:].max() > 0.7


def test_a_long_label_takes_several_lines_and_a_long_word_is_cut() -> None:
    given = torch.zeros(1, 4, 80, 3)
    short, long = sheets.label(given, "house"), sheets.label(given, "a red house beside a pine tree at night")
    assert long.shape[1] > short.shape[1] + 20
    word = sheets.label(given, "x" * 1000)
    assert word.shape[1] < short.shape[1] + 10


@given(st.text(max_size=60), st.integers(1, 120))
@settings(deadline=None, max_examples=50)
def test_any_text_can_be_written_at_any_width(text: str, width: int) -> None:
    strip = lettering.strips([text], width, 12, "#ffffff")[0]
    assert strip.shape[2:] == (width, 3)


@given(st.text("ab ", max_size=40), st.integers(60, 400))
@settings(deadline=None, max_examples=50)
def test_no_line_is_wider_than_its_room(text: str, width: int) -> None:
    font = lettering.fitted([text], width, 40)
    lines = lettering.wrapped(text, width, font)
    assert all(font.getlength(line) <= width for line in lines)
    assert "..." in "".join(lines) or "".join(lines).replace(" ", "") == text.replace(" ", "")


def dark(sheet: Tensor) -> Tensor:
    """Where letters are: [height, width]."""
    return (sheet[0] < 0.6).all(-1)


def test_titles_stand_over_the_columns_and_over_the_rows() -> None:
    given = list(torch.ones(4, 60, 60, 3).split(1))
    names = (["a", "b"], ["c", "d"])
    bare = sheets.table(given, *names)
    columns, rows = sheets.table(given, *names, column_title="e"), sheets.table(given, *names, row_title="e")
    assert torch.equal(columns[0, columns.shape[1] - bare.shape[1] :], bare[0])
    above = columns.shape[1] - bare.shape[1]
    assert above > 8
    assert dark(columns)[:above].any()
    assert rows.shape == bare.shape
    changed = (rows != bare).any(-1)[0]
    side, head = bare.shape[2] - 2 * 68, bare.shape[1] - 2 * 68
    assert changed.any()
    assert not changed[head:].any()
    assert not changed[:, side:].any()


def test_groups_are_tables_below_one_another() -> None:
    given = pictures(12, 40, 30)
    names = (["a", "b", "c"], ["first", "second"])
    both = sheets.table([given], *names, group_labels=["one", "two"])
    upper, lower = (sheets.table([part], *names) for part in (given[:6], given[6:]))
    head = both.shape[1] // 2 - upper.shape[1]
    assert head > 8
    assert torch.equal(both[0, head : head + upper.shape[1]], upper[0])
    assert torch.equal(both[0, -lower.shape[1] :], lower[0])
    assert dark(both)[:head].any()
    with pytest.raises(
        ValueError, match="12 pictures do not fill a table of 3 columns and 2 rows in 3 groups"
    ):
        sheets.table([given], *names, group_labels=["one", "two", "three"])


def test_a_table_without_titles_and_groups_is_what_it_was() -> None:
    given = [pictures(4)]
    names = (["a", "b"], ["c", "d"])
    assert torch.equal(
        sheets.table(given, *names),
        sheets.table(given, *names, column_title="", row_title="", group_labels=None),
    )


def test_a_card_has_its_text_in_the_middle() -> None:
    card = sheets.card("failed", 120, 100, background="#eeeeee")
    assert card.shape == (1, 100, 120, 3)
    rows, columns = dark(card).any(1).nonzero(), dark(card).any(0).nonzero()
    assert abs(float(rows.float().mean()) - 50) < 6
    assert abs(float(columns.float().mean()) - 60) < 6
    assert torch.equal(card[0, 0, 0], images.solid(1, 1, "#eeeeee")[0, 0, 0])
    assert sheets.card("a long text that does not fit at all", 16, 16).shape == (1, 16, 16, 3)
    assert sheets.card("", 1, 1).shape == (1, 1, 1, 3)
