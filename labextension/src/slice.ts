/** Rows beyond the window's edge that are drawn too, so that slow scrolling shows no gap. */
const SPARE = 6;
/** While so many are left others need not be drawn. */
const LEAST_SPARE = 2;

/** What is in sight of a list, in pixels. */
export interface IView {
  top: number;
  height: number;
}

/** Which of `count` rows to draw: those in sight, and a few beside. */
export function slice(
  count: number,
  rowPx: number,
  { top, height }: IView,
  spare = SPARE
): { first: number; end: number } {
  const first = Math.max(0, Math.floor(top / rowPx) - spare);
  return {
    first: Math.min(first, count),
    end: Math.min(count, Math.ceil((top + height) / rowPx) + spare)
  };
}

/** Whether the rows that were drawn for one view will do for another. */
export function covers(drawn: IView, wanted: IView, rowPx: number): boolean {
  const has = slice(Infinity, rowPx, drawn);
  const needs = slice(Infinity, rowPx, wanted, LEAST_SPARE);
  return has.first <= needs.first && needs.end <= has.end;
}
