import { MainAreaWidget } from '@jupyterlab/apputils';
import { FormComponent, ReactWidget } from '@jupyterlab/ui-components';
import type { ITranslator } from '@jupyterlab/translation';
import type { ErrorSchema, RJSFSchema, ValidatorType } from '@rjsf/utils';
import React from 'react';
import { path, Refused } from '../requests';
import type { ISchema, Keys } from '../targetschema';
import { errorsOf, filledFrom, formSchema, keysOf } from '../targetschema';
import type { TargetDetail, TargetSchema } from '../wire';
import type { IContext } from './context';
import { FarcellContext, useFarcell } from './context';
import { Fault, Loading, RequestFault } from './notices';

/** The server alone says what is right, so that a form and a file are judged by the same. */
const AT_THE_SERVER: ValidatorType = {
  validateFormData: () => ({ errors: [], errorSchema: {} }),
  toErrorList: () => [],
  isValid: () => true,
  rawValidation: () => ({ errors: [], validationError: undefined })
};

export interface ITargetFormProps {
  /** Null: a new one. */
  target: string | null;
  translator: ITranslator;
  onDone: () => void;
  onTest: (target: string) => void;
}

export function TargetForm(props: ITargetFormProps): JSX.Element {
  const { model, trans } = useFarcell();
  const [said, setSaid] = React.useState<TargetSchema | null>(null);
  const [name, setName] = React.useState(props.target ?? '');
  const [filled, setFilled] = React.useState<Keys>({ backend: 'ssh' });
  const [problem, setProblem] = React.useState<Error | null>(null);
  const [isSaving, setIsSaving] = React.useState(false);
  const [asked, ask] = React.useReducer((n: number) => n + 1, 0);
  const [isLoaded, setIsLoaded] = React.useState(false);

  React.useEffect(() => {
    let isWanted = true;
    const load = async () => {
      const schema = await model.requests.request<TargetSchema>('targets/schema');
      const detail = props.target
        ? await model.requests.request<TargetDetail>(path('targets', props.target))
        : null;
      if (isWanted) {
        setSaid(schema);
        setProblem(null);
        if (detail) {
          const keys = { backend: detail.backend ?? 'local', ...detail.keys };
          setFilled(filledFrom(keys, formSchema(schema, String(keys.backend), String)));
        }
        setIsLoaded(true);
      }
    };
    load().catch((error: Error) => isWanted && setProblem(error));
    return () => {
      isWanted = false;
    };
  }, [model, props.target, asked]);

  const backend = String(filled.backend ?? 'local');
  const schema = React.useMemo(
    () => (said ? formSchema(said, backend, value => trans.__('Without it: %1.', value)) : null),
    [said, backend, trans]
  );
  const form = React.useRef<HTMLFormElement>(null);
  React.useEffect(() => {
    if (form.current && schema) {
      nameFields(form.current, schema);
    }
  });
  React.useEffect(() => {
    if (problem) {
      form.current
        ?.querySelector('.validationErrors, .jp-farcell-Fault')
        ?.scrollIntoView({ block: 'center' });
    }
  }, [problem]);
  if (!said || !schema || !isLoaded) {
    return (
      <div className="jp-farcell-Form">
        {problem ? <RequestFault error={problem} again={ask} /> : <Loading />}
      </div>
    );
  }
  const { byField, others } = errorsOf(problem instanceof Refused ? problem.fields : [], schema);
  const save = async (andTest: boolean) => {
    setIsSaving(true);
    setProblem(null);
    const used = Object.fromEntries(Object.entries(filled).filter(([key]) => schema.properties?.[key]));
    const keys = keysOf(used, said);
    try {
      if (props.target) {
        await model.requests.request(path('targets', props.target), { method: 'PUT', body: { keys } });
      } else {
        await model.requests.request('targets', { method: 'POST', body: { name: name.trim(), keys } });
      }
      if (andTest) {
        props.onTest(props.target ?? name.trim());
      }
      props.onDone();
    } catch (error) {
      setProblem(error as Error);
      setIsSaving(false);
    }
  };
  return (
    <form
      ref={form}
      className="jp-farcell-Form"
      aria-label={props.target ? trans.__('The target %1', props.target) : trans.__('A new target')}
      onSubmit={event => {
        event.preventDefault();
        void save(false);
      }}
    >
      <h2>{props.target ?? trans.__('A new target')}</h2>
      {problem && (others.length > 0 || !(problem instanceof Refused) || !problem.fields.length) && (
        <>
          {others.length ? (
            others.map(text => <Fault key={text} title={text} />)
          ) : (
            <RequestFault error={problem} />
          )}
        </>
      )}
      {!props.target && (
        <label className="jp-farcell-Form-name">
          <span>{trans.__('Name')}</span>
          <input
            className="jp-mod-styled"
            value={name}
            required
            placeholder="gpu-a"
            onChange={event => setName(event.target.value)}
          />
          <small>{trans.__('As cells ask for it: %1', `%%remote ${name.trim() || 'gpu-a'}`)}</small>
        </label>
      )}
      <FormComponent
        schema={schema as RJSFSchema}
        formData={filled as never}
        validator={AT_THE_SERVER as never}
        extraErrors={byField as ErrorSchema as never}
        showErrorList={false}
        liveValidate={false}
        compact={true}
        showModifiedFromDefault={false}
        translator={props.translator}
        onChange={event => setFilled(event.formData as Keys)}
        tagName="div"
      />
      <div className="jp-farcell-Form-buttons">
        <button type="button" className="jp-mod-styled jp-mod-reject" onClick={props.onDone}>
          {trans.__('Cancel')}
        </button>
        <button
          type="button"
          className="jp-mod-styled"
          disabled={isSaving || !(props.target ?? name.trim())}
          onClick={() => void save(true)}
        >
          {trans.__('Save and test')}
        </button>
        <button
          type="submit"
          className="jp-mod-styled jp-mod-accept"
          disabled={isSaving || !(props.target ?? name.trim())}
        >
          {trans.__('Save')}
        </button>
      </div>
    </form>
  );
}

/** JupyterLab's form has titles beside its fields, which a screen reader does not join with them. */
function nameFields(form: HTMLElement, schema: ISchema): void {
  for (const field of form.querySelectorAll<HTMLElement>('[id^="root_"]:is(input, select, textarea)')) {
    const [key, ...inner] = field.id.slice('root_'.length).split(/_(?=\d+$|day$|month$)/);
    const title = schema.properties?.[key]?.title ?? key;
    field.setAttribute('aria-label', [title, ...inner].join(' '));
  }
}

class Content extends ReactWidget {
  constructor(
    private readonly _context: IContext,
    private readonly _props: ITargetFormProps
  ) {
    super();
    this.addClass('jp-farcell-FormPage');
  }

  protected override render(): JSX.Element {
    return (
      <FarcellContext.Provider value={this._context}>
        <TargetForm {...this._props} />
      </FarcellContext.Provider>
    );
  }
}

/** A form in a tab of its own; it closes itself once the target is saved. */
export class TargetFormWidget extends MainAreaWidget<ReactWidget> {
  constructor(context: IContext, props: Omit<ITargetFormProps, 'onDone'>) {
    super({ content: new Content(context, { ...props, onDone: () => this.dispose() }) });
    this.toolbar.hide();
  }
}
