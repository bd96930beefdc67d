import React from 'react';
import { duration, money } from '../format';
import type { BudgetFace, Spent, Usage, UsageRow } from '../wire';
import { useFarcell, useModel } from './context';
import { Bar } from './gpus';
import { Empty, Fault, Loading, RequestFault } from './notices';

/** Asked for when it comes into sight and when a run has begun or ended. */
export function UsageView(props: { isVisible: boolean }): JSX.Element {
  const model = useModel();
  const { trans } = useFarcell();
  const [usage, setUsage] = React.useState<Usage | null>(null);
  const [problem, setProblem] = React.useState<Error | null>(null);
  const [asked, ask] = React.useReducer((n: number) => n + 1, 0);
  const face = model.snapshot?.runs_in_progress.map(run => `${run.id} ${run.state}`).join();
  React.useEffect(() => {
    let isWanted = props.isVisible;
    if (isWanted) {
      model.requests.request<Usage>('usage', { query: { by: 'target' } }).then(
        said => {
          if (isWanted) {
            setUsage(said);
            setProblem(null);
          }
        },
        (error: Error) => isWanted && setProblem(error)
      );
    }
    return () => {
      isWanted = false;
    };
  }, [model, props.isVisible, face, asked]);
  if (problem) {
    return <RequestFault error={problem} again={ask} />;
  }
  if (!usage) {
    return <Loading />;
  }
  if (!usage.today.length && !usage.month.length) {
    return <Empty>{trans.__('Nothing was used this month.')}</Empty>;
  }
  return (
    <div className="jp-farcell-Usage">
      {usage.budgets
        .filter(budget => budget.state !== 'ok' && budget.text)
        .map(budget => (
          <Fault
            key={budget.target ?? ''}
            kind={budget.state === 'refuse' ? 'error' : 'warning'}
            title={budget.target ?? trans.__('All targets')}
            text={budget.text}
          />
        ))}
      {usage.budgets.map(budget => (
        <Budget key={budget.target ?? ''} budget={budget} currency={usage.currency} />
      ))}
      <Table title={trans.__('Today')} rows={usage.today} currency={usage.currency} />
      <Table title={trans.__('This month')} rows={usage.month} currency={usage.currency} />
    </div>
  );
}

function Budget(props: { budget: BudgetFace; currency: string }): JSX.Element {
  const { trans } = useFarcell();
  const { budget, currency } = props;
  const name = budget.target ?? trans.__('All targets');
  const bar = (spent: Spent | null, label: string) =>
    spent?.limit ? (
      <Bar
        label={label}
        percent={(100 * spent.cost) / spent.limit}
        text={`${spent.cost.toFixed(2)} / ${money(spent.limit, currency)}`}
        level={budget.state === 'refuse' ? 'error' : budget.state === 'warn' ? 'warn' : undefined}
      />
    ) : null;
  const bars = [bar(budget.day, trans.__('Today')), bar(budget.month, trans.__('Month'))];
  return bars.some(Boolean) ? (
    <section className="jp-farcell-Gpu" aria-label={trans.__('Budget of %1', name)}>
      <div className="jp-farcell-Row-title">
        <span className="jp-farcell-Name">{name}</span>
      </div>
      {bars[0]}
      {bars[1]}
    </section>
  ) : (
    <></>
  );
}

function Table(props: { title: string; rows: readonly UsageRow[]; currency: string }): JSX.Element {
  const { trans } = useFarcell();
  return (
    <table className="jp-farcell-Table">
      <caption>{props.title}</caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('Target')}</th>
          <th scope="col">{trans.__('Runs')}</th>
          <th scope="col">{trans.__('Time')}</th>
          <th scope="col">{trans.__('Cost')}</th>
        </tr>
      </thead>
      <tbody>
        {props.rows.map(row => (
          <tr
            key={row.key}
            title={trans.__(
              '%1 of which a cell ran; GPUs: %2',
              duration(row.run_seconds),
              duration(row.gpu_seconds)
            )}
          >
            <th scope="row">{row.key}</th>
            <td>{row.runs}</td>
            <td>{duration(row.seconds)}</td>
            <td>{row.cost === null ? trans.__('no price') : money(row.cost, props.currency)}</td>
          </tr>
        ))}
        {!props.rows.length && (
          <tr>
            <td colSpan={4}>{trans.__('Nothing.')}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}
