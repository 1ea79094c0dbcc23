"""Jobs are never lost and never done twice; runs on SQLite, and on PostgreSQL where one is named.

DEEPPNEUMONIA_TEST_POSTGRES=postgresql://user@127.0.0.1:5433/test pytest tests/server
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from deeppneumonia.server.database import Database
from deeppneumonia.server.jobs import Claim, JobStore, Patience
from deeppneumonia.server.schema import JOBS, VERSION, SchemaError, migrate
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worklist import Job, State

QUICK = Patience(max_failures=2, max_crashes=2, backoff_s=0.05)
"""Its leases are long: a test that wants one to end has the time pass, see `later`."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'jobs.db'}"
    else:
        url = request.getfixturevalue("postgres")
    database = Database(Settings(database=url).database_url)
    migrate(database)
    yield database
    database.dispose()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, QUICK)


def submit(jobs: JobStore, number: int = 1, owner: str = "anna", content: str = "") -> Job:
    job, _ = jobs.submit(
        id=f"{number:032x}", owner=owner, source="rest", content=content or f"{number:064x}",
        size_bytes=10, files=1, label=f"study {number}",
    )  # fmt: skip
    return job


def claimed(jobs: JobStore, worker: str = "w") -> Claim:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        claim = jobs.claim(worker)
        if claim is not None:
            return claim
        time.sleep(0.02)
    raise AssertionError("no job was handed out")


def stands(jobs: JobStore, number: int = 1) -> Job:
    job = jobs.get(f"{number:032x}")
    assert job is not None
    return job


def test_a_job_goes_from_queue_to_answer(jobs: JobStore) -> None:
    submit(jobs)
    claim = claimed(jobs)
    assert jobs.finish(claim, status="diagnosed", diagnosis="covid", result=str(claim.fence))
    job = stands(jobs)
    assert (job.state, job.status, job.diagnosis, job.result) == (
        State.DONE, "diagnosed", "covid", str(claim.fence),
    )  # fmt: skip
    assert jobs.claim("w") is None


def test_jobs_are_handed_out_in_the_order_of_their_arrival(jobs: JobStore) -> None:
    for number in (3, 1, 2):
        submit(jobs, number)
    assert list(jobs.places([stands(jobs, 2)]).values()) == [3]
    assert [int(claimed(jobs).id, 16) for _ in range(3)] == [3, 1, 2]


def test_the_same_content_of_one_owner_is_one_job_and_of_two_owners_two(jobs: JobStore) -> None:
    first = submit(jobs, 1, content="same")
    again, is_new = jobs.submit(
        id=f"{2:032x}", owner="anna", source="page", content="same", size_bytes=10, files=1
    )
    assert (again.id, is_new) == (first.id, False)
    assert submit(jobs, 3, owner="bert", content="same").id != first.id


def test_whoever_lost_its_lease_cannot_answer_any_more(jobs: JobStore, database: Database) -> None:
    submit(jobs)
    slow = claimed(jobs, "slow")
    later(database, QUICK.lease_s + 1)
    quick = claimed(jobs, "quick")
    assert quick.fence == slow.fence + 1
    assert not jobs.heartbeat(slow)
    assert not jobs.finish(slow, status="diagnosed", diagnosis="covid", result="1")
    assert jobs.finish(quick, status="diagnosed", diagnosis="healthy", result="2")
    assert stands(jobs).diagnosis == "healthy"
    assert stands(jobs).crashes == 1


def later(database: Database, by_s: float) -> None:
    """Let this time pass, or set the clock by it: all that was written is as much older."""
    moments = (JOBS.c.submitted, JOBS.c.not_before, JOBS.c.lease_until, JOBS.c.started)
    with database.write() as connection:
        connection.execute(update(JOBS).values({moment: moment - by_s for moment in moments}))


@pytest.mark.parametrize("days", [400, -400])
def test_a_clock_that_jumps_neither_stops_the_queue_nor_loses_a_job(
    days: int, jobs: JobStore, database: Database
) -> None:
    submit(jobs, 1)
    broke_off = claimed(jobs, "killed")
    submit(jobs, 2)
    later(database, days * 86400.0)
    found = [claimed(jobs), claimed(jobs)]
    assert {int(claim.id, 16) for claim in found} == {1, 2}
    assert not jobs.finish(broke_off, status="refused", diagnosis=None, result="1")
    for claim in found:
        assert jobs.heartbeat(claim)
        assert jobs.finish(claim, status="diagnosed", diagnosis="healthy", result="2")
    assert [stands(jobs, number).state for number in (1, 2)] == [State.DONE] * 2


def test_a_heartbeat_keeps_the_lease(jobs: JobStore, database: Database) -> None:
    submit(jobs)
    claim = claimed(jobs)
    for _ in range(3):
        later(database, QUICK.lease_s / 2)
        assert jobs.claim("other") is None
        assert jobs.heartbeat(claim)
    later(database, QUICK.lease_s + 1)
    claimed(jobs, "other")
    assert not jobs.heartbeat(claim)


def test_failures_and_crashes_are_counted_apart(jobs: JobStore) -> None:
    submit(jobs)
    assert jobs.fail(claimed(jobs), "The disk is full.")
    assert (stands(jobs).failures, stands(jobs).crashes) == (1, 0)
    claimed(jobs, "killed")
    assert jobs.worker_is_gone("killed") == 1
    assert (stands(jobs).failures, stands(jobs).crashes) == (1, 1)
    assert stands(jobs).state is State.QUEUED


