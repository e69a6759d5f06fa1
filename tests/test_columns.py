"""The columns without torch are those of the metrics."""

from relight_eval.alignment import ALIGNMENTS
from relight_eval.columns import REGIONS, known
from relight_eval.metrics import METRICS, Settings, columns
from relight_eval.results import Column

EVERYTHING = Settings(input=True, align="affine", regions=True)  # affine fits gain and offset


def by_name(*found: tuple[Column, ...]) -> dict[str, Column]:
    return {column.name: column for of in found for column in of}


def test_known_are_those_of_all_metrics_with_the_usual_settings() -> None:
    assert known() == by_name(columns(METRICS, EVERYTHING))
    of_metrics = columns(METRICS, Settings(input=True))
    assert tuple(known().values())[: len(of_metrics)] == of_metrics


def test_known_follow_the_levels_of_a_table() -> None:
    four = columns(METRICS, Settings(wssim_levels=4, input=True, align="affine", regions=True))
    assert known(["image", *(column.name for column in four)]) == by_name(four)


def test_every_alignment_has_known_columns() -> None:
    for kind in ALIGNMENTS:
        assert by_name(columns(METRICS, Settings(align=kind))).items() <= known().items()


def test_input_adds_two_columns_and_changes_none() -> None:
    without, beside = (by_name(columns(METRICS, Settings(input=given))) for given in (False, True))
    assert without.items() <= beside.items()
    assert set(beside) - set(without) == {"shadow_baked", "copy_ratio"}


def test_an_aligned_column_is_the_raw_one_under_another_name() -> None:
    for name, raw in known().items():
        if (aligned := known().get(f"{name}_aligned")) is not None:
            assert raw.main
            assert aligned.main
            assert (aligned.metric, aligned.better, aligned.unit) == (raw.metric, raw.better, raw.unit)
            assert (aligned.low, aligned.high, aligned.identical) == (raw.low, raw.high, raw.identical)
            assert not aligned.optional
    assert [name for name, column in known().items() if column.main] == [
        *(name for name in METRICS if name != "diagnosis"),
        *(f"{name}_aligned" for name in METRICS if name != "diagnosis"),
    ]


def test_of_a_region_a_score_is_optional_and_no_main_one() -> None:
    regional = {name: c for name, c in known().items() if name.endswith(tuple(f"_{region}" for region in REGIONS))}
    assert len(regional) == 9
    assert all(column.optional and not column.main for column in regional.values())


def test_goodness_is_the_larger_the_better() -> None:
    here = known()
    assert here["psnr"].goodness(30) > here["psnr"].goodness(20)
    assert here["lpips"].goodness(0.1) > here["lpips"].goodness(0.2)
    assert here["ev_error"].goodness(0.1) == here["ev_error"].goodness(-0.1) > here["ev_error"].goodness(-0.2)
    assert here["gain_r"].goodness(1) > here["gain_r"].goodness(1.2) == -0.19999999999999996
    assert str(here["local_x"].goodness(3)) == "nan"
