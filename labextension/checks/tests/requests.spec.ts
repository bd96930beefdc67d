/** @jest-environment node */

import { createServer } from 'http';
import type { IncomingMessage, Server } from 'http';
import type { AddressInfo } from 'net';
import { ServerConnection } from '@jupyterlab/services';
import { Offline, path, Refused, Requests } from '../../src/requests';

interface IAsked {
  method: string;
  path: string;
  query: string;
  etag: string | undefined;
  body: string;
}

/** What the server says next, and what it was asked. */
let answer: { status: number; body?: string; etag?: string };
let asked: IAsked[];
let server: Server;
let requests: Requests;

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    const parts: Buffer[] = [];
    request.on('data', part => parts.push(part));
    request.on('end', () => {
      const url = new URL(request.url ?? '', 'http://127.0.0.1');
      asked.push({
        method: request.method ?? '',
        path: url.pathname,
        query: url.search,
        etag: request.headers['if-none-match'],
        body: Buffer.concat(parts).toString()
      });
      response.writeHead(answer.status, answer.etag ? { ETag: answer.etag } : {});
      response.end(answer.body);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  requests = below(`http://127.0.0.1:${(server.address() as AddressInfo).port}/user/ada/`);
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  asked = [];
  answer = { status: 200, body: '{}' };
});

function below(baseUrl: string): Requests {
  return new Requests(ServerConnection.makeSettings({ baseUrl, wsUrl: 'ws://127.0.0.1:9/', token: '' }));
}

describe('Requests', () => {
  it('goes below the base url, with a query of what is given', async () => {
    answer.body = '{"runs": []}';
    const query = { limit: 20, before: null, target: 'gpu a&b', state: undefined };
    await expect(requests.request('runs', { query })).resolves.toEqual({ runs: [] });
    expect(asked[0].path).toBe('/user/ada/farcell/api/runs');
    expect(asked[0].query).toMatch(/^\?limit=20&target=gpu%20a%26b(&\d+)?$/);
  });

  it('sends a JSON body with what is not a GET', async () => {
    await requests.request(path('sessions', 'a/b', 'stop'), { method: 'POST' });
    await requests.request('targets', { method: 'POST', body: { name: 'gpu-a' } });
    expect(asked[0].path).toBe('/user/ada/farcell/api/sessions/a%2Fb/stop');
    expect(asked.map(each => [each.method, each.body])).toEqual([
      ['POST', '{}'],
      ['POST', '{"name":"gpu-a"}']
    ]);
  });

  it('has nothing to read in a 204', async () => {
    answer = { status: 204 };
    await expect(requests.request('watch/p', { method: 'DELETE' })).resolves.toBeUndefined();
  });

  it('knows an answer that has not changed by its ETag', async () => {
    answer = { status: 200, body: '{"revision": 3}', etag: '"x-3"' };
    const first = await requests.poll('snapshot', null);
    expect(first).toEqual({ changed: true, body: { revision: 3 }, etag: '"x-3"' });
    answer = { status: 304 };
    await expect(requests.poll('snapshot', '"x-3"')).resolves.toEqual({ changed: false });
    expect(asked.map(each => each.etag)).toEqual([undefined, '"x-3"']);
  });

  it('tells a refusal from a server that cannot be reached', async () => {
    const problem = {
      message: 'No such target.',
      reason: 'unknown',
      fields: [{ field: 'name', message: 'unknown' }],
      runs: ['r1']
    };
    answer = { status: 404, body: JSON.stringify(problem) };
    const refused = await requests.request('targets/x').catch(error => error);
    expect(refused).toBeInstanceOf(Refused);
    expect(refused).toMatchObject({ status: 404, ...problem });
    const offline = await below('http://127.0.0.1:9/')
      .request('snapshot')
      .catch(error => error);
    expect(offline).toBeInstanceOf(Offline);
  });

  it('copes with an error page that is not JSON', async () => {
    answer = { status: 502, body: '<h1>Bad gateway</h1>' };
    const error = await requests.request('snapshot').catch(error => error);
    expect(error).toBeInstanceOf(Refused);
    expect(error).toMatchObject({ status: 502, message: 'Bad Gateway', reason: null, fields: [] });
  });
});
