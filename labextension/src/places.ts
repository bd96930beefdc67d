/** Where notebooks are, as the server's machine and as a page names them. */

import { PageConfig } from '@jupyterlab/coreutils';

/** A session's path of its notebook as one below the server's root, or as it is if it is not below it. */
export function pathOf(notebook: string): string {
  const root = PageConfig.getOption('serverRoot').replace(/\/$/, '');
  return root && notebook.startsWith(`${root}/`) ? notebook.slice(root.length + 1) : notebook;
}

/** Whether a session's notebook is the one that a page has open. A page's path may have a drive (`RTC:`). */
export function isSameNotebook(notebook: string, path: string): boolean {
  return pathOf(notebook) === path.replace(/^[^/:]+:/, '');
}
