import type { LabIcon } from '@jupyterlab/ui-components';
import React from 'react';

const made = new WeakMap<LabIcon, { svgstr: string; element: HTMLElement }>();

/** Drawn once: `icon.react` has the browser parse its SVG anew for each button of a list. */
function elementOf(icon: LabIcon): HTMLElement {
  const known = made.get(icon);
  if (known?.svgstr === icon.svgstr) {
    return known.element;
  }
  const element = icon.element({ tag: 'span', elementSize: 'normal' });
  made.set(icon, { svgstr: icon.svgstr, element });
  return element;
}

/** Of JupyterLab's size; who exchanges the icon, as a theme may, exchanges the copies too. */
export function Icon(props: { icon: LabIcon }): JSX.Element {
  const { icon } = props;
  const fill = React.useCallback(
    (node: HTMLSpanElement | null) => {
      if (node) {
        node.replaceChildren(...Array.from(elementOf(icon).childNodes, each => each.cloneNode(true)));
      }
    },
    [icon]
  );
  return <span className={elementOf(icon).className} ref={fill} />;
}
