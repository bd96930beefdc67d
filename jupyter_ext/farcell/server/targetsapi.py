"""Targets over REST: listed, defined, replaced, taken out, in the file that the command line writes too (`targetsfile`)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .. import targetsfile
from ..errors import UsageError
from ..targets import BUILTIN, Targets, user_file
from ..targets import Fault as TargetFault
from .faults import Fault, unknown
from .form import INFINITE, infinite_keys, target_schema
from .observatory import Observatory
from .schemas import FieldProblem, NewTarget, TargetDetail, TargetKeys, TargetList, TargetSchema

T = TypeVar("T")
There = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
Aside = Callable[[Callable[[], Any]], Awaitable[Any]]


class TargetsApi:
    def __init__(self, observatory: Observatory, there: There, aside: Aside) -> None:
        self._observatory, self._there, self._aside = observatory, there, aside

    async def listed(self) -> TargetList:
        async def look() -> TargetList:
            (targets, _), snapshot = self._observatory.targets, self._observatory.fresh()
            return TargetList(
                default=targets.default,
                currency=targets.currency,
                file=str(user_file()),
                targets=snapshot.targets,
                problems=snapshot.target_problems,
            )

        found: TargetList = await self._there(look())
        return found

    async def schema(self) -> TargetSchema:
        return target_schema()

    async def detail(self, name: str) -> TargetDetail:
        listed = await self.listed()
        face = next((each for each in listed.targets if each.name == name), None)
        if face is None:
            raise unknown(f"There is no target {name!r}. Known: {', '.join(each.name for each in listed.targets)}.")
        file = face.file
        found = await self._aside(lambda: targetsfile.table(Path(file), name)) if file is not None else None
        keys, text = found or ({}, None)
        return TargetDetail(**dict(face), keys=_to_json(keys), text=text)

    async def add(self, asked: NewTarget) -> TargetDetail:
        await self._put(asked.name, asked, is_new=True)
        return await self.detail(asked.name)

    async def replace(self, name: str, asked: TargetKeys) -> TargetDetail:
        """Also of one that another file defines: one's own goes before it."""
        await self.detail(name)
        await self._put(name, asked, is_new=False)
        return await self.detail(name)

    async def remove(self, name: str) -> None:
        face = await self.detail(name)
        if not face.is_own:
            where = f"it is defined in {face.file}" if face.file is not None else "it is always there"
            raise Fault(409, "not-own", f"Target {name!r} is not in {user_file()}: {where}. Only one's own can be taken out.")
        targets, _ = await self._survey()
        if targets.default == name and name not in BUILTIN:
            raise Fault(409, "default", f"Target {name!r} is the default. Set another default in {user_file()} first.")
        try:
            await self._aside(lambda: targetsfile.remove(name))
        except targetsfile.Missing as error:
            raise unknown(str(error)) from None
        await self.listed()

    async def _put(self, name: str, asked: TargetKeys, is_new: bool) -> None:
        keys = _from_json(asked.keys)
        if "name" in keys:
            raise _wrong([("name", "is given by the path or beside the keys; leave it out")])
        problems = await self._aside(lambda: targetsfile.refused(name, keys))
        if problems:
            raise _wrong(problems)
        targets, _ = await self._survey()
        files = targets.defined_in.get(name, ())
        if is_new and files and targets.user_file not in files:
            raise Fault(409, "exists", f"There is a target {name!r} already, in {files[0]}. Replace it instead.")
        try:
            await self._aside(lambda: targetsfile.put(name, keys, replace=not is_new))
        except targetsfile.Exists as error:
            raise Fault(409, "exists", f"{error} Replace it instead.") from None
        except UsageError as error:
            raise Fault(400, "invalid", str(error), [FieldProblem(field="", message=str(error))]) from None

    async def _survey(self) -> tuple[Targets, list[TargetFault]]:
        async def look() -> tuple[Targets, list[TargetFault]]:
            return self._observatory.targets

        found: tuple[Targets, list[TargetFault]] = await self._there(look())
        return found


def _wrong(problems: list[tuple[str, str]]) -> Fault:
    fields = [FieldProblem(field=f"keys.{key}".rstrip("."), message=message) for key, message in problems]
    told = "; ".join(f"{each.field}: {each.message}" for each in fields)
    return Fault(400, "invalid", f"The target is not right: {told}. Nothing was written.", fields)


def _to_json(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: INFINITE if isinstance(value, float) and math.isinf(value) else value for key, value in keys.items()}


def _from_json(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Null is what is left out."""
    given = {key: value for key, value in keys.items() if value is not None}
    return {key: math.inf if key in infinite_keys() and value == INFINITE else value for key, value in given.items()}
