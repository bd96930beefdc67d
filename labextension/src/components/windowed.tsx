import React from 'react';
import type { IView } from '../slice';
import { covers, slice } from '../slice';

/** Until the list has a height: that of a section beside another one in a usual window. */
const FIRST_PX = 400;

export interface IWindowedProps<T> {
  label: string;
  rows: readonly T[];
  rowPx: number;
  keyOf: (row: T) => string;
  draw: (row: T) => React.ReactNode;
  /** The last rows have come into sight. */
  onEnd?: () => void;
}

/** A list of rows of one height, of which only those in sight are in the page. */
export function Windowed<T>(props: IWindowedProps<T>): JSX.Element {
  const { rows, rowPx, onEnd } = props;
  const box = React.useRef<HTMLDivElement>(null);
  const [view, setView] = React.useState<IView>({ top: 0, height: FIRST_PX });
  React.useLayoutEffect(() => {
    const node = box.current;
    if (!node) {
      return;
    }
    const look = () => {
      const wanted = { top: node.scrollTop, height: node.clientHeight || FIRST_PX };
      setView(drawn => (covers(drawn, wanted, rowPx) ? drawn : wanted));
    };
    const observer = new ResizeObserver(look);
    observer.observe(node);
    node.addEventListener('scroll', look, { passive: true });
    return () => {
      observer.disconnect();
      node.removeEventListener('scroll', look);
    };
  }, [rowPx]);
  const { first, end } = slice(rows.length, rowPx, view);
  const isAtEnd = end >= rows.length;
  React.useEffect(() => {
    if (isAtEnd) {
      onEnd?.();
    }
  }, [isAtEnd, rows.length, onEnd]);
  return (
    <div className="jp-farcell-Windowed" ref={box} tabIndex={0}>
      <ul
        className="jp-farcell-List"
        aria-label={props.label}
        style={{ paddingTop: first * rowPx, paddingBottom: (rows.length - end) * rowPx }}
      >
        {rows.slice(first, end).map((row, index) => (
          <li
            key={props.keyOf(row)}
            style={{ height: rowPx }}
            aria-setsize={rows.length}
            aria-posinset={first + index + 1}
          >
            {props.draw(row)}
          </li>
        ))}
      </ul>
    </div>
  );
}
