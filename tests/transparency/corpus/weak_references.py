"""Weak references: they lead to the same objects wherever a cell runs."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a weak reference leads to what is named",
        "import weakref\nclass W: pass\nw = W(); w.n = 1\nr = weakref.ref(w)",
        "r().n += 1\nr() is w, r is weakref.ref(w)",
        "w.n, r() is w",
    ),
    scenario(
        "a child knows its parent weakly",
        """
        import weakref
        class Node:
            def __init__(self, parent=None):
                self.parent = parent and weakref.ref(parent)
                self.children = []
            def add(self):
                self.children.append(Node(self))
                return self.children[-1]
        root = Node()
        leaf = root.add().add()
        """,
        "leaf.parent().add()\nlen(leaf.parent().children)",
        "root.children[0] is leaf.parent(), len(root.children[0].children)",
    ),
    scenario(
        "a proxy stands for what is named",
        "import weakref\nclass W: pass\nw = W(); w.n = 1\np = weakref.proxy(w)",
        "p.n += 1\np.n",
        "w.n, p.n",
    ),
    scenario(
        "a weak method is called on its instance",
        "import weakref\nclass W:\n    n = 0\n    def grow(self):\n        self.n += 1\n        return self.n\nw = W()\n"
        "m = weakref.WeakMethod(w.grow)",
        "m()()",
        "m()(), w.n, m().__self__ is w",
    ),
    scenario(
        "a dead reference stays dead",
        "import weakref\nclass W: pass\nr = weakref.ref(W())",
        "r() is None",
        "s = r\ns() is None, s is r",
    ),
    scenario(
        "handlers are kept weakly and called",
        "import weakref\nclass Signal:\n    def __init__(self): self.handlers = []\n"
        "    def connect(self, method): self.handlers.append(weakref.WeakMethod(method))\n"
        "    def send(self, value):\n        for each in self.handlers:\n            each()(value)\n"
        "class View:\n    def __init__(self, signal): self.seen = []; signal.connect(self.update)\n"
        "    def update(self, value): self.seen.append(value)\nsignal = Signal(); view = View(signal)",
        "signal.send(1); other = View(signal)",
        "signal.send(2); view.seen, other.seen",
    ),
    scenario(
        "a subclass of ref has a key",
        """
        import weakref
        class Keyed(weakref.ref):
            __slots__ = ('key',)
            def __new__(cls, obj, key):
                return super().__new__(cls, obj)
            def __init__(self, obj, key):
                super().__init__(obj)
                self.key = key
        class W: pass
        w = W(); k = Keyed(w, 'a')
        """,
        "k.key, k() is w",
        "k.key, k() is w, type(k).__name__",
    ),
]
