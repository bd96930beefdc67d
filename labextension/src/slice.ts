/** Rows beyond the window's edge that are drawn too, so that slow scrolling shows no gap. */
const SPARE = 6;

/** Which of `count` rows to draw: those in the window, and a few beside. */
export function slice(
  count: number,
  rowPx: number,
  topPx: number,
  heightPx: number
): { first: number; end: number } {
  const first = Math.max(0, Math.floor(topPx / rowPx) - SPARE);
  return {
    first: Math.min(first, count),
    end: Math.min(count, Math.ceil((topPx + heightPx) / rowPx) + SPARE)
  };
}
