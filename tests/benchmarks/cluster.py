"""What Ray costs: the local engine against workers of a Ray on this machine, with as many processors."""

from __future__ import annotations

from tests.benchmarks.cases import LIGHT, Bench, Case
from tests.benchmarks.measure import Figure

# (engine, its workers, CPUs of each), and with how many threads of the local engine it is compared.
LOCAL = {1: ("local", 1, 1), 2: ("local", 1, 2)}
RAY = {("ray", 1, 1): 1, ("ray", 2, 1): 2, ("ray", 1, 2): 2}
BAR = {("ray", 1, 1), ("ray", 2, 1)}  # held to; the third tells how CPUs are best shared out

LARGE, SMALL = f"{LIGHT} by engine", "psnr by engine"


def engines(b: Bench) -> None:
    """The local engine against Ray with one worker and with two; start-up apart. (Memory: of the driver alone.)"""
    everyone = [*LOCAL.values(), *RAY]
    b.measure([_figure(b, "large", LARGE, LIGHT, who, 16, 80) for who in everyone])
    few, many = (50, 500) if b.quick else (500, 5000)
    b.measure([_figure(b, "small", SMALL, "psnr", who, few, many) for who in everyone])
    for figure in b.figures:
        if figure.task.options.get("engine") == "ray":
            figure.others = 0.0  # its workers are nobody's children, and look like other programs
    for who, threads in RAY.items():
        ray, local = b.find("small", SMALL, called(*who)), b.find("small", SMALL, called(*LOCAL[threads]))
        if ray is not None and local is not None:
            cost = 1000 * (ray.seconds - local.seconds)
            b.notes.append(f"{called(*who)}: {cost:+.3f} ms for a pair of {b.sets['small'].title}, psnr, beside local")


def _figure(b: Bench, data: str, stage: str, metrics: str, who: tuple[str, int, int], few: int, many: int) -> Figure:
    engine, workers, cpus = who
    return b.figure(
        data, stage, called(*who), "engine", few, many,
        warm=few, metrics=metrics, engine=engine, workers=workers, cpus=cpus,
    )  # fmt: skip


def called(engine: str, workers: int, cpus: int) -> str:
    each = f"{cpus} thread{'s' * (cpus > 1)}"
    return f"{engine}, {each}" if engine == "local" else f"ray, {workers} × {each}"


CASES: dict[str, Case] = {"ray": engines}
