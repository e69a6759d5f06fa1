"""The columns without torch are those of the metrics."""

from relight_eval.columns import known
from relight_eval.metrics import METRICS, Settings, columns


def test_known_are_those_of_all_metrics_with_the_usual_settings() -> None:
    assert tuple(known().values()) == columns(METRICS, Settings())


def test_known_follow_the_levels_of_a_table() -> None:
    four = columns(METRICS, Settings(wssim_levels=4))
    assert tuple(known(["image", *(column.name for column in four)]).values()) == four
