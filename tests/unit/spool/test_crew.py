"""Threads that share work: order within a strand, help for those that wait, an end."""

import threading
import time
from collections.abc import Callable

from livereel.spool.crew import Crew, Strand


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_turns_of_a_strand_are_in_order_and_never_two_at_once() -> None:
    crew, inside, most, turns = Crew("test", 4), 0, 0, 0
    lock = threading.Lock()

    def turn() -> None:
        nonlocal inside, most, turns
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.0001)
        with lock:
            inside -= 1
            turns += 1

    strand = Strand(crew, turn)
    for _ in range(300):
        strand.poke()
    until(lambda: turns > 0 and inside == 0)
    before = turns
    strand.poke()  # whoever comes after a turn has begun gets another one
    until(lambda: turns > before)
    assert most == 1
    assert crew.close(30)


def test_a_stuck_strand_holds_up_nobody_else() -> None:
    crew, let_go, done = Crew("test", 1), threading.Event(), list[int]()
    stuck = [Strand(crew, lambda: let_go.wait(60) and None) for _ in range(3)]
    crew.put(strand for strand in stuck if strand.want())
    others = [Strand(crew, lambda number=number: done.append(number)) for number in range(5)]
    crew.put(strand for strand in others if strand.want())

    def helped() -> bool:
        crew.help()
        return len(done) == 5

    until(helped)
    assert crew.threads > len(stuck)  # one more, or several where that one was slow to begin
    assert not crew.close(0.01)
    let_go.set()
    assert crew.close(30)
    assert crew.threads == 0


def test_what_is_urgent_comes_first() -> None:
    crew, begun, let_go, order = Crew("test", 1), threading.Event(), threading.Event(), list[str]()
    Strand(crew, lambda: begun.set() or (let_go.wait(60) and None)).poke()
    assert begun.wait(30)
    for name in ("a", "b"):
        Strand(crew, lambda name=name: order.append(name)).poke()
    Strand(crew, lambda: order.append("urgent")).poke(urgent=True)
    let_go.set()
    until(lambda: len(order) == 3)
    assert order == ["urgent", "a", "b"]
    assert crew.close(30)


def test_there_are_never_more_threads_than_may_be() -> None:
    crew, let_go = Crew("test", 1, most=3), threading.Event()
    crew.put(strand for _ in range(10) if (strand := Strand(crew, lambda: let_go.wait(60) and None)).want())
    begun = time.monotonic()
    while time.monotonic() < begun + 1.2:
        assert crew.help()
        assert crew.threads <= 3
        time.sleep(0.02)
    let_go.set()
    until(lambda: not crew.help())
    assert crew.close(30)


def test_a_fault_in_one_strand_is_not_the_end_of_its_thread() -> None:
    crew, done = Crew("test", 1), threading.Event()

    def broken() -> None:
        raise ValueError("no")

    Strand(crew, broken).poke()
    Strand(crew, done.set).poke()
    assert done.wait(30)
    assert crew.close(30)
    Strand(crew, done.set).poke()  # it may be used again
    assert crew.close(30)
