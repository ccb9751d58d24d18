"""A model of similar customers on pandas frames: as on feature tables, however pandas holds missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from stand_in_model import StandIn, make_features
from tastes import AS_OF, FIELDS, draw_customers, draw_source, take_sample

from segengine.models.fields import KEY
from segengine.models.recommended import Offer
from segengine.models.similarity import learn_similarity
from segengine.models.similarity_pyfunc import SavedScorer, SimilarityPyfunc, _load_pyfunc, make_example

FEATURES = make_features().drop_columns("profile_key")
EXPECTED = StandIn("CA").score(FEATURES.combine_chunks().to_batches()[0]).to_pylist()


@pytest.fixture
def model(tmp_path: Path) -> SimilarityPyfunc:
    path = tmp_path / "scorer.pickle"
    SavedScorer(StandIn("CA"), make_example(FEATURES)).save(path)
    return _load_pyfunc(str(path))


@pytest.mark.parametrize(
    "frame",
    [
        FEATURES.to_pandas(),
        FEATURES.to_pandas(integer_object_nulls=True),
        FEATURES.to_pandas(types_mapper=pd.ArrowDtype),
        FEATURES.to_pandas().astype({"income": "Int64", "state": "string"}),
        FEATURES.to_pandas().fillna({"state": ""}),
        FEATURES.to_pandas().assign(more=1)[["rating", "more", "income", "id_hash", "state"]],
    ],
    ids=["floats", "objects", "arrow", "nullable", "empty text", "other columns"],
)
def test_scores_are_those_of_the_feature_table(model: SimilarityPyfunc, frame: pd.DataFrame) -> None:
    assert model.predict(frame)["score"].tolist() == EXPECTED


def test_scores_have_the_rows_names(model: SimilarityPyfunc) -> None:
    frame = FEATURES.to_pandas().iloc[[5, 2]]
    assert model.predict(frame).index.tolist() == [5, 2]
    assert model.predict(frame)["score"].tolist() == [EXPECTED[5], EXPECTED[2]]


def test_a_column_that_is_not_there_is_missing(model: SimilarityPyfunc) -> None:
    scores = model.predict(FEATURES.to_pandas()[["id_hash"]])["score"]
    assert np.floor(10 * scores).tolist() == [3] * len(scores)


def test_an_example_shows_nobody() -> None:
    features = FEATURES.append_column("name", pa.array([f"Ann {place}" for place in range(len(FEATURES))]))
    example = make_example(features)
    assert example.schema == features.schema
    assert example.column("id_hash").to_pylist() == [0, 1, 2]
    assert example.column("state").to_pylist() == ["CA", "NV", None]
    incomes = FEATURES.column("income").drop_null().to_numpy()
    assert example.column("income").to_pylist() == np.quantile(incomes, [0.25, 0.5, 0.75], method="nearest").tolist()
    assert example.column("name").to_pylist() == [None, None, None]


def test_an_example_of_nothing_is_missing() -> None:
    example = make_example(FEATURES.slice(0, 0))
    assert example.column("income").to_pylist() == [None, None, None]


def test_a_trained_model_scores_frames_as_it_scores_feature_tables(tmp_path: Path) -> None:
    customers = draw_customers(5, 1_200)
    source = draw_source(customers, customers.find_lovers(0.2), 5)
    model = learn_similarity(take_sample(customers.table, source), Offer(FIELDS), AS_OF, "definition").model
    SavedScorer(model, make_example(customers.table.drop_columns(KEY))).save(tmp_path / "scorer.pickle")
    scores = _load_pyfunc(str(tmp_path / "scorer.pickle")).predict(customers.table.to_pandas())["score"]
    assert scores.tolist() == model.score(customers.table.combine_chunks().to_batches()[0]).to_pylist()
    assert scores.nunique() > 100
