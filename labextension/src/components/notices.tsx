import { Button, refreshIcon } from '@jupyterlab/ui-components';
import React from 'react';
import { Offline, Refused } from '../requests';
import { useFarcell } from './context';

/** There is nothing to show, and that is as it should be; what to do to have something. */
export function Empty(props: { children: React.ReactNode }): JSX.Element {
  return <p className="jp-farcell-Empty">{props.children}</p>;
}

export function Loading(): JSX.Element {
  const { trans } = useFarcell();
  return (
    <p className="jp-farcell-Empty" role="status">
      <span className="jp-farcell-Spinner" aria-hidden="true" />
      {trans.__('Loading…')}
    </p>
  );
}

/** What went wrong, in the words of whoever knows, and a way to try again. */
export function Fault(props: {
  title: string;
  text?: string;
  again?: () => void;
  againLabel?: string;
  kind?: 'error' | 'warning';
  /** Only the title, until a person wants to know more. */
  isShort?: boolean;
}): JSX.Element {
  const { trans } = useFarcell();
  return (
    <div className={`jp-farcell-Fault jp-mod-${props.kind ?? 'error'}`} role="alert">
      {props.isShort ? (
        <details className="jp-farcell-Fault-text">
          <summary>
            <strong>{props.title}</strong>
          </summary>
          <span>{props.text}</span>
        </details>
      ) : (
        <div className="jp-farcell-Fault-text">
          <strong>{props.title}</strong>
          {props.text && <span>{props.text}</span>}
        </div>
      )}
      {props.again && (
        <Button
          className="jp-farcell-Button"
          onClick={props.again}
          title={props.againLabel ?? trans.__('Try again')}
        >
          <refreshIcon.react tag="span" />
          <span>{props.againLabel ?? trans.__('Try again')}</span>
        </Button>
      )}
    </div>
  );
}

/** Of a request that failed. */
export function RequestFault(props: { error: Error; again?: () => void }): JSX.Element {
  const { trans } = useFarcell();
  const { error } = props;
  if (error instanceof Offline) {
    return (
      <Fault
        title={trans.__('The notebook server cannot be reached.')}
        text={trans.__('What is shown may be old.')}
        again={props.again}
      />
    );
  }
  if (error instanceof Refused && error.status === 404 && error.reason === null) {
    return (
      <Fault
        title={trans.__('The server part of farcell is not enabled.')}
        text={trans.__(
          'Run “jupyter server extension enable farcell” where the notebook server runs, then restart it.'
        )}
        again={props.again}
      />
    );
  }
  if (error instanceof Refused && error.reason === 'no-ledger') {
    return <Fault kind="warning" title={trans.__('No record is kept.')} text={error.message} />;
  }
  return <Fault title={error.message} again={props.again} />;
}
