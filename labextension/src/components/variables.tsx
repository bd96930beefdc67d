import { Dialog, showDialog } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';
import { bytes } from '../format';
import { path } from '../requests';
import type { SessionFace, Variables } from '../wire';
import type { IContext } from './context';
import { FarcellContext, useFarcell } from './context';
import { Empty, Loading, RequestFault } from './notices';

/** What a session's kernel holds, asked for once. */
function VariableTable(props: { session: SessionFace }): JSX.Element {
  const { model, trans } = useFarcell();
  const [said, setSaid] = React.useState<Variables | null>(null);
  const [problem, setProblem] = React.useState<Error | null>(null);
  React.useEffect(() => {
    model.requests
      .request<Variables>(path('sessions', props.session.id, 'variables'))
      .then(setSaid)
      .catch((error: Error) => setProblem(error));
  }, [model, props.session.id]);
  if (problem) {
    return <RequestFault error={problem} />;
  }
  if (!said) {
    return <Loading />;
  }
  if (said.variables === null) {
    return <Empty>{trans.__('It cannot be asked while something runs there.')}</Empty>;
  }
  if (!said.variables.length) {
    return <Empty>{trans.__('It holds no variables.')}</Empty>;
  }
  return (
    <table className="jp-farcell-Table jp-farcell-Variables">
      <thead>
        <tr>
          <th scope="col">{trans.__('Name')}</th>
          <th scope="col">{trans.__('Type')}</th>
          <th scope="col">{trans.__('Shape')}</th>
          <th scope="col">{trans.__('Size')}</th>
        </tr>
      </thead>
      <tbody>
        {said.variables.map(variable => (
          <tr key={variable.name} title={variable.preview ?? undefined}>
            <th scope="row">{variable.name}</th>
            <td>{variable.type}</td>
            <td>{variable.shape}</td>
            <td>{variable.bytes === null ? '' : bytes(variable.bytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Until a person closes it. */
export async function showVariables(context: IContext, session: SessionFace): Promise<void> {
  const body = ReactWidget.create(
    <FarcellContext.Provider value={context}>
      <VariableTable session={session} />
    </FarcellContext.Provider>
  );
  body.addClass('jp-farcell-Plan');
  const title = context.trans.__('What %1 holds', session.target);
  await showDialog({ title, body, buttons: [Dialog.okButton()] });
}
