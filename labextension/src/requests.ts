/** The server extension's REST interface (docs/server.md), typed. All that tests stand in for. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { FieldProblem, Problem } from './wire';

/** The server cannot be reached at all. */
export class Offline extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause));
    this.name = 'Offline';
  }
}

/** The server has answered, and what it says is no. */
export class Refused extends Error {
  /** A word for programs; null if the answer is not one of ours, as when the extension is not enabled. */
  readonly reason: string | null;
  readonly fields: FieldProblem[];
  readonly runs: string[];

  constructor(
    readonly status: number,
    problem: Partial<Problem>,
    statusText = ''
  ) {
    super(problem.message || statusText || String(status));
    this.name = 'Refused';
    this.reason = problem.reason ?? null;
    this.fields = problem.fields ?? [];
    this.runs = problem.runs ?? [];
  }
}

/** What was asked for has not changed since the given ETag, or it and the new one. */
export type Tagged<T> = { changed: false } | { changed: true; body: T; etag: string | null };

export interface IRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: object;
  query?: { [name: string]: string | number | null | undefined };
}

export interface IRequests {
  /** Rejects with Offline or Refused. */
  request<T>(path: string, options?: IRequest): Promise<T>;
  /** A GET that answers only if there is something new. */
  poll<T>(path: string, etag: string | null): Promise<Tagged<T>>;
}

/** Path parts that come from data. */
export function path(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

export class Requests implements IRequests {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  async request<T>(path: string, options: IRequest = {}): Promise<T> {
    const response = await this._send(path, options, {});
    return (response.status === 204 ? undefined : await bodyOf(response)) as T;
  }

  async poll<T>(path: string, etag: string | null): Promise<Tagged<T>> {
    const response = await this._send(path, {}, etag ? { 'If-None-Match': etag } : {});
    if (response.status === 304) {
      return { changed: false };
    }
    return { changed: true, body: (await bodyOf(response)) as T, etag: response.headers.get('ETag') };
  }

  private async _send(path: string, options: IRequest, headers: Record<string, string>): Promise<Response> {
    const { method = 'GET', body, query } = options;
    const asked = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined);
    const url =
      URLExt.join(this._settings.baseUrl, 'farcell', 'api', path) +
      (asked.length
        ? `?${asked.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`
        : '');
    const init: RequestInit = { method, headers: { ...headers, Accept: 'application/json' } };
    if (method !== 'GET') {
      init.body = JSON.stringify(body ?? {});
    }
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this._settings);
    } catch (error) {
      throw new Offline(error);
    }
    if (response.status >= 400) {
      throw new Refused(response.status, await problemOf(response), response.statusText);
    }
    return response;
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new Refused(response.status, {}, 'The answer is not JSON.');
  }
}

async function problemOf(response: Response): Promise<Partial<Problem>> {
  try {
    const said: unknown = await response.json();
    return typeof said === 'object' && said !== null ? (said as Partial<Problem>) : {};
  } catch {
    return {};
  }
}
