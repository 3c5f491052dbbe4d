from __future__ import annotations

import trio
import trio.testing

from ringmaster.bus import Bus, Lagged, Wakeup


async def test_each_subscriber_gets_what_it_wants_in_order():
    bus = Bus[int]()
    with bus.open_subscription() as every, bus.open_subscription(lambda n: n % 2 == 0) as even:
        bus.publish([1, 2, 3])
        bus.publish([4])
        assert await every.receive_batch() == [1, 2, 3, 4]
        assert [await anext(even), await anext(even)] == [2, 4]


async def test_only_what_is_published_while_subscribed_arrives():
    bus = Bus[int]()
    bus.publish([1])
    with bus.open_subscription() as subscription:
        bus.publish([2])
    bus.publish([3])
    assert await subscription.receive_batch() == [2]


async def test_a_slow_subscriber_is_told_what_it_missed_and_holds_nobody_up():
    bus = Bus[int]()
    with bus.open_subscription(capacity=3) as slow, bus.open_subscription() as fast:
        for number in range(6):
            bus.publish([number])
        assert [await anext(slow), await anext(slow), await anext(slow)] == [Lagged(4), 4, 5]
        assert await fast.receive_batch() == [0, 1, 2, 3, 4, 5]


async def test_a_message_too_many_at_once_is_never_dropped_in_silence():
    bus = Bus[int]()
    with bus.open_subscription(capacity=2) as slow:
        bus.publish([1, 2, 3])
        assert await slow.receive_batch() == [Lagged(3)]
        bus.publish([4])
        assert await slow.receive_batch() == [4]


async def test_a_waiting_reader_wakes_and_a_cancelled_one_loses_nothing(
    autojump_clock: trio.testing.MockClock,
):
    bus = Bus[int]()
    received: list[int | Lagged] = []

    async def read() -> None:
        async for message in subscription:
            received.append(message)

    with bus.open_subscription() as subscription:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            bus.publish([1, 2])
            await trio.testing.wait_all_tasks_blocked()
            assert received == [1, 2]
            nursery.cancel_scope.cancel()
            bus.publish([3])
        with trio.fail_after(1):
            assert await subscription.receive_batch() == [3]


async def test_a_batch_leaves_no_wake_up_for_nothing(autojump_clock: trio.testing.MockClock):
    bus = Bus[int]()
    with bus.open_subscription() as subscription:
        bus.publish([1])
        bus.publish([2])
        assert await subscription.receive_batch() == [1, 2]
        with trio.move_on_after(1) as scope:
            await subscription.receive_batch()
        assert scope.cancelled_caught


async def test_a_wake_up_is_remembered_and_coalesced(autojump_clock: trio.testing.MockClock):
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    await wakeup.wait()
    with trio.move_on_after(1) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught


async def test_a_cancelled_wait_leaves_the_wake_up(autojump_clock: trio.testing.MockClock):
    wakeup = Wakeup()
    wakeup.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await wakeup.wait()
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await wakeup.wait()