def test_a_retry_waits_longer_each_time(database: Database) -> None:
    jobs = JobStore(database, Patience(max_failures=5, backoff_s=100))
    submit(jobs)
    waits = []
    for _ in range(3):
        with database.write() as connection:
            connection.execute(update(JOBS).values(not_before=0))
        before = time.time()
        jobs.fail(claimed(jobs), "no")
        waits.append(stands(jobs).not_before - before)
    assert waits == pytest.approx([100, 200, 400], abs=10)


def test_a_job_that_keeps_failing_is_dead_seen_and_can_be_tried_again(jobs: JobStore) -> None:
    submit(jobs)
    for _ in range(QUICK.max_failures):
        jobs.fail(claimed(jobs), "The disk is full.")
    dead, total = jobs.list(state=State.DEAD)
    assert (total, dead[0].reason) == (1, "The disk is full.")
    assert jobs.claim("w") is None
    assert jobs.requeue(dead[0].id)
    assert claimed(jobs).id == dead[0].id
    assert stands(jobs).failures == 0


def test_a_study_that_kills_its_workers_is_dead_after_so_many(jobs: JobStore) -> None:
    submit(jobs)
    for _ in range(QUICK.max_crashes):
        claimed(jobs, "w")
        jobs.worker_is_gone("w")
    assert stands(jobs).state is State.DEAD
    assert stands(jobs).failures == 0


def test_a_cancelled_job_takes_no_answer(jobs: JobStore) -> None:
    submit(jobs)
    claim = claimed(jobs)
    assert jobs.cancel(claim.id)
    assert not jobs.finish(claim, status="diagnosed", diagnosis="covid", result="1")
    assert stands(jobs).state is State.CANCELLED
    assert not jobs.cancel(claim.id)


def test_finishing_twice_is_answered_the_same(jobs: JobStore) -> None:
    submit(jobs)
    claim = claimed(jobs)
    for _ in range(2):
        assert jobs.finish(claim, status="diagnosed", diagnosis="covid", result="1")


def test_a_job_given_back_is_no_crash(jobs: JobStore) -> None:
    submit(jobs)
    assert jobs.release(claimed(jobs))
    assert (stands(jobs).state, stands(jobs).crashes) == (State.QUEUED, 0)


def test_a_study_that_grows_waits_again_and_voids_what_was_begun(jobs: JobStore) -> None:
    submit(jobs)
    claim = claimed(jobs)
    assert jobs.extend(claim.id, measure=lambda: (10, 1), wait_s=0) is False
    assert jobs.extend("f" * 32, measure=lambda: (10, 1), wait_s=0) is None
    assert jobs.extend(claim.id, measure=lambda: (30, 3), wait_s=0)
    assert not jobs.finish(claim, status="diagnosed", diagnosis="covid", result="1")
    assert (stands(jobs).files, claimed(jobs).fence) == (3, claim.fence + 2)


def test_many_workers_at_once_share_without_overlap(database: Database) -> None:
    jobs = JobStore(database)
    for number in range(40):
        submit(jobs, number)
    taken: list[str] = []

    def work(name: str) -> None:
        while (claim := jobs.claim(name)) is not None:
            taken.append(claim.id)
            jobs.finish(claim, status="diagnosed", diagnosis=None, result="1")

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"{number:032x}" for number in range(40))


def test_the_worklist_searches_filters_and_counts(jobs: JobStore) -> None:
    for number in (1, 2, 3):
        submit(jobs, number, owner="anna" if number < 3 else "bert")
    jobs.cancel(f"{1:032x}")
    assert jobs.list(owner="anna")[1] == 2
    assert jobs.list(state=State.CANCELLED)[0][0].label == "study 1"
    assert [job.label for job in jobs.list(search="STUDY 3")[0]] == ["study 3"]
    assert jobs.list(search="100%")[1] == 0
    assert jobs.list(limit=1, offset=1)[0][0].label == "study 2"
    assert jobs.counts("anna") == {**dict.fromkeys(State, 0), State.QUEUED: 1, State.CANCELLED: 1}


def test_a_database_from_the_future_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(VERSION).values(version=99))
    with pytest.raises(SchemaError, match="version 99, this software knows"):
        migrate(database)


def test_the_audit_log_cannot_be_changed_and_shows_what_was(database: Database) -> None:
    from deeppneumonia.server.audit import AuditLog

    log = AuditLog(database)
    for name in ("one", "two", "three"):
        log.write("anna", "read", name)
    assert log.first_break() is None
    for verb in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
            connection.execute(text(verb))
    with database.write() as connection:  # as somebody would who owns the database
        drop = "DROP TRIGGER audit_no_update" if database.is_sqlite else (
            "DROP TRIGGER audit_no_change ON audit"
        )  # fmt: skip
        connection.execute(text(drop))
        connection.execute(text("UPDATE audit SET actor = 'bert' WHERE number = 2"))
    assert log.first_break() == 2


def test_any_text_can_be_kept_and_none_stands_in_an_error(
    database: Database, jobs: JobStore
) -> None:
    submit(jobs)
    claim = claimed(jobs)
    assert jobs.fail(claim, "Muster\0mann")
    assert "mann" in str(stands(jobs).reason)
    assert jobs.list(search="study\0")[1] in (0, 1)
    assert database.engine.hide_parameters
