"""An explanation is the served list, and its parts are the whole score."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.explain import explain
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.serving.test_recommend import happened, ranker, recent_events, wanted
from tests.small_shop import MEMBERS, PRODUCTS

__all__ = ["ranker"]
ROUNDING = 0.005
"""float16 and the kernel's float32"""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(member=st.sampled_from([*MEMBERS, "a stranger", None]), recent=recent_events)
def test_the_parts_add_up_to_the_served_score(ranker: Ranker, member, recent) -> None:
    asked = wanted(member, limit=20)
    explained = explain(ranker, asked, recent)
    assert [item for item, _ in explained] == recommend(ranker, asked, recent)
    for item, parts in explained:
        whole = parts.standing + parts.clock + parts.session
        assert abs(whole - item.score) < ROUNDING * max(1, abs(item.score))
        assert 0 < parts.chance < 1


def test_an_event_is_told_apart_from_the_model(ranker: Ranker) -> None:
    asked = wanted(MEMBERS[0], limit=20)
    assert not any(parts.session for _, parts in explain(ranker, asked, []))
    seen = [happened("view", product) for product in PRODUCTS[:5]]
    assert any(parts.session for _, parts in explain(ranker, asked, seen))
