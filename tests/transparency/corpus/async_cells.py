"""Cells that await: top-level await, async for and with, tasks that end in their cell, what they leave."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "await at the top of a cell",
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return [x]",
        "r = await f(1)",
        "r.append(await f(2))",
        "r",
    ),
    scenario("the last expression is an await", "async def f(): return {'a': 1}", "await f()", "_['a']", "(await f(),)"),
    scenario(
        "gather keeps the order",
        "import asyncio\nlog = []\nasync def step(n, delay):\n    await asyncio.sleep(delay)\n    log.append(n)\n    return n",
        "rs = await asyncio.gather(step('slow', 0.02), step('fast', 0))",
        "rs, log",
    ),
    scenario(
        "gather returns exceptions",
        "import asyncio\nasync def f(n):\n    if n == 1: raise ValueError(n)\n    return n",
        "rs = await asyncio.gather(f(0), f(1), return_exceptions=True)",
        "rs[0], type(rs[1]), rs[1].args",
        "await asyncio.gather(f(0), f(1))",
    ),
    scenario(
        "an uncaught error in a coroutine",
        "done = []\nasync def f():\n    done.append('began')\n    raise KeyError('inside')",
        "await f()\ndone.append('never')",
        "done",
    ),
    scenario(
        "an error that is caught around an await",
        "async def f(): return 1 / 0",
        "try: await f()\nexcept ZeroDivisionError: caught = True\nfinally: ended = True",
        "caught, ended",
    ),
    scenario(
        "async for at the top of a cell",
        "async def up(n):\n    for i in range(n): yield i",
        "seen = []\nasync for i in up(3): seen.append(i)\nelse: seen.append('end')",
        "seen, i",
    ),
    scenario(
        "async with at the top of a cell",
        """
        log = []
        class Conn:
            async def __aenter__(self): log.append('open'); return self
            async def __aexit__(self, *e): log.append(f'close {e[0] and e[0].__name__}'); return e[0] is KeyError
        """,
        "async with Conn() as c: log.append('in')",
        "async with Conn(): {}['k']",
        "async with Conn(): 1 / 0",
        "log, type(c) is Conn",
    ),
    scenario(
        "asynccontextmanager",
        """
        from contextlib import asynccontextmanager
        @asynccontextmanager
        async def span(log):
            log.append('+'); yield log; log.append('-')
        """,
        "log = []\nasync with span(log) as same: same.append('x')",
        "log, same is log",
    ),
    scenario(
        "comprehensions that await",
        "async def f(x): return x * k\nasync def gen():\n    yield 1\n    yield 2\nk = 3",
        "a = [await f(x) for x in range(3)]; b = {x: await f(x) async for x in gen()}",
        "k = 10",
        "a, b, [await f(x) async for x in gen() if x > 1]",
    ),
    scenario(
        "a task that ends in its cell",
        """
        import asyncio
        log = []
        async def work(n):
            for i in range(n):
                log.append(i)
                await asyncio.sleep(0)
            return 'done'
        """,
        "t = asyncio.create_task(work(3)); r = await t; del t",
        "r, log",
    ),
    scenario(
        "a task that is cancelled in its cell",
        """
        import asyncio
        log = []
        async def wait():
            try: await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.append('cancelled')
                raise
        """,
        """
        t = asyncio.create_task(wait()); await asyncio.sleep(0); t.cancel()
        try: await t
        except asyncio.CancelledError: log.append('seen')
        del t
        """,
        "log",
    ),
    scenario(
        "wait_for runs out of time",
        "import asyncio\nslow = 30",
        "try: await asyncio.wait_for(asyncio.sleep(slow), 0.01)\nexcept asyncio.TimeoutError: late = True",
        "late",
    ),
    scenario(
        "an asyncio queue within one cell",
        "import asyncio\nout = []",
        """
        async def main():
            q = asyncio.Queue()
            async def put():
                for i in range(3): await q.put(i)
                await q.put(None)
            async def get():
                while (x := await q.get()) is not None: out.append(x)
            await asyncio.gather(put(), get())
        """,
        "await main()",
        "out",
    ),
    scenario(
        "an asyncio lock and event made where they are used",
        """
        import asyncio
        order = []
        async def go(n, lock):
            async with lock:
                order.append(n)
                await asyncio.sleep(0)
                order.append(-n)
        """,
        "await asyncio.gather(*(go(n, lock) for lock in [asyncio.Lock()] for n in (1, 2)))",
        "order",
    ),
    scenario(
        "an object with __await__",
        """
        class Later:
            def __init__(self, v): self.v = v; self.n = 0
            def __await__(self):
                self.n += 1
                yield from ()
                return self.v
        l = Later([1])
        """,
        "r = await l",
        "(await l) is r",
        "l.n, l.v is r",
    ),
    scenario(
        "an async iterator class goes on",
        """
        class Up:
            def __init__(self): self.n = 0
            def __aiter__(self): return self
            async def __anext__(self):
                if self.n == 4: raise StopAsyncIteration
                self.n += 1
                return self.n
        up = Up()
        """,
        "await anext(up)",
        "async for x in up:\n    if x == 3: break",
        "[x async for x in up], x",
    ),
    scenario(
        "an async method and an async lambda by hand",
        """
        import asyncio
        class S:
            total = 0
            async def add(self, x):
                await asyncio.sleep(0)
                self.total += x
                return self
        s = S()
        """,
        "(await s.add(2)) is s",
        "await (await s.add(3)).add(5)\ns.total",
        "S.total",
    ),
    scenario(
        "prints come in the order in which tasks run",
        "import asyncio\nasync def say(w):\n    for i in range(2):\n        print(w, i)\n        await asyncio.sleep(0)",
        "await asyncio.gather(say('a'), say('b'));",
        "print('end')",
    ),
    scenario(
        "work in a thread is awaited",
        "import asyncio\ndef add(a, b): return a + b",
        "r = await asyncio.to_thread(add, 2, 3)",
        "r",
        "await asyncio.get_running_loop().run_in_executor(None, add, 'x', 'y')",
    ),
    scenario(
        "asyncio.run in a cell",
        "import asyncio\nasync def f(): return 1",
        "told = 'ran'; c = f()\ntry: asyncio.run(c)\nexcept RuntimeError as e: told = str(e); c.close()\ndel c",
        "told",
    ),
    scenario(
        "a task group",
        "import asyncio, sys\nout = []\nasync def f(n): out.append(n)",
        """
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as tg:
                for n in range(3): tg.create_task(f(n))
            del tg
        """,
        "out == ([0, 1, 2] if sys.version_info >= (3, 11) else [])",
    ),
    scenario(
        "what a cell sets before and after its await",
        "x = [0]\nasync def f(): return x[0]",
        "x[0] = 1; a = await f(); x[0] = 2; b = await f()",
        "a, b, x",
    ),
    scenario(
        "a module of an async library is asked",
        "import inspect\nasync def f(): pass\nasync def g():\n    yield 1\ndef h(): pass",
        "[inspect.iscoroutinefunction(k) for k in (f, g, h)], inspect.isasyncgenfunction(g)",
        "f.__code__.co_flags & inspect.CO_COROUTINE > 0",
    ),
    scenario("%autoawait is on", "x = 1", "%autoawait", "x"),
]
