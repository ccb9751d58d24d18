"""Plots show the numbers they are given, and take any text as it is."""

from __future__ import annotations

import io

import pytest
from matplotlib.figure import Figure

from segengine.models.plots import (
    Band,
    Bar,
    draw_differentiator,
    draw_lift,
    draw_overlap,
    draw_scores,
    draw_suggestions,
)

BANDS = [Band(0.55, "somewhat similar"), Band(0.7, "similar"), Band(0.85, "very similar")]
ODD = "$5 to $10, 50 % of {a_b} \\alpha ^ or a name that goes on for longer than there is room on any plot"


def read_texts(figure: Figure) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts]


def read_widths(figure: Figure) -> list[float]:
    return [bar.get_width() for bar in figure.axes[0].patches]


def test_scores_have_the_share_of_each_band() -> None:
    counts = [40, 30, 5, 5, 5, 5, 4, 3, 2, 1]  # 0.5 to 0.6 is half below and half in the first band
    figure = draw_scores(counts, [Band(0.6, "somewhat similar"), *BANDS[1:]])
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx(counts)
    assert read_texts(figure) == ["somewhat\nsimilar\n4 %", "similar\n3 %", "very similar\n3 %"]


def test_a_bar_that_dwarfs_the_others_is_cut_off_and_says_so() -> None:
    counts = [900, 10, 20, 10, 10, 10, 10, 10, 10, 10]
    figure = draw_scores(counts, BANDS)
    assert figure.axes[0].get_ylim()[1] == pytest.approx(1.2 * 1.25 * 2.0)
    assert read_texts(figure)[0] == " ↑ 90 % "
    assert [bar.get_height() for bar in figure.axes[0].patches][:2] == pytest.approx([90, 1])
    even = draw_scores([100, 50, 50], BANDS)
    assert even.axes[0].get_ylim()[1] > 50
    assert not any("↑" in text for text in read_texts(even))


def test_scores_of_nobody_are_drawn() -> None:
    assert [text[-4:] for text in read_texts(draw_scores([0] * 20, BANDS))] == ["\n0 %"] * 3


def test_lift_names_its_points() -> None:
    figure = draw_lift([0.01, 0.2], [13.24, 4.0])
    assert read_texts(figure) == ["drawn at random", "13.2", "4.0"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1.0, 13.24], [20.0, 4.0]]


def test_a_differentiator_shows_both_sides_in_percent() -> None:
    figure = draw_differentiator("income", ["low", "high"], ("A", [0.25, 0.75]), ("B", [0.5, 0.5]))
    assert read_widths(figure) == [25, 75, 50, 50]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["low", "high"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["A", "B"]


def test_suggestions_start_at_the_average() -> None:
    bars = [Bar("rich", 12.0, 11.0, 13.0, "5 members"), Bar("poor", 7.0)]
    figure = draw_suggestions(bars, "spend", 10.0)
    assert [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches] == [(10, 2), (10, -3)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["rich\n5 members", "poor"]
    low, high = figure.axes[0].get_xlim()
    assert low < 7
    assert high > 13


def test_overlaps_are_shares_of_the_union() -> None:
    figure = draw_overlap([Bar("only A", 1500), Bar("A and B", 500)])
    assert read_widths(figure) == [1500, 500]
    assert read_texts(figure) == ["1,500 (75 %)", "500 (25 %)"]


@pytest.mark.parametrize(
    "figure",
    [
        draw_scores([1, 2], [Band(0.5, ODD)], ODD),
        draw_lift([0.1], [0.0], ODD),
        draw_differentiator(ODD, [ODD], (ODD, [1.0]), (ODD, [0.0])),
        draw_suggestions([Bar(ODD, 1.0, 1.0, 1.0, ODD)], ODD, 1.0),
        draw_suggestions([], ODD, 1.0),
        draw_overlap([Bar(ODD, 0)], ODD),
    ],
    ids=["scores", "lift", "differentiator", "suggestions", "none", "overlap"],
)
def test_any_text_is_drawn(figure: Figure) -> None:
    written = io.BytesIO()
    figure.savefig(written)
    assert written.getvalue().startswith(b"\x89PNG")
