"""Values of the standard library: each as itself, with its position, its identity and what it looks at."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "dates, times and differences",
        "from datetime import date, datetime, time, timedelta, timezone\nd = datetime(2024, 2, 29, 12, 30, 0, 5); same = d",
        "later = d + timedelta(days=1, hours=2); day = d.date()",
        "d, later - d, day, time(1, 2, fold=1).fold, same is d, later.replace(tzinfo=timezone(timedelta(hours=2), 'X'))",
    ),
    scenario(
        "a time zone is the same one for two times",
        """
        from datetime import datetime, timezone
        from zoneinfo import ZoneInfo
        z = ZoneInfo('UTC'); a = datetime(2024, 1, 1, tzinfo=z)
        """,
        "b = a.replace(hour=5)",
        "b.tzinfo is z, a.tzinfo is b.tzinfo, ZoneInfo('UTC') is z, timezone.utc is a.astimezone(timezone.utc).tzinfo",
    ),
    scenario(
        "decimals keep their exponent and sign",
        "from decimal import Decimal\na = Decimal('1.10'); z = Decimal('-0'); nan = Decimal('NaN')",
        "b = a + Decimal('2.200'); a *= 2",
        "a, b, z, nan, b.as_tuple(), a == Decimal('2.2')",
    ),
    scenario(
        "fractions",
        "from fractions import Fraction\na = Fraction(6, 4)",
        "b = a + 1; a **= 2",
        "a, b, sorted([b, a, 1]), float(a)",
    ),
    scenario(
        "complex, huge and special numbers",
        "c = 1 - 2j; big = 10**40; inf = float('inf'); neg = -0.0",
        "c *= 1j; big += 1; nan = inf - inf",
        "c, big, nan, neg, nan == nan",
    ),
    scenario(
        "paths",
        "from pathlib import Path, PurePosixPath, PureWindowsPath\np = Path('/srv/data') / 'a.tar.gz'; seen = {p: [1]}",
        "q = p.with_suffix('.xz'); seen[Path('/srv/data/a.tar.gz')].append(2)",
        "q.name, q.parent, p.suffixes, seen, PureWindowsPath('C:\\\\x').drive, q.relative_to('/srv')",
    ),
    scenario(
        "a compiled pattern and its matches",
        "import re\npat = re.compile(r'(?P<k>\\w+)=(?P<v>\\d+)', re.I); alias = pat",
        "found = pat.findall('a=1 b=22'); last = [m.groupdict() for m in pat.finditer('a=1 b=22')][-1]",
        "pat = re.compile('x')",
        "found, last, alias.flags & re.I, alias is pat, re.compile('x') is pat",
    ),
    scenario(
        "a match that is used in its cell",
        "import re\ntext = 'key: value'",
        "m = re.match(r'(\\w+): (\\w+)', text); k, v = m.groups(); span = m.span(2); del m",
        "k, v, span",
    ),
    scenario(
        "uuids",
        "import uuid\nu = uuid.UUID(int=5); d = {u: 'five'}",
        "d[uuid.UUID(int=6)] = u",
        "d, d[uuid.UUID(int=5)], u.hex[-2:]",
    ),
    scenario(
        "array.array grows and is seen by its other name",
        "from array import array\na = array('i', [1, 2]); b = a; f = array('d')",
        "a.append(3); f.extend([0.5, 1.5])",
        "a[0] = 9; f.pop(0)",
        "b, b is a, f, a.itemsize",
    ),
    scenario(
        "a StringIO with its position",
        "import io\ns = io.StringIO('line 1\\nline 2\\nline 3\\n'); other = s",
        "first = s.readline()",
        "second = s.readline(); where = s.tell()",
        "first, second, where, s.read(), other is s",
    ),
    scenario(
        "a StringIO is written over cells and truncated",
        "import io\ns = io.StringIO()",
        "print('a', 1, file=s)",
        "s.write('b'); s.seek(2); s.write('X')",
        "s.getvalue(), s.tell()",
        "s.seek(0); s.truncate(1)",
        "s.getvalue(), s.closed",
    ),
    scenario(
        "a BytesIO with its position, and one that is closed",
        "import io\nb = io.BytesIO(b'abcdef'); shut = io.BytesIO(b'x'); shut.close()",
        "head = b.read(2)",
        "b.write(b'ZZ'); shut.closed",
        "head, b.tell(), b.getvalue(), b.read()",
    ),
    scenario(
        "files in memory of csv, json and zip",
        "import csv, io, json, zipfile\nout = io.StringIO(); raw = io.BytesIO()",
        "csv.writer(out, lineterminator='\\n').writerows([['a', 'b'], [1, 'x,y']])",
        "with zipfile.ZipFile(raw, 'w') as z: z.writestr(zipfile.ZipInfo('a.json'), json.dumps({'k': [1]}))",
        """
        with zipfile.ZipFile(raw) as z: back = json.loads(z.read('a.json'))
        out.getvalue(), back, list(csv.reader(io.StringIO(out.getvalue())))
        """,
        own=("z",),
    ),
    scenario(
        "a SimpleNamespace nested and changed",
        "from types import SimpleNamespace\ncfg = SimpleNamespace(lr=0.1, net=SimpleNamespace(depth=2)); net = cfg.net",
        "cfg.net.depth += 1; cfg.tags = [net]",
        "net.depth, cfg.tags[0] is net, cfg",
    ),
    scenario(
        "a MappingProxyType looks at its dict",
        "from types import MappingProxyType\nd = {'a': 1}; view = MappingProxyType(d)",
        "d['b'] = 2",
        "view['b'], len(view)",
        "view['c'] = 3",
        "dict(view)",
    ),
    scenario(
        "slices and Ellipsis and NotImplemented",
        "s = slice(1, None, 2); e = ...; n = NotImplemented; xs = list(range(6))",
        "xs[s], e is Ellipsis, n is NotImplemented",
        "t = [s, e, n]",
        "t[0] is s, s.indices(6), t[1] is ...",
    ),
    scenario(
        "a list iterator goes on",
        "xs = [1, 2, 3]; it = iter(xs)",
        "next(it)",
        "xs.append(4); next(it)",
        "list(it)",
        "next(it, 'over')",
    ),
    scenario(
        "iterators of a tuple, a str and a range",
        "a, b, c = iter((1, 2)), iter('xyz'), iter(range(10))",
        "next(a), next(b), next(c)",
        "next(c); same = c",
        "list(a), list(b), next(same), same is c",
    ),
    scenario(
        "iterators of a dict and a set in their cell",
        "d = {'a': 1, 'b': 2}",
        "it = iter(d.items()); pair = next(it); rest = list(it); del it",
        "pair, rest",
    ),
    scenario("enumerate goes on with its count", "e = enumerate('abcd', start=10)", "next(e)", "next(e)", "list(e)"),
    scenario(
        "zip goes on and shares its sources",
        "src = iter([1, 2, 3, 4]); z = zip(src, 'ab')",
        "next(z)",
        "next(src)",
        "list(z), list(src)",
    ),
    scenario(
        "map and filter go on",
        "xs = [1, 2, 3, 4]; m = map(str, xs); f = filter(None, [0, 1, 2])",
        "next(m), next(f)",
        "xs.append(5); next(m)",
        "list(m), list(f)",
    ),
    scenario(
        "map over a function of the notebook",
        "def f(x): return x * k\nk = 2; m = map(f, [1, 2, 3])",
        "next(m)",
        "k = 100",
        "list(m)",
    ),
    scenario(
        "itertools.count goes on",
        "import itertools\nids = itertools.count(5, 2); gives = ids",
        "next(ids)",
        "[next(gives) for _ in range(2)]",
        "next(ids), ids is gives",
    ),
    scenario(
        "itertools.cycle, chain and islice go on",
        "from itertools import chain, cycle, islice\nc = cycle('ab'); ch = chain([1], [2, 3])",
        "next(c), next(ch)",
        "next(c), next(c), next(ch)",
        "list(ch), list(islice(c, 3))",
    ),
    scenario(
        "itertools.tee gives two that share",
        "import itertools\na, b = itertools.tee([1, 2, 3])",
        "next(a), next(a)",
        "list(b), list(a)",
    ),
    scenario(
        "products and permutations are listed",
        "from itertools import combinations, groupby, product\nxs = 'ab'",
        "list(product(xs, repeat=2)), list(combinations('abc', 2))",
        "{k: list(g) for k, g in groupby([1, 1, 2], key=lambda v: v > 1)}",
    ),
    scenario("ranges", "r = range(2, 20, 3); q = r", "r[2], 8 in r, r[1:3]", "q is r, list(r)[-1], r == range(2, 18, 3)"),
    scenario(
        "dict views follow their dict",
        "d = {'a': 1}; ks, vs, its = d.keys(), d.values(), d.items()",
        "d['b'] = 2",
        "list(ks), list(vs), list(its), ks & {'a'}",
        "del d['a']",
        "list(ks), len(its), ks.mapping == d",
    ),
    scenario(
        "bytes, bytearray and a memoryview in its cell",
        "b = b'\\x00\\xff'; ba = bytearray(b); alias = ba",
        "v = memoryview(ba); v[0] = 7; v.release(); del v",
        "ba.extend(b'!')",
        "b, alias, alias is ba",
    ),
    scenario(
        "a template, a translation table and text helpers",
        "import string, textwrap\nt = string.Template('$who likes $what'); table = str.maketrans('ab', 'xy')",
        "t.substitute(who='A', what='b'), 'aabb'.translate(table)",
        "textwrap.wrap('one two three', 8), t.template",
    ),
    scenario(
        "ip addresses and version-like values",
        "import ipaddress\nnet = ipaddress.ip_network('10.0.0.0/30')",
        "hosts = list(net.hosts())",
        "hosts[0] in net, hosts, net.num_addresses",
    ),
    scenario(
        "a random generator of one's own goes on",
        "import random\nr = random.Random(7); same = r",
        "a = [r.random() for _ in range(2)]",
        "b = same.randint(1, 100)",
        "same is r, b, a, r.random()",
    ),
    scenario(
        "a hash object in its cell",
        "import hashlib\ndata = b'abc'",
        "h = hashlib.sha256(data); digest = h.hexdigest(); del h",
        "digest[:8]",
    ),
    scenario(
        "a queue without threads is a deque and a priority list",
        "import heapq\nfrom collections import deque\nq = deque([1]); h = []",
        "q.append(2); heapq.heappush(h, (2, 'b')); heapq.heappush(h, (1, 'a'))",
        "q.popleft(), heapq.heappop(h)",
        "q, h",
    ),
    scenario(
        "an ElementTree is changed in place",
        "import xml.etree.ElementTree as ET\nroot = ET.fromstring('<a><b n=\"1\"/></a>'); b = root[0]",
        "b.set('n', '2'); ET.SubElement(root, 'c').text = 't'",
        "ET.tostring(root), root[0] is b, len(root)",
    ),
    scenario(
        "an argparse namespace and a config parser",
        "import argparse, configparser\nns = argparse.Namespace(x=[1]); cp = configparser.ConfigParser()",
        "ns.x.append(2); cp.read_string('[s]\\nk = v')",
        "cp['s']['n'] = '5'",
        "ns, cp['s']['k'], dict(cp['s'])",
    ),
]
