import { checkIcon, closeIcon, editIcon, deleteIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { money } from '../format';
import type { TargetFace, Task } from '../wire';
import { useFarcell, useModel } from './context';
import { Empty, Fault, Loading } from './notices';
import { IconButton, roomFor } from './sessions';

export interface ITargetActions {
  test(target: string): void;
  edit(target: string): void;
  remove(target: string): void;
}

export function targetWord(state: TargetFace['state'], trans: TranslationBundle): string {
  return {
    ok: trans.__('reached'),
    unasked: trans.__('not asked'),
    fault: trans.__('cannot be asked'),
    wrong: trans.__('not right')
  }[state];
}

export function Targets(props: { actions: ITargetActions }): JSX.Element {
  const model = useModel();
  const { trans } = useFarcell();
  const { snapshot } = model;
  if (!snapshot) {
    return model.problem ? <Empty>{trans.__('Not known.')}</Empty> : <Loading />;
  }
  const testOf = (target: string) =>
    snapshot.tasks.filter(task => task.target === target).sort((a, b) => b.started - a.started)[0];
  return (
    <div>
      {snapshot.target_problems.map(problem => (
        <Fault key={problem} title={trans.__('The files of targets')} text={problem} />
      ))}
      <ul className="jp-farcell-List" aria-label={trans.__('Targets')}>
        {snapshot.targets.map(target => (
          <li key={target.name}>
            <Target
              target={target}
              test={testOf(target.name)}
              actions={props.actions}
              currency={snapshot.currency}
              sessions={snapshot.sessions.filter(each => each.target === target.name).length}
            />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Target(props: {
  target: TargetFace;
  test?: Task;
  sessions: number;
  currency: string;
  actions: ITargetActions;
}): JSX.Element {
  const { target, test, actions, currency } = props;
  const { trans } = useFarcell();
  const isRemovable = target.is_own && !target.is_builtin;
  const facts = [
    target.backend === target.name ? null : target.backend,
    target.where,
    props.sessions ? trans._n('one session', '%1 sessions', props.sessions) : null,
    target.price_per_hour === null ? null : trans.__('%1 an hour', money(target.price_per_hour, currency))
  ].filter(Boolean);
  return (
    <div className="jp-farcell-Target">
      <div
        className="jp-farcell-Row"
        style={roomFor(isRemovable ? 3 : 2)}
        title={[facts.join(' · '), target.file].filter(Boolean).join('\n')}
      >
        <span className={`jp-farcell-Dot jp-mod-${target.state}`} aria-hidden="true" />
        <div className="jp-farcell-Row-text">
          <div className="jp-farcell-Row-title">
            <span className="jp-farcell-Name">{target.name}</span>
            {target.is_default && <span className="jp-farcell-Tag">{trans.__('default')}</span>}
            <span className={`jp-farcell-State jp-mod-${target.state}`}>
              {targetWord(target.state, trans)}
            </span>
          </div>
          <div className="jp-farcell-Row-facts">{facts.join(' · ')}</div>
        </div>
        <div className="jp-farcell-Row-actions">
          <IconButton
            icon={checkIcon}
            label={trans.__('Test %1', target.name)}
            disabled={test?.state === 'running' || target.state === 'wrong'}
            onClick={() => actions.test(target.name)}
          />
          <IconButton
            icon={editIcon}
            label={trans.__('Edit %1', target.name)}
            onClick={() => actions.edit(target.name)}
          />
          {isRemovable && (
            <IconButton
              icon={deleteIcon}
              label={trans.__('Remove %1', target.name)}
              onClick={() => actions.remove(target.name)}
            />
          )}
        </div>
      </div>
      {target.problems.map(problem => (
        <Fault key={problem} title={problem} />
      ))}
      {target.fault && <Fault kind="warning" title={trans.__('Why')} text={target.fault.message} isShort />}
      {test && <Test task={test} />}
    </div>
  );
}

/** How far a test is, what it took, why it failed. */
function Test(props: { task: Task }): JSX.Element {
  const { trans } = useFarcell();
  const { task } = props;
  const [isHidden, hide] = React.useState(false);
  React.useEffect(() => hide(false), [task.id]);
  if (isHidden) {
    return <></>;
  }
  const words = {
    running: trans.__('Testing…'),
    ok: trans.__('The test went well.'),
    failed: trans.__('The test failed.')
  };
  return (
    <div className={`jp-farcell-Test jp-mod-${task.state}`} role="status">
      <div className="jp-farcell-Row-title">
        <span className="jp-farcell-Name">{words[task.state]}</span>
        {task.state !== 'running' && (
          <IconButton
            icon={closeIcon}
            label={trans.__('Hide what the test said')}
            onClick={() => hide(true)}
          />
        )}
      </div>
      <ul className="jp-farcell-Steps">
        {task.steps.map((step, index) => (
          <li key={index}>
            <span>{step.step}</span>
            <span>{step.seconds.toFixed(1)} s</span>
          </li>
        ))}
        {task.state === 'running' && task.doing && (
          <li>
            <span>{task.doing}</span>
            <span className="jp-farcell-Spinner" aria-hidden="true" />
          </li>
        )}
      </ul>
      {task.message && <p>{task.message}</p>}
    </div>
  );
}
