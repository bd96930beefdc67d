import { Button, closeIcon, refreshIcon, stopIcon, LabIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { endText } from '../endings';
import { baseName, bytes, duration } from '../format';
import type { LiveRun, SessionFace } from '../wire';
import { useClock, useFarcell, useModel } from './context';
import { Icon } from './icon';
import { Empty, Loading } from './notices';
import { Windowed } from './windowed';

const ROW_PX = 62;

export interface ISessionActions {
  stop(session: SessionFace): void;
  restart(session: SessionFace): void;
  interrupt(session: SessionFace): void;
  cancel(session: SessionFace): void;
  openNotebook(notebook: string): void;
  showVariables(session: SessionFace): void;
}

export function stateWord(state: SessionFace['state'], trans: TranslationBundle): string {
  return {
    waiting: trans.__('in the queue'),
    starting: trans.__('starting'),
    idle: trans.__('idle'),
    busy: trans.__('busy'),
    dead: trans.__('kernel ended'),
    silent: trans.__('does not answer'),
    unheard: trans.__('being asked'),
    'other-version': trans.__('other version'),
    over: trans.__('over')
  }[state];
}

export function Sessions(props: { actions: ISessionActions; isVisible: boolean }): JSX.Element {
  const model = useModel();
  const { trans } = useFarcell();
  const { snapshot } = model;
  const now = useClock(
    props.isVisible && !!snapshot?.sessions.some(each => each.run !== null || each.idle_since !== null)
  );
  if (!snapshot) {
    return model.problem ? <Empty>{trans.__('Not known.')}</Empty> : <Loading />;
  }
  if (!snapshot.sessions.length) {
    return (
      <Empty>
        {snapshot.looked_at === null && snapshot.watching === 0
          ? trans.__('Nobody has looked yet.')
          : trans.__('No remote session. A cell that begins with %1 starts one.', '%%remote')}
      </Empty>
    );
  }
  const runs = new Map(snapshot.runs_in_progress.map(run => [run.id, run]));
  return (
    <Windowed
      label={trans.__('Remote sessions')}
      rows={snapshot.sessions}
      rowPx={ROW_PX}
      keyOf={session => session.id}
      draw={session => (
        <Session
          session={session}
          run={session.run ? runs.get(session.run) : undefined}
          now={now}
          actions={props.actions}
        />
      )}
    />
  );
}

function Session(props: {
  session: SessionFace;
  run?: LiveRun;
  now: number;
  actions: ISessionActions;
}): JSX.Element {
  const { session, run, now, actions } = props;
  const { trans } = useFarcell();
  const isEnding = session.ends_at !== null && session.ends_at - now <= (session.ends_lead_s ?? 0);
  const facts = [
    isEnding ? trans.__('ends in %1', duration((session.ends_at as number) - now)) : null,
    session.state === 'busy' && run?.since ? duration(now - run.since) : null,
    session.state === 'idle' && session.idle_since
      ? trans.__('for %1', duration(now - session.idle_since))
      : null,
    session.waiting_runs.length ? trans.__('%1 waiting', session.waiting_runs.length) : null,
    session.untaken_runs.length ? trans.__('%1 not fetched', session.untaken_runs.length) : null,
    session.memory_bytes === null ? null : bytes(session.memory_bytes),
    session.detail
  ].filter(Boolean);
  const can = (action: SessionFace['actions'][number]) => session.actions.includes(action);
  const where = [session.machine, session.job ? trans.__('job %1', session.job) : null]
    .filter(Boolean)
    .join(', ');
  const isPath = session.notebook?.endsWith('.ipynb');
  const more = [
    session.id,
    session.python,
    session.kernel_pid === null ? null : trans.__('process %1', session.kernel_pid),
    session.version && trans.__('farcell %1', session.version),
    session.ends_at === null ? null : endText(session, now, trans)
  ];
  return (
    <div
      className="jp-farcell-Row"
      style={roomFor(session.actions.length)}
      title={more.filter(Boolean).join('\n')}
    >
      <span className={`jp-farcell-Dot jp-mod-${isEnding ? 'ending' : session.state}`} aria-hidden="true" />
      <div className="jp-farcell-Row-text">
        <div className="jp-farcell-Row-title">
          <button
            type="button"
            className="jp-farcell-Name jp-farcell-Row-open"
            title={trans.__('Show what it holds')}
            onClick={() => actions.showVariables(session)}
          >
            {session.target}
          </button>
          <span className={`jp-farcell-State jp-mod-${isEnding ? 'ending' : session.state}`}>
            {isEnding ? trans.__('ends soon') : stateWord(session.state, trans)}
          </span>
        </div>
        <div className="jp-farcell-Row-facts">{facts.join(' · ') || where}</div>
        <div className="jp-farcell-Row-facts">
          {isPath && session.notebook ? (
            <button
              type="button"
              className="jp-farcell-Link"
              title={trans.__('Open %1', session.notebook)}
              onClick={() => actions.openNotebook(session.notebook as string)}
            >
              {baseName(session.notebook)}
            </button>
          ) : (
            <span>{trans.__('no notebook')}</span>
          )}
          {facts.length > 0 && ` · ${where}`}
        </div>
      </div>
      <div className="jp-farcell-Row-actions">
        {can('interrupt') && (
          <IconButton
            icon={stopIcon}
            label={trans.__('Interrupt %1', session.target)}
            onClick={() => actions.interrupt(session)}
          />
        )}
        {can('cancel') && (
          <IconButton
            icon={stopIcon}
            label={trans.__('Cancel the job of %1', session.target)}
            onClick={() => actions.cancel(session)}
          />
        )}
        {can('restart') && (
          <IconButton
            icon={refreshIcon}
            label={trans.__('Restart the kernel on %1', session.target)}
            onClick={() => actions.restart(session)}
          />
        )}
        {can('stop') && (
          <IconButton
            icon={closeIcon}
            label={trans.__('Stop the session on %1', session.target)}
            onClick={() => actions.stop(session)}
          />
        )}
      </div>
    </div>
  );
}

/** Beside a row's title, under which the rest has the whole width. */
export function roomFor(buttons: number): React.CSSProperties {
  return { '--jp-farcell-buttons': buttons } as React.CSSProperties;
}

export function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
  disabled?: boolean;
}): JSX.Element {
  return (
    <Button
      className="jp-farcell-IconButton"
      minimal
      small
      title={props.label}
      aria-label={props.label}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon icon={props.icon} />
    </Button>
  );
}
