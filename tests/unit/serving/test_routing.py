"""New requests go to the newest version that the engine has now, not to what an earlier instance of it had."""

from schemas.events import PolicyLoaded
from serving.routing import Route, Routes


def loaded(version: int, engine: str) -> PolicyLoaded:
    return PolicyLoaded(
        id=f"{engine}-{version}",
        time_ms=0,
        policy="p",
        version=version,
        checkpoint_id=f"c{version}" if version else "",
        engine=engine,
        adapter=f"p@{version}" if version else "",
        load_ms=1,
    )


def routes_after(*reloads: PolicyLoaded) -> Routes:
    routes = Routes("p")
    for reload in reloads:
        routes.apply(reload)
    return routes


def test_within_one_engine_instance_versions_only_grow() -> None:
    assert routes_after(loaded(3, "a"), loaded(2, "a")).versions == {"p": 3}


def test_what_a_restarted_engine_has_is_where_requests_go() -> None:
    assert routes_after(loaded(3, "a"), loaded(2, "b")).versions == {"p": 2}
    assert routes_after(loaded(3, "a"), loaded(2, "b"), loaded(3, "b")).versions == {"p": 3}


def test_a_restarted_engine_that_took_nothing_serves_its_base_model() -> None:
    assert routes_after(loaded(3, "a"), loaded(0, "b")).current("p") == Route(policy="p", version=0, adapter=None)


def test_reading_the_reloads_again_from_the_first_changes_nothing_on_the_way() -> None:
    reloads = [loaded(1, "a"), loaded(3, "a"), loaded(2, "b"), loaded(1, "b")]
    routes = routes_after(*reloads)
    for reload in reloads:
        routes.apply(reload)
        assert routes.versions == {"p": 2}
