/** Names of commands, for menus, shortcuts and other extensions. */
export namespace CommandIDs {
  export const show = 'farcell:show';
  export const hide = 'farcell:hide';
  export const refresh = 'farcell:refresh';
  export const addTarget = 'farcell:add-target';
  export const openLog = 'farcell:open-log';
  /** Of the newest run of the active cell. */
  export const showCellLog = 'farcell:show-cell-log';
  /** `notebook` as a session knows it, `cell` its id. */
  export const goToCell = 'farcell:go-to-cell';
  /** `target`: a name, '' for the default one, null for here. */
  export const runOn = 'farcell:run-on';
  /** Between here and where the active cell ran last, else the default target. */
  export const toggleRemote = 'farcell:toggle-remote';
  export const toggleDetached = 'farcell:toggle-detached';
  export const showPlan = 'farcell:show-plan';
}
