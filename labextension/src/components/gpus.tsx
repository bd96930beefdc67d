import React from 'react';
import { bytes } from '../format';
import type { IBoard } from '../boards';
import { boards, SPARK_H, SPARK_W, sparkline } from '../boards';
import type { Telemetry } from '../wire';
import { useFarcell, useModel } from './context';
import { Empty, Fault, Loading } from './notices';

export function Gpus(props: { isVisible: boolean }): JSX.Element {
  const model = useModel();
  const { trans } = useFarcell();
  const { snapshot } = model;
  const [histories, setHistories] = React.useState<Telemetry | null>(null);
  const newest = Math.max(0, ...(snapshot?.telemetry ?? []).map(each => each.at ?? 0));
  const hasBoards = !!snapshot?.telemetry.some(each => each.gpus.length);
  React.useEffect(() => {
    let isWanted = props.isVisible && hasBoards;
    if (isWanted) {
      model.requests.request<Telemetry>('telemetry').then(
        said => isWanted && setHistories(said),
        // Without it there is no line; that the server cannot be asked is told above.
        () => undefined
      );
    }
    return () => {
      isWanted = false;
    };
  }, [model, props.isVisible, hasBoards, newest]);
  if (!snapshot) {
    return model.problem ? <Empty>{trans.__('Not known.')}</Empty> : <Loading />;
  }
  const machines = new Map(snapshot.sessions.map(session => [session.id, session.machine]));
  const found = boards(snapshot.telemetry, histories, session => machines.get(session) ?? '');
  const errors = snapshot.telemetry.filter(each => each.state === 'error');
  const unasked = snapshot.telemetry.filter(each => each.state === 'unasked');
  const without = snapshot.telemetry.filter(each => each.state === 'none');
  return (
    <div className="jp-farcell-Gpus">
      {errors.map(each => (
        <Fault
          key={each.session}
          kind="warning"
          title={trans.__('The GPUs of %1 cannot be read.', each.target)}
          text={each.message ?? ''}
        />
      ))}
      {found.map(board => (
        <Board
          key={board.gpu.uuid ?? `${board.machine} ${board.gpu.index} ${board.targets.join()}`}
          board={board}
        />
      ))}
      {!found.length && !errors.length && (
        <Empty>
          {without.length
            ? trans.__(
                'No GPU where sessions run: %1.',
                [...new Set(without.map(each => each.target))].join(', ')
              )
            : unasked.length
              ? trans.__('Not asked yet.')
              : trans.__('GPUs are shown of machines on which a session lives.')}
        </Empty>
      )}
      {found.length > 0 && unasked.length > 0 && (
        <p className="jp-farcell-Note">
          {trans.__(
            'Not asked: %1.',
            [...new Set(unasked.map(each => each.message ?? each.target))].join(', ')
          )}
        </p>
      )}
    </div>
  );
}

function Board(props: { board: IBoard }): JSX.Element {
  const { trans } = useFarcell();
  const { gpu, machine, targets, history } = props.board;
  const name = gpu.name ?? gpu.vendor;
  const label = trans.__('GPU %1, %2', gpu.index, name);
  const facts = [
    gpu.temperature_c === null ? null : `${gpu.temperature_c} °C`,
    gpu.power_w === null
      ? null
      : gpu.power_limit_w === null
        ? `${Math.round(gpu.power_w)} W`
        : `${Math.round(gpu.power_w)} / ${Math.round(gpu.power_limit_w)} W`
  ].filter(Boolean);
  const used = gpu.memory_used_bytes;
  const total = gpu.memory_total_bytes;
  const owners = {
    session: trans.__('this session'),
    user: trans.__('yours'),
    other: trans.__("somebody else's"),
    unknown: trans.__('whose is not known')
  };
  return (
    <section className="jp-farcell-Gpu" aria-label={label}>
      <div className="jp-farcell-Row-title">
        <span className="jp-farcell-Name" title={gpu.uuid ?? undefined}>
          {gpu.index}: {name}
        </span>
        <span className="jp-farcell-Elapsed">{facts.join(' · ')}</span>
      </div>
      <div className="jp-farcell-Row-facts">{[machine, targets.join(', ')].filter(Boolean).join(' · ')}</div>
      {gpu.error !== null ? (
        <Fault kind="warning" title={trans.__('This board cannot be read.')} text={gpu.error} />
      ) : (
        <>
          <Bar
            label={trans.__('Use')}
            percent={gpu.utilisation_percent}
            fault={gpu.faults['utilisation_percent']}
          />
          <Bar
            label={trans.__('Memory')}
            percent={used !== null && total ? (100 * used) / total : null}
            text={used !== null && total ? `${bytes(used)} / ${bytes(total)}` : undefined}
            fault={gpu.faults['memory_used_bytes'] ?? gpu.faults['memory']}
          />
          {history && history.samples.length > 1 && (
            <svg
              className="jp-farcell-Spark"
              viewBox={`0 0 ${SPARK_W} ${SPARK_H}`}
              preserveAspectRatio="none"
              role="img"
              aria-label={trans.__('Use of the last five minutes')}
            >
              <polyline points={sparkline(history.samples)} vectorEffect="non-scaling-stroke" />
            </svg>
          )}
          {gpu.processes === null ? (
            <div className="jp-farcell-Row-facts">{trans.__('Who is on it cannot be told.')}</div>
          ) : (
            gpu.processes.map(process => (
              <div className="jp-farcell-Row-facts" key={process.pid}>
                {[
                  trans.__('process %1', process.pid),
                  owners[process.owner],
                  process.memory_bytes === null ? null : bytes(process.memory_bytes)
                ]
                  .filter(Boolean)
                  .join(' · ')}
              </div>
            ))
          )}
        </>
      )}
    </section>
  );
}

/** Null is not known, which is not the same as none. */
export function Bar(props: {
  label: string;
  percent: number | null;
  text?: string;
  fault?: string;
  level?: 'warn' | 'error';
}): JSX.Element {
  const { trans } = useFarcell();
  const { percent, fault } = props;
  const text = percent === null ? trans.__('not known') : (props.text ?? `${Math.round(percent)} %`);
  return (
    <div className="jp-farcell-Bar" title={fault}>
      <span className="jp-farcell-Bar-label">{props.label}</span>
      <span
        className={`jp-farcell-Bar-track${props.level ? ` jp-mod-${props.level}` : ''}`}
        role="meter"
        aria-label={props.label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent === null ? undefined : Math.round(percent)}
        aria-valuetext={text}
      >
        {percent !== null && <span style={{ width: `${Math.min(100, Math.max(0, percent))}%` }} />}
      </span>
      <span className="jp-farcell-Bar-text">{text}</span>
    </div>
  );
}
