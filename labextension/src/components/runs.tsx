import { closeIcon, jumpForwardIcon, stopIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { baseName, bytes, duration, moment, money } from '../format';
import type { IRunRow, Runs } from '../runs';
import { ENDING, WRITTEN_MS } from '../runs';
import type { LiveRun, Snapshot } from '../wire';
import { useClock, useFarcell, useModel } from './context';
import { Empty, Loading, RequestFault } from './notices';
import { IconButton, roomFor } from './sessions';
import { Windowed } from './windowed';

const ROW_PX = 46;
/** How long after a run's end its record is asked for again, and again after twice that, while it does not tell of it. */
const FIRST_AGAIN_MS = 500;
const MOST_AGAIN = 7;
const NONE: readonly LiveRun[] = [];

export interface IRunActions {
  openLog(run: string, title: string): void;
  interruptRun(run: IRunRow): void;
  goToCell(notebook: string, cell: string): void;
}

export function runWord(state: string, trans: TranslationBundle): string {
  const words: { [state: string]: string } = {
    queued: trans.__('queued'),
    running: trans.__('running'),
    [ENDING]: trans.__('ending'),
    untaken: trans.__('not fetched'),
    ok: trans.__('done'),
    error: trans.__('failed'),
    aborted: trans.__('aborted'),
    refused: trans.__('refused'),
    died: trans.__('kernel died'),
    killed: trans.__('killed'),
    ended: trans.__('ended'),
    unknown: trans.__('not known')
  };
  return words[state] ?? state;
}

/** Draws all runs; asks for the record of them only while it is seen. */
export function RunList(props: { runs: Runs; actions: IRunActions; isVisible: boolean }): JSX.Element {
  const { runs, isVisible } = props;
  const model = useModel();
  const { trans } = useFarcell();
  const [, draw] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    runs.changed.connect(draw);
    return () => {
      runs.changed.disconnect(draw);
    };
  }, [runs]);
  const live = model.snapshot?.runs_in_progress ?? NONE;
  const face = faceOf(model.snapshot);
  const isKnown = model.snapshot !== null;
  React.useEffect(() => {
    // What lives comes first, and then its record.
    if (!isVisible || !isKnown) {
      return;
    }
    void runs.refresh();
    const timer = window.setTimeout(() => void runs.refresh(), WRITTEN_MS);
    return () => window.clearTimeout(timer);
  }, [runs, isVisible, isKnown, face]);
  const onEnd = React.useCallback(() => {
    if (isVisible && runs.hasMore && !runs.problem) {
      void runs.more();
    }
  }, [runs, isVisible]);
  const sessions = model.snapshot?.sessions;
  const { answers } = runs;
  const rows = React.useMemo(() => runs.rows(live, sessions), [runs, live, sessions, answers]);
  const ending = rows
    .filter(run => run.state === ENDING)
    .map(run => run.id)
    .join();
  React.useEffect(() => {
    let timer: number | undefined;
    let tries = 0;
    const plan = () => {
      if (tries < MOST_AGAIN) {
        timer = window.setTimeout(() => void runs.refresh().then(plan), FIRST_AGAIN_MS * 2 ** tries++);
      }
    };
    if (isVisible && ending) {
      plan();
    }
    return () => {
      tries = MOST_AGAIN;
      window.clearTimeout(timer);
    };
  }, [runs, isVisible, ending]);
  const now = useClock(isVisible && rows.some(run => run.isGoing));
  if (!runs.isLoaded && !rows.length) {
    return model.problem ? <Empty>{trans.__('Not known.')}</Empty> : <Loading />;
  }
  const fault = runs.problem && (!model.problem || rows.length === 0) && (
    <RequestFault error={runs.problem} again={() => void runs.refresh()} />
  );
  return (
    <>
      {fault}
      {!rows.length && !runs.problem && <Empty>{trans.__('No remote cell has run yet.')}</Empty>}
      {rows.length > 0 && (
        <Windowed
          label={trans.__('Runs')}
          rows={rows}
          rowPx={ROW_PX}
          keyOf={run => run.id}
          draw={run => <Run run={run} now={now} currency={runs.currency} actions={props.actions} />}
          onEnd={onEnd}
        />
      )}
    </>
  );
}

