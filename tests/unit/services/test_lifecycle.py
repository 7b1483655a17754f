import asyncio

import pytest

from tracestore.services.lifecycle import State, Supervisor


class Recorder:
    """A service that writes down what happens to it."""

    def __init__(self, name: str, happened: list[str], *, fails_in: str = "") -> None:
        self.name = name
        self._happened = happened
        self._fails_in = fails_in

    async def _step(self, step: str) -> None:
        self._happened.append(f"{step} {self.name}")
        if step == self._fails_in:
            raise ValueError(f"{self.name} failed in {step}")

    async def start(self) -> None:
        await self._step("start")

    async def run(self) -> None:
        await self._step("run")
        if self._fails_in != "return":
            await asyncio.Event().wait()

    async def drain(self) -> None:
        await self._step("drain")


def run(*services: Recorder) -> Supervisor:
    supervisor = Supervisor(services)
    stop = asyncio.Event()

    async def main() -> None:
        await supervisor.run_until(stop, on_started=stop.set)

    asyncio.run(main())
    return supervisor


def test_services_start_in_order_and_drain_in_reverse() -> None:
    happened: list[str] = []

    supervisor = run(Recorder("a", happened), Recorder("b", happened))

    assert [h for h in happened if not h.startswith("run")] == [
        "start a",
        "start b",
        "drain b",
        "drain a",
    ]
    assert supervisor.states == {"a": State.TERMINATED, "b": State.TERMINATED}
    assert supervisor.stopping
    assert not supervisor.ready


@pytest.mark.parametrize("step", ["start", "run"])
def test_one_failure_ends_all_and_the_others_are_drained(step: str) -> None:
    happened: list[str] = []

    with pytest.raises(ValueError, match=f"b failed in {step}"):
        run(Recorder("a", happened), Recorder("b", happened, fails_in=step))

    assert happened[-1] == "drain a"


def test_a_service_that_returns_has_failed() -> None:
    with pytest.raises(RuntimeError, match="service a ended by itself"):
        run(Recorder("a", [], fails_in="return"))


def test_a_bad_drain_does_not_keep_the_others_from_theirs() -> None:
    happened: list[str] = []

    with pytest.raises(ExceptionGroup, match="did not drain"):
        run(Recorder("a", happened), Recorder("b", happened, fails_in="drain"))

    assert happened[-1] == "drain a"
