/** From the server's JSON Schema of a target to one that a form can draw, and from what was filled in to a target's keys. No DOM. */

import type { TargetSchema } from './wire';

export interface ISchema {
  [key: string]: unknown;
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  anyOf?: ISchema[];
  items?: ISchema;
  properties?: { [key: string]: ISchema };
  additionalProperties?: ISchema | boolean;
  $ref?: string;
  $defs?: { [key: string]: ISchema };
}

export type Keys = { [key: string]: unknown };

/** The keys that a backend uses, in the order of the server, without defaults: what is not filled in is left out of the file. */
export function formSchema(
  said: TargetSchema,
  backend: string,
  defaultWord: (value: string) => string
): ISchema {
  const whole = said.json_schema as ISchema;
  const properties: { [key: string]: ISchema } = {};
  for (const key of said.order) {
    const of = whole.properties?.[key];
    const uses = of?.['x-backends'] as string[] | undefined;
    if (of && (!uses || uses.includes(backend))) {
      properties[key] = plain(of, whole.$defs ?? {}, defaultWord);
    }
  }
  return { type: 'object', properties };
}

/** Without alternatives that a person need not see: null is an empty field, numbers that may be words are text. */
function plain(
  of: ISchema,
  defs: { [key: string]: ISchema },
  defaultWord: (value: string) => string
): ISchema {
  const { anyOf, default: byDefault, ...rest } = of;
  let found: ISchema = rest;
  if (anyOf) {
    const choices = anyOf.filter(each => each.type !== 'null');
    found = { ...(choices.length === 1 ? choices[0] : { type: 'string' }), ...rest };
  }
  const { $ref, ...own } = found;
  if ($ref) {
    found = { ...defs[$ref.split('/').pop() ?? ''], ...own };
  }
  const { additionalProperties, properties, ...others } = found;
  const schema: ISchema = others;
  delete schema.default;
  if (properties) {
    schema.properties = Object.fromEntries(
      Object.entries(properties).map(([key, each]) => [key, plain(each, defs, defaultWord)])
    );
  } else if (additionalProperties && typeof additionalProperties === 'object') {
    schema.additionalProperties = { type: 'string' };
  }
  if (schema.items) {
    schema.items = { type: 'string' };
  }
  if (byDefault !== undefined && byDefault !== null && typeof byDefault !== 'object' && !schema.enum) {
    schema.description = [schema.description, defaultWord(String(byDefault))].filter(Boolean).join(' ');
  }
  return schema;
}

/** What was filled in, as the server wants it: without empty fields, and numbers as numbers where they may be words too. */
export function keysOf(filled: Keys, said: TargetSchema): Keys {
  const whole = said.json_schema as ISchema;
  const keys: Keys = {};
  for (const [key, value] of Object.entries(filled)) {
    const given = withoutNothing(value);
    if (given !== undefined) {
      keys[key] = mayBeNumber(whole.properties?.[key]) && isNumber(given) ? Number(given) : given;
    }
  }
  return keys;
}

function withoutNothing(value: unknown): unknown {
  if (value === '' || value === null || value === undefined) {
    return undefined;
  }
  if (Array.isArray(value)) {
    const kept = value.filter(each => each !== '' && each !== null && each !== undefined);
    return kept.length ? kept : undefined;
  }
  if (typeof value === 'object') {
    const kept = Object.entries(value as Keys).filter(([, each]) => each !== null && each !== undefined);
    return kept.length ? Object.fromEntries(kept) : undefined;
  }
  return value;
}

function mayBeNumber(of: ISchema | undefined): boolean {
  return !!of?.anyOf?.some(each => each.type === 'number' || each.type === 'integer');
}

function isNumber(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
}

/** A target's keys as the form has them: what may be a word is text. */
export function filledFrom(keys: Keys, schema: ISchema): Keys {
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [
      key,
      schema.properties?.[key]?.type === 'string' && typeof value === 'number' ? String(value) : value
    ])
  );
}

/** The server's faults where the form shows them, and those that belong to no field of it. */
export function errorsOf(
  fields: readonly { field: string; message: string }[],
  schema: ISchema
): { byField: { [key: string]: unknown }; others: string[] } {
  const byField: { [key: string]: { __errors: string[] } } = {};
  const others: string[] = [];
  for (const { field, message } of fields) {
    const [first, key] = field.split('.');
    if (first === 'keys' && key && schema.properties?.[key]) {
      (byField[key] ??= { __errors: [] }).__errors.push(message);
    } else {
      others.push(field && field !== 'keys' ? `${field.replace(/^keys\./, '')}: ${message}` : message);
    }
  }
  return { byField, others };
}