/** What tells that there may be another run: one may be over before anybody has seen it. */
function faceOf(snapshot: Snapshot | null): string {
  const sessions =
    snapshot?.sessions.map(each => `${each.id} ${each.state} ${each.run} ${each.idle_since}`) ?? [];
  const runs = snapshot?.runs_in_progress.map(run => `${run.id} ${run.state}`) ?? [];
  return [snapshot?.server, ...sessions, ...runs].join();
}

/** What was sent and received, as far as it is known. */
function moved({ sent, received }: IRunRow): string {
  return [sent ? `↑ ${bytes(sent)}` : '', received ? `↓ ${bytes(received)}` : ''].filter(Boolean).join(' ');
}

/** Of something whose whole is known. */
function Progress(props: { label: string; part: number }): JSX.Element {
  const percent = Math.min(100, Math.floor(100 * props.part));
  return (
    <span
      className="jp-farcell-Progress"
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <span style={{ width: `${percent}%` }} />
    </span>
  );
}

function Run(props: { run: IRunRow; now: number; currency: string; actions: IRunActions }): JSX.Element {
  const { run, now, actions } = props;
  const { trans } = useFarcell();
  const elapsed = run.seconds ?? (run.isGoing && run.started !== null ? now - run.started : null);
  const arriving = run.arriving || null;
  const hasName = !!run.notebook?.endsWith('.ipynb');
  const leadsToCell = hasName && run.cell !== null;
  const isStoppable = run.isGoing && run.session !== null;
  const title = hasName ? baseName(run.notebook as string) : run.target;
  const facts = [
    arriving && trans.__('%1 of %2', bytes(run.arrived ?? 0), bytes(arriving)),
    hasName ? run.target : null,
    run.started === null ? null : moment(run.started),
    moved(run),
    run.cost === null ? null : money(run.cost, props.currency)
  ].filter(Boolean);
  const more = [
    facts.join(' · '),
    run.id,
    run.notebook,
    run.saidBy && trans.__('by %1, as the page said that ran it; nobody has checked that', run.saidBy)
  ];
  return (
    <div
      className="jp-farcell-Row"
      style={roomFor(Number(leadsToCell) + Number(isStoppable))}
      title={more.filter(Boolean).join('\n')}
    >
      <span className={`jp-farcell-Dot jp-mod-${run.state}`} aria-hidden="true" />
      <button
        type="button"
        className="jp-farcell-Row-text jp-farcell-Row-open"
        disabled={!run.hasLog}
        title={
          run.hasLog
            ? trans.__('Show what it has printed')
            : trans.__('Its session is over, and with it what it has printed')
        }
        onClick={() => actions.openLog(run.id, title)}
      >
        <span className="jp-farcell-Row-title">
          <span className="jp-farcell-Name">{title}</span>
          <span className={`jp-farcell-State jp-mod-${run.state}`}>
            {arriving ? trans.__('sending') : runWord(run.state, trans)}
          </span>
          {elapsed !== null && <span className="jp-farcell-Elapsed">{duration(elapsed)}</span>}
        </span>
        <span className="jp-farcell-Row-facts">{facts.join(' · ')}</span>
        {arriving && <Progress label={trans.__('Sent')} part={(run.arrived ?? 0) / arriving} />}
      </button>
      <div className="jp-farcell-Row-actions">
        {leadsToCell && (
          <IconButton
            icon={jumpForwardIcon}
            label={trans.__('Go to the cell in %1', title)}
            onClick={() => actions.goToCell(run.notebook as string, run.cell as string)}
          />
        )}
        {isStoppable && (
          <IconButton
            icon={run.state === 'queued' ? closeIcon : stopIcon}
            label={
              run.state === 'queued'
                ? trans.__('Cancel the run in %1', title)
                : trans.__('Interrupt the run in %1', title)
            }
            onClick={() => actions.interruptRun(run)}
          />
        )}
      </div>
    </div>
  );
}
